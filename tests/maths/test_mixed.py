"""A factor in float32 gives the solution of float64 for large systems."""

import pytest
import torch

from ntkrun.maths.ridge import cholesky
from ntkrun.maths.ridge.normal import NormalEquations
from ntkrun.maths.ridge.path import solve_path


def system(m=300, decay=6.0):
    generator = torch.Generator().manual_seed(0)
    basis = torch.linalg.qr(torch.randn(m, m, generator=generator, dtype=torch.float64)).Q
    gram = (basis * torch.logspace(0, -decay, m, dtype=torch.float64)) @ basis.T
    return (gram + gram.T) / 2, torch.randn(m, 3, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("lam", [1e-12, 1e-9, 1e-6, 1e-2])
def test_a_factor_in_single_precision_solves_to_double(lam):
    gram, target = system()
    want = torch.linalg.solve(gram + lam * torch.eye(len(gram), dtype=gram.dtype), target)
    lower = gram.tril()
    solve = cholesky.factored(lower, lam, torch.empty(300, 300))
    assert torch.equal(lower, gram.tril() + gram.tril(-1).T)
    assert float((solve(target) - want).norm() / want.norm()) < 1e-6
    # scales beyond float32
    assert torch.allclose(solve(target * 1e60) / 1e60, solve(target), rtol=1e-6)


def test_singular_systems_and_zero_targets_are_solved():
    gram, zero = torch.ones(50, 50, dtype=torch.float64), torch.zeros(50, 1, dtype=torch.float64)
    solve = cholesky.factored(gram, 1e-6, torch.empty(50, 50))
    assert torch.allclose(solve(zero + 1), zero + 1 / (50 + 1e-6), rtol=1e-6)
    assert torch.equal(solve(zero), zero)


def test_paths_of_large_systems_use_it_and_agree(monkeypatch):
    gram, target = system(1100)
    lambdas = [1e-8, 1e-4]
    plain = list(solve_path(gram.tril(), target, lambdas))
    monkeypatch.setattr(cholesky, "MIXED_FROM", 1000)
    assert cholesky.factor_space(gram).dtype == torch.float32
    for a, b in zip(solve_path(gram.tril(), target, lambdas), plain, strict=True):
        assert float((a - b).norm() / b.norm()) < 1e-8
        assert not torch.equal(a, b)


def test_sums_go_on_after_a_solution(monkeypatch):
    monkeypatch.setattr(cholesky, "MIXED_FROM", 1000)
    generator = torch.Generator().manual_seed(1)
    z, y = torch.randn(1500, 1100, generator=generator), torch.randn(1500, 2, generator=generator)
    sums, whole = NormalEquations(), NormalEquations()
    sums.add(z[:1200], y[:1200])
    next(sums.path([1e-3]))  # fills the upper triangle
    sums.add(z[1200:], y[1200:])
    whole.add(z, y)
    assert torch.allclose(next(sums.path([1e-3])).weight, next(whole.path([1e-3])).weight, atol=1e-8)


@pytest.mark.parametrize("n", [3, 9])
def test_mirrored_fills_the_upper_triangle(monkeypatch, n):
    monkeypatch.setattr(cholesky, "BLOCK", 4)
    lower = torch.arange(float(n * n)).reshape(n, n)
    assert torch.equal(cholesky.mirrored(lower.clone()), lower.tril() + lower.tril(-1).T)
