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


def naive(x, weights, q, level, cells):
    """Return features of one image, weight by weight (cells, cells, 2, weights), for a mean over weights."""
    p = patches(x, q)
    c = p @ weights.T
    both = np.maximum(np.stack([c, -c], 2) - level, 0)
    out = np.empty((cells, cells, 2, len(weights)))
    for a, (top, bottom) in enumerate(threshold.edges(p.shape[0], cells)):
        for b, (left, right) in enumerate(threshold.edges(p.shape[1], cells)):
            out[a, b] = both[top:bottom, left:right].mean((0, 1))
    return out / (cells * len(weights) ** 0.5)


@pytest.mark.parametrize(("q", "level", "cells"), [(3, 0.25, 2), (2, 0.0, 1), (3, 0.1, 3)])
def test_kernel_is_the_sum_over_all_patches(q, level, cells):
    method = RandomPatches(2 * cells**2 * 8, filter_size=q, threshold=level, cells=cells, dtype="float64")
    every = np.concatenate([patches(x, q).reshape(-1, q * q * 2) for x in X])
    z = np.array([naive(x, every, q, level, cells).ravel() for x in X])
    assert np.allclose(method.fit(X).kernel(X), z @ z.T, rtol=1e-12)


def test_the_mean_over_draws_is_the_kernel():
    make = [RandomPatches(64, random_state=s, dtype="float64").fit(X) for s in range(400)]
    grams = np.array([m.transform(X) @ m.transform(X).T for m in make])
    error = np.abs(grams.mean(0) - make[0].kernel(X))
    assert (error < 4.5 * grams.std(0) / 20).all()
    assert (np.abs(1.05 * grams.mean(0) - make[0].kernel(X)) > 4.5 * grams.std(0) / 20).any()


@pytest.mark.parametrize("cells", [1, 2, 3])
def test_compiled_pass_is_the_one_in_torch(cells):
    u, inverse = torch.from_numpy(RNG.normal(size=(2, 7, 5, 6))), torch.from_numpy(RNG.random((2, 7, 5)))
    mine, theirs = (f(u, inverse, 0.2, cells) for f in (threshold.average_both_sides, threshold.in_torch))
    assert torch.allclose(mine, theirs, rtol=1e-13, atol=1e-15)


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
    ],
)
def test_bad_parameters(options, words):
    with pytest.raises(ConfigError, match=words):
        RandomPatches(**options).fit(np.ones((2, 9, 9, 1)))


@pytest.mark.parametrize("x", [np.ones((2, 9)), np.ones((2, 8, 8, 1, 1)), np.ones((2, 3, 9, 1))])
def test_bad_shapes(x):
    with pytest.raises(DataError, match="X of RandomPatches must be"):
        RandomPatches().fit(x)
