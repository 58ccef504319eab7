"""Test random_patches against loops, the kernel of all patches, and the compiled pass against torch."""

import numpy as np
import pytest
import torch

from ntkrun.errors import ConfigError, DataError
from ntkrun.maths.method.random_patches import RandomPatches
from ntkrun.maths.network.nystrom import threshold

RNG = np.random.default_rng(5)
X = RNG.normal(size=(3, 8, 7, 2)) + RNG.normal(size=(3, 1, 1, 2))


def patches(x, q):
    h, w = x.shape[0] - q + 1, x.shape[1] - q + 1
    rows = np.array([[x[i : i + q, j : j + q].ravel() for j in range(w)] for i in range(h)])
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def parts(side, cells, overlap):
    """Return the positions of each cell; a cell contains every position that it overlaps."""
    step = side / (cells + overlap)
    ends = [(a * step, (a + 1 + overlap) * step) for a in range(cells)]
    return [[p for p in range(side) if p + 1 > low + 1e-9 and p < high - 1e-9] for low, high in ends]


def naive(p, weights, level, cells, overlap=False):
    """Return features of one image's patches (h, w, d), (cells, cells, 2, weights)."""
    c = p @ weights.T
    both = np.maximum(np.stack([c, -c], 2) - level, 0)
    out = np.empty((cells, cells, 2, len(weights)))
    for a, rows in enumerate(parts(p.shape[0], cells, overlap)):
        for b, columns in enumerate(parts(p.shape[1], cells, overlap)):
            out[a, b] = both[np.ix_(rows, columns)].mean((0, 1))
    return out / (cells * len(weights) ** 0.5)


@pytest.mark.parametrize(
    ("q", "level", "cells", "options"),
    [
        (3, 0.25, 2, {}),
        (2, 0.0, 1, {}),
        (3, 0.1, 3, {}),
        (3, 0.1, 3, {"overlap": True}),
        (3, 0.25, 2, {"mirror": True}),
        (2, 0.1, 1, {"whiten": 0.1}),
        (2, 0.1, 3, {"whiten": 0.3, "mirror": True, "overlap": True}),
        (3, 0.1, 2, {"whiten": 0.1, "mirror": True}),
    ],
)
def test_kernel_is_the_sum_over_all_patches(q, level, cells, options):
    method = RandomPatches(
        2 * cells**2 * 8, filter_size=q, threshold=level, cells=cells, dtype="float64", **options
    )
    k = method.fit(X).kernel(X)

    def read(x):
        if "whiten" in options:
            return method._whitening(torch.from_numpy(x[None].copy())).numpy()[0]
        return patches(x, q)

    every = np.concatenate([read(x).reshape(-1, q * q * 2) for x in X])
    z = np.array([naive(read(x), every, level, cells, "overlap" in options).ravel() for x in X])
    if "mirror" in options:
        flipped = [naive(read(x[:, ::-1]), every, level, cells, "overlap" in options).ravel() for x in X]
        z = (z + np.array(flipped)) / 2
    assert np.allclose(k, z @ z.T, rtol=1e-10)


def test_the_mean_over_draws_is_the_kernel():
    make = [RandomPatches(64, random_state=s, dtype="float64").fit(X) for s in range(400)]
    grams = np.array([m.transform(X) @ m.transform(X).T for m in make])
    error = np.abs(grams.mean(0) - make[0].kernel(X))
    assert (error < 4.5 * grams.std(0) / 20).all()
    assert (np.abs(1.05 * grams.mean(0) - make[0].kernel(X)) > 4.5 * grams.std(0) / 20).any()


@pytest.mark.parametrize("pairs", [False, True])
@pytest.mark.parametrize("overlap", [False, True])
@pytest.mark.parametrize("cells", [1, 2, 3])
def test_compiled_pass_is_the_one_in_torch(cells, overlap, pairs):
    u, odd = torch.from_numpy(RNG.normal(size=(2, 2, 7, 5, 6)))
    inverse = torch.from_numpy(RNG.random((2, 7, 5)))
    arguments = u, inverse, 0.2, cells, overlap, odd if pairs else None
    mine, theirs = (f(*arguments) for f in (threshold.average_both_sides, threshold.in_torch))
    assert torch.allclose(mine, theirs, rtol=1e-13, atol=1e-15)


