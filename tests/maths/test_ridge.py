from itertools import pairwise

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge

from ntkrun.maths import metrics
from ntkrun.maths.ridge import path
from ntkrun.maths.ridge.dual import dual_path
from ntkrun.maths.ridge.normal import NormalEquations

rng = np.random.default_rng(0)
Z = torch.from_numpy(rng.normal(size=(60, 12)) * np.logspace(0, -3, 12) + 5)
Y = torch.from_numpy(rng.normal(size=(60, 3)) + Z[:, :3].numpy())
Z_NEW = torch.from_numpy(rng.normal(size=(7, 12)) + 5)
RELATIVE = [1e-8, 1e-4, 1e-1]


def primal(z, y, cuts=(0, 13, 60)):
    equations = NormalEquations()
    for a, b in pairwise(cuts):
        equations.add(z[a:b], y[a:b])
    return equations.path(RELATIVE)


@pytest.mark.parametrize("limit", [0, 1024])
def test_primal_agrees_with_scikit_learn(monkeypatch, limit):
    monkeypatch.setattr(path, "EIGH_LIMIT", limit)  # both the Cholesky and the eigh way
    for mine in primal(Z, Y):
        theirs = Ridge(alpha=mine.lam * len(Z), solver="svd").fit(Z.numpy(), Y.numpy())
        assert np.allclose(mine.predict(Z_NEW).numpy(), theirs.predict(Z_NEW.numpy()), atol=1e-8)


def test_dual_equals_primal():
    for a, b in zip(primal(Z, Y), dual_path(Z @ Z.T, Y, RELATIVE), strict=True):
        assert a.lam == pytest.approx(b.lam, rel=1e-9)
        assert torch.allclose(a.predict(Z_NEW), b.predict(Z_NEW @ Z.T), atol=1e-6)


def test_duplicating_all_rows_moves_nothing():
    twice = torch.cat([Z, Z]), torch.cat([Y, Y])
    for a, b in zip(primal(Z, Y), primal(*twice, cuts=(0, 31, 120)), strict=True):
        assert torch.allclose(a.predict(Z_NEW), b.predict(Z_NEW), atol=1e-9)
    for a, b in zip(
        dual_path(Z @ Z.T, Y, RELATIVE), dual_path(twice[0] @ twice[0].T, twice[1], RELATIVE), strict=True
    ):
        assert torch.allclose(a.predict(Z_NEW @ Z.T), b.predict(Z_NEW @ twice[0].T), atol=1e-6)


def test_a_large_constant_does_not_cost_digits():
    for a, b in zip(primal(Z, Y), primal(Z + 1e6, Y), strict=True):
        assert torch.allclose(a.predict(Z_NEW), b.predict(Z_NEW + 1e6), atol=1e-5)


@pytest.mark.parametrize("limit", [0, 1024])
def test_constant_and_duplicate_features_are_solved(monkeypatch, limit):
    monkeypatch.setattr(path, "EIGH_LIMIT", limit)
    z = torch.cat([Z, Z, torch.ones(60, 1, dtype=Z.dtype)], 1)
    for fit in primal(z, Y):
        assert torch.isfinite(fit.predict(z)).all()
    for fit in primal(torch.ones(60, 3), Y):
        assert torch.allclose(fit.predict(torch.ones(2, 3)), Y.mean(0).expand(2, 3))


def test_targets_and_scores():
    y = torch.tensor([0, 2, 1])
    assert torch.allclose(metrics.targets(y, 3).sum(1), torch.zeros(3, dtype=torch.float64))
    prediction = torch.eye(3)[torch.tensor([0, 2, 2])]
    assert metrics.score(prediction, y, 3) == ("accuracy", pytest.approx(2 / 3))
    assert metrics.score(torch.tensor([[1.0], [3.0]]), torch.tensor([1.0, 1.0]), None) == ("mse", 2.0)
    assert metrics.confusion(prediction, y, 3).tolist() == [[1, 0, 0], [0, 0, 1], [0, 0, 1]]
