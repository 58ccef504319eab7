"""Test ckn against its exact kernel, that kernel against loops, and the parity of maps and landmarks."""

import numpy as np
import pytest
import torch

from ntkrun.errors import ConfigError, DataError
from ntkrun.maths.dual.activation import GaussDual
from ntkrun.maths.method.ckn import ConvKernelNetwork
from ntkrun.maths.network.exact.averaged import AveragedKernel
from ntkrun.maths.network.nystrom.averaged import average, gaussian
from ntkrun.maths.network.nystrom.clusters import clusters
from ntkrun.maths.network.nystrom.parity import Halves

RNG = np.random.default_rng(7)
X = RNG.normal(size=(4, 8, 7, 2)) + 2 * RNG.normal(size=(4, 1, 1, 2))


def whole(**options):
    """Return a network whose landmarks are all patches of a few images."""
    cells = options.get("cells", 3)
    return ConvKernelNetwork(400 * cells**2, filters=800, dtype="float64", **options)


@pytest.mark.parametrize("mirror", [True, False])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"cells": 2, "overlap": False, "sharpness": 3.0},
        {"cells": 1, "subsampling": 2, "filter_size": 2},
        {"whiten": None},
    ],
)
def test_with_all_patches_as_landmarks_the_kernel_is_exact(options, mirror):
    x = X.copy()
    x[1, :5] = 0
    method = whole(mirror=mirror, **options).fit(x)
    z, k = method.transform(x), method.kernel(x)
    assert np.abs(z @ z.T - k).max() < 1e-5 * np.abs(k).max()
    assert np.abs(1.01 * z @ z.T - k).max() > 1e-3 * np.abs(k).max()


def naive(x, y, q, sharpness, pool, cells):
    """Return the kernel of two images of patches (h, w, d), pair by pair."""

    def first(k, a, b):
        root = np.sqrt(a * b)
        return root * np.exp(sharpness * (k / root - 1))

    def pooled(x, y):
        h, w = x.shape[:2]
        k = [[first(p @ r, p @ p, r @ r) for r in y.reshape(h * w, -1)] for p in x.reshape(h * w, -1)]
        both = np.kron(pool(h), pool(w))
        return (both @ np.array(k) @ both.T).reshape(2 * (len(pool(h)), len(pool(w))))

    def sigma(x, y, p, r):
        k = pooled(x, y)
        return np.mean([k[p[0] + a, p[1] + b, r[0] + a, r[1] + b] for a in range(q) for b in range(q)])

    h, w = (len(pool(side)) - q + 1 for side in x.shape[:2])
    places = [(i, j) for i in range(h) for j in range(w)]
    k = [[first(sigma(x, y, p, r), sigma(x, x, p, p), sigma(y, y, r, r)) for r in places] for p in places]
    both = np.kron(cells(h), cells(w))
    return np.trace(both @ np.array(k) @ both.T)


def test_exact_kernel_follows_its_definition():
    x, y = torch.from_numpy(RNG.normal(size=(2, 5, 4, 3)))

    def pool(side):
        return gaussian(side, 2)

    def cells(side):
        return torch.ones(2, side, dtype=torch.float64).tril() / side

    mine = AveragedKernel((1, 2), GaussDual(1.5), pool, cells)(x[None], y[None])
    theirs = naive(x.numpy(), y.numpy(), 2, 1.5, lambda n: pool(n).numpy(), lambda n: cells(n).numpy())
    assert np.allclose(mine, theirs, rtol=1e-12)


def test_a_mirror_image_has_the_same_features_only_with_mirror():
    for mirror in (True, False):
        method = ConvKernelNetwork(9 * 20, filters=24, mirror=mirror, dtype="float64").fit(X)
        z, other = method.transform(X), method.transform(X[:, :, ::-1])
        assert np.allclose(z, other, rtol=1e-9, atol=1e-12) == mirror
        assert z.any(0).all()


def test_features_do_not_depend_on_the_batch_or_much_on_the_precision():
    method = ConvKernelNetwork(9 * 30, filters=32, dtype="float64").fit(X)
    z = method.transform(X)
    assert np.allclose(np.concatenate([method.transform(x[None]) for x in X]), z, rtol=1e-10, atol=1e-13)
    assert np.array_equal(ConvKernelNetwork(9 * 30, filters=32, dtype="float64").fit(X).transform(X), z)
    single = ConvKernelNetwork(9 * 30, filters=32).fit(X).transform(X)
    assert single.dtype == np.float32
    assert np.abs(single @ single.T - z @ z.T).max() < 1e-4 * np.abs(z @ z.T).max()
    assert np.abs(single - z).max() > 0