def test_overlapping_cells_are_half_the_map_in_steps_of_a_quarter():
    assert threshold.edges(8, 3, overlap=True) == [(0, 4), (2, 6), (4, 8)]
    # 13.5 and 6.75 positions, rounded outwards and the same from both ends
    assert threshold.edges(27, 3, overlap=True) == [(0, 14), (6, 21), (13, 27)]


@pytest.mark.parametrize("whiten", [None, 0.1])
@pytest.mark.parametrize("overlap", [False, True])
@pytest.mark.parametrize("q", [2, 3])
def test_a_mirror_image_has_the_same_features(q, overlap, whiten):
    make = {
        mirror: RandomPatches(
            180, filter_size=q, cells=3, threshold=0, whiten=whiten, overlap=overlap, mirror=mirror
        ).fit(X)
        for mirror in (False, True)
    }
    z, there = make[True].transform(X), make[True].transform(X[:, :, ::-1])
    assert np.allclose(z, there, rtol=1e-4, atol=1e-6)
    assert (z.max(0) > 0).sum() > 90
    assert not np.allclose(make[False].transform(X), make[False].transform(X[:, :, ::-1]), atol=1e-3)


def test_images_without_contrast_have_no_whitened_patches():
    method = RandomPatches(64, whiten=0.1, overlap=True, mirror=True, threshold=0).fit(X)
    z = method.transform(np.stack([np.full((8, 7, 2), 0.1), X[0]]))
    assert not z[0].any()
    assert z[1].any()


def test_brightness_and_contrast_do_not_count_for_whitened_patches():
    method = RandomPatches(64, whiten=0.1, dtype="float64").fit(X)
    other = RandomPatches(64, whiten=0.1, dtype="float64").fit(7 * X + 100)
    assert np.allclose(method.transform(X), other.transform(7 * X + 100), rtol=1e-9, atol=1e-12)


def test_new_parameters_are_part_of_the_identity_unless_they_change_nothing():
    base, new = RandomPatches().identity(), {"whiten": 0.1, "overlap": True, "mirror": True}
    assert not set(new) & set(base)
    for name, value in new.items():
        assert RandomPatches(**{name: value}).identity() == {**base, name: value}


def test_fitted_tensors_hold_the_whitening():
    method = RandomPatches(64, whiten=0.1, mirror=True).fit(X)
    white = method._whitening
    for tensor in (white.matrix, white.shift, torch.tensor([white.floor], dtype=torch.float64)):
        assert any(torch.equal(tensor, t) for t in method.fitted() if t.shape == tensor.shape)


def test_black_patches_and_left_over_columns_are_zero():
    z = RandomPatches(21, cells=1).fit(X).transform(np.zeros((1, 8, 7, 2)))
    assert z.shape == (1, 21)
    assert not z.any()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"threshold": 1.0}, "threshold of RandomPatches must be a finite number in"),
        ({"filter_size": 0}, "filter_size of RandomPatches must be an integer >= 1"),
        ({"sample_images": 0}, "sample_images"),
        ({"whiten": 0.0}, "whiten of RandomPatches must be a finite number > 0"),
        ({"overlap": 1}, "overlap of RandomPatches must be true or false"),
        ({"mirror": None}, "mirror of RandomPatches must be true or false"),
    ],
)
def test_bad_parameters(options, words):
    with pytest.raises(ConfigError, match=words):
        RandomPatches(**options).fit(np.ones((2, 9, 9, 1)))


@pytest.mark.parametrize("x", [np.ones((2, 9)), np.ones((2, 8, 8, 1, 1)), np.ones((2, 3, 9, 1))])
def test_bad_shapes(x):
    with pytest.raises(DataError, match="X of RandomPatches must be"):
        RandomPatches().fit(x)


def test_smallest_images():
    images = {side: RNG.normal(size=(2, side, side, 1)) for side in (4, 5)}
    need = {False: 4, True: 5}
    for overlap, side in need.items():
        RandomPatches(64, overlap=overlap).fit(images[side])
    with pytest.raises(DataError, match=r"at least 5 x 5 pixels\. Got '4 x 4'"):
        RandomPatches(64, overlap=True).fit(images[4])
    with pytest.raises(DataError, match="filter_size of RandomPatches must be >= 2"):
        RandomPatches(64, filter_size=1, whiten=0.1).fit(images[4])
