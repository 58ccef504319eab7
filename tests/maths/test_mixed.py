"""A factor in float32 gives the solution of float64 for large systems."""

import pytest
import torch

from ntkrun.maths.ridge import cholesky, dual, gram
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
    found = solve(zero + 1)
    assert torch.allclose(gram @ found + 1e-6 * found, zero + 1, atol=1e-10)
    assert torch.allclose(found, zero + 1 / (50 + 1e-6), rtol=1e-5)  # of a condition of 5e7
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


def test_a_kernel_in_single_precision_gives_the_fit_of_double(monkeypatch):
    monkeypatch.setattr(dual, "BLOCK", 64)
    generator = torch.Generator().manual_seed(2)
    z = torch.randn(300, 400, generator=generator) * torch.logspace(0, -2, 400) + 0.1
    gram, y = (z @ z.T).float(), torch.randn(300, 2, generator=generator)
    for relative in (1e-5, 1e-3):
        (single,), (double,) = (list(dual.dual_path(k, y, [relative])) for k in (gram, gram.double()))
        assert single.lam == pytest.approx(double.lam, rel=1e-9)
        assert torch.allclose(single.predict(gram), double.predict(gram), atol=1e-6)


@pytest.mark.parametrize("columns", [7, 1000])
def test_products_in_single_precision_are_added_in_double(monkeypatch, columns):
    monkeypatch.setattr(cholesky, "MIXED_FROM", 20)
    monkeypatch.setattr(gram, "COLUMNS", columns)
    z = torch.randn(30, 500, generator=torch.Generator().manual_seed(3)) + 100
    out, pivot = gram.row_products(lambda start: z[start:].split(10), 30)
    assert out.dtype == torch.float32
    want = (z.double() - pivot) @ (z.double() - pivot).T
    assert float((out - want).norm() / want.norm()) < 1e-6


def test_a_kernel_whose_rounding_exceeds_lambda_gives_numbers():
    z = torch.randn(200, 5, generator=torch.Generator().manual_seed(4)) + 100
    (fit,) = dual.dual_path(z @ z.T, z[:, :1], [1e-10])
    assert torch.isfinite(fit.predict(z @ z.T)).all()