def test_black_patches_and_left_over_columns_are_zero():
    method = ConvKernelNetwork(9 * 5 + 4, filters=8).fit(X)
    assert not method.transform(np.zeros((1, 8, 7, 2))).any()
    z = method.transform(X)
    assert z.shape == (4, 49)
    assert z[:, :45].any()
    assert not z[:, 45:].any()


@pytest.mark.parametrize("q", [1, 2, 3])
def test_halves_are_an_isometry_that_tells_mirror_images(q):
    halves, z = Halves(q, 2), torch.from_numpy(RNG.normal(size=(2, 5, 6, 5)))
    sign = torch.tensor([1.0, 1, -1, -1, -1], dtype=torch.float64)
    index = torch.arange(2 * (6 - q) * (7 - q))
    plain = Halves(q, None).take(z, index)[0]
    even, odd = halves.take(z, index)
    assert torch.allclose(even @ even.T + odd @ odd.T, plain @ plain.T)
    grid = index.reshape(2, 6 - q, 7 - q).flip(2).flatten()
    even_too, odd_too = halves.take(z.flip(2) * sign, grid)
    assert torch.allclose(even_too, even)
    assert torch.allclose(odd_too, -odd)
    products = halves.multiply(halves.rows(z)[0], halves.filters(even[:3]))
    assert torch.allclose(products.flatten(0, 2), even @ even[:3].T)


def test_clusters_are_the_directions_of_groups_up_to_mirroring():
    group, e = torch.arange(90) % 3, torch.eye(3, dtype=torch.float64)
    sign, noise = 1 - 2 * (torch.arange(90)[:, None] % 2), torch.from_numpy(0.01 * RNG.random((90, 3)))
    even, odd = e[group] + noise, e[(group + 1) % 3] * sign
    rows = torch.cat([torch.cat([even, odd], 1) * (1 + group[:, None]), torch.zeros(4, 6)])
    even, odd = clusters(rows, [3, 3], 12, torch.Generator().manual_seed(0))
    assert torch.allclose((even**2 + odd**2).sum(1), torch.ones(12, dtype=torch.float64))
    near = (even @ e.T + (odd @ e[[1, 2, 0]].T).abs()) / 2**0.5
    assert (near.max(0).values > 0.99).all()
    assert (near.max(1).values > 0.99).all()


def test_averages_keep_constants_and_order():
    for side, stride in [(7, 2), (6, 2), (5, 1)]:
        weights = gaussian(side, stride)
        assert weights.shape == (-(-side // stride), side)
        assert torch.allclose(weights.sum(1), torch.ones(len(weights), dtype=torch.float64))
        assert (weights.argmax(1) // stride == torch.arange(len(weights))).all()
    u = torch.from_numpy(RNG.normal(size=(2, 5, 4, 3)))
    weights = [gaussian(side, 2) for side in (5, 4)]
    assert torch.allclose(average(u, *weights), torch.einsum("ih,jw,nhwr->nijr", *weights, u))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"filters": 1}, "filters of ConvKernelNetwork must be an integer in"),
        ({"sharpness": 0}, "sharpness of ConvKernelNetwork must be a finite number > 0"),
        ({"whiten": 0}, "whiten of ConvKernelNetwork must be a finite number > 0"),
        ({"mirror": 1}, "mirror of ConvKernelNetwork must be true or false"),
        ({"overlap": None}, "overlap"),
        ({"subsampling": 0}, "subsampling"),
        ({"cells": 0}, "cells"),
        ({"filter_size": 0}, "filter_size"),
        ({"sample_images": 0}, "sample_images"),
    ],
)
def test_bad_parameters(options, words):
    with pytest.raises(ConfigError, match=words):
        ConvKernelNetwork(**options).fit(X)


@pytest.mark.parametrize(
    ("x", "options"), [(np.ones((2, 9)), {}), (np.ones((2, 4, 9, 1)), {}), (X, {"subsampling": 3})]
)
def test_small_images(x, options):
    with pytest.raises(DataError, match="X of ConvKernelNetwork must be at least"):
        ConvKernelNetwork(layout="channels_last" if x.ndim == 4 else None, **options).fit(x)


def test_constant_training_images_give_zeros():
    method = ConvKernelNetwork(9 * 4, filters=8).fit(np.ones((3, 8, 7, 2)))
    assert not method.transform(np.ones((2, 8, 7, 2))).any()
    assert np.isfinite(method.transform(X)).all()


def test_one_grey_pixel_has_no_contrast():
    assert ConvKernelNetwork(64, filter_size=1, whiten=None).fit_transform(np.ones((2, 8, 8, 1))).any()
    with pytest.raises(DataError, match="filter_size of ConvKernelNetwork must be >= 2"):
        ConvKernelNetwork(filter_size=1).fit(np.ones((2, 8, 8, 1)))
