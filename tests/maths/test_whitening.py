"""Test the whitening of patches against its definition, and its symmetry under mirroring."""

import numpy as np
import pytest
import torch

from ntkrun.maths.network.whitening import FLOOR, PatchWhitening

RNG = np.random.default_rng(3)
X = torch.from_numpy(RNG.normal(size=(4, 8, 7, 2)).cumsum(1) + 3)
INDEX = torch.from_numpy(RNG.permutation(4 * 6 * 5)[:90])


def every(x, q):
    """Return the patches (n, h', w', c q q)."""
    return torch.stack([p.reshape(len(x), -1) for p in _windows(x, q)], 1).reshape(
        len(x), x.shape[1] - q + 1, x.shape[2] - q + 1, -1
    )


def _windows(x, q):
    for i in range(x.shape[1] - q + 1):
        for j in range(x.shape[2] - q + 1):
            yield x[:, i : i + q, j : j + q].permute(0, 3, 1, 2)


def defined(x, q, share, index):
    """Return the ZCA-whitened patches by the definition, step by step."""
    p = every(x, q).numpy() / q
    p = p - p.mean(-1, keepdims=True)
    square = (p**2).sum(-1, keepdims=True)
    train = np.take(square.reshape(-1, 1), index, 0)
    p = p / np.sqrt(square + FLOOR * train.mean())
    rows = p.reshape(-1, p.shape[-1])[index]
    values, vectors = np.linalg.eigh(np.cov(rows.T, bias=True))
    matrix = vectors @ np.diag((values + share * values.mean()) ** -0.5) @ vectors.T
    t = (p - rows.mean(0)) @ matrix
    return t / np.linalg.norm(t, axis=-1, keepdims=True)


@pytest.mark.parametrize("q", [2, 3])
def test_follows_the_definition(q):
    mine = PatchWhitening(q, 0.1).fit(X, INDEX)(X)
    assert np.allclose(mine, defined(X, q, 0.1, INDEX.numpy()), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("mirror", [False, True])
def test_rows_are_the_patches_of_the_positions(mirror):
    white = PatchWhitening(3, 0.1, mirror).fit(X, INDEX)
    assert torch.allclose(white(X).flatten(0, 2)[INDEX], white.rows(X, INDEX), rtol=1e-9, atol=1e-12)
    assert torch.allclose(white(X.float()).double(), white(X), atol=1e-5)


@pytest.mark.parametrize("q", [2, 3])
def test_mirroring_commutes(q):
    white = PatchWhitening(q, 0.1, mirror=True).fit(X, INDEX)
    there = white(X.flip(2)).flip(2)
    even, odd = white.parts(white(X))
    assert torch.allclose(there, torch.cat([even, -odd], 3), rtol=1e-9, atol=1e-12)
    assert not torch.allclose(there, white(X), atol=0.1)


def test_mirror_is_the_fit_to_both_orientations():
    h, w = 6, 5
    both = torch.cat([X, X.flip(2)])
    n, i, j = INDEX // (h * w), INDEX // w % h, INDEX % w
    index = torch.cat([INDEX, ((n + len(X)) * h + i) * w + w - 1 - j])
    mine = PatchWhitening(3, 0.1, mirror=True).fit(X, INDEX)(X).flatten(0, 2)
    theirs = PatchWhitening(3, 0.1).fit(both, index)(X).flatten(0, 2)
    assert torch.allclose(mine @ mine.T, theirs @ theirs.T, rtol=1e-9, atol=1e-12)


def test_constant_patches_are_zero_and_all_others_have_unit_norm():
    x = X.float()
    x[0], x[1, :4, :4] = 0.1, 250.1
    z = PatchWhitening(3, 0.1).fit(x, INDEX)(x)
    expected = torch.ones(4, 6, 5)
    expected[0] = expected[1, :2, :2] = 0
    assert torch.allclose(z.norm(dim=-1), expected, atol=1e-6)
    assert not PatchWhitening(3, 0.1).fit(0 * x, INDEX)(x).any()
