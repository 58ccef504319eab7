"""Test conjugate gradients over batches against the direct solution of the same problem."""

import pytest
import torch

from ntkrun.maths.ridge.normal import NormalEquations
from ntkrun.maths.ridge.streamed import Streamed

GRID = [1e-6, 1e-4, 1e-2]


def problem(n=900, m=120, k=3, dtype=torch.float32):
    """Return features with a decaying spectrum and a large mean, which would show cancellation."""
    torch.manual_seed(0)
    turn = torch.linalg.qr(torch.randn(m, m, dtype=torch.float64)).Q
    z = (torch.randn(n, m, dtype=torch.float64) * torch.logspace(0, -3, m)) @ turn + 3
    y = torch.sin(z[:, :k]) + 0.1 * torch.randn(n, k, dtype=torch.float64)
    return z.to(dtype), y


def batches(z, y, rows=100):
    counted = []

    def again():
        counted.append(1)
        return ((z[i : i + rows], y[i : i + rows]) for i in range(0, len(z), rows))

    return again, counted


def objective(fit, z, y):
    return float((fit.predict(z) - y).square().sum() / len(z) + fit.lam * fit.weight.square().sum())


def direct(z, y):
    equations = NormalEquations()
    equations.add(z, y)
    return list(equations.path(GRID))


@pytest.mark.parametrize("rank", [5, 40, 120, 1000])
def test_the_objective_is_as_near_to_its_minimum_as_was_asked(rank):
    z, y = problem()
    again, counted = batches(z, y)
    told = []
    solution = Streamed(again, rank).solve(GRID, 1e-6, 2000, watch=told.append)
    assert len(counted) == solution.passes + 2
    assert len(told) == solution.passes
    assert told[-1] == max(solution.gaps)
    for fit, exact, gap in zip(solution.fits, direct(z, y), solution.gaps, strict=True):
        assert fit.lam == pytest.approx(exact.lam, rel=1e-9)
        assert gap <= 1e-6
        assert 1 - 1e-9 < objective(fit, z, y) / objective(exact, z, y) < 1 + 3e-6


def test_more_eigenvectors_need_fewer_passes():
    again, _ = batches(*problem())
    passes = [Streamed(again, rank).solve(GRID, 1e-6, 2000).passes for rank in (5, 40, 120)]
    assert passes[0] > passes[1] > passes[2]


def test_the_order_and_size_of_batches_do_not_matter():
    z, y = problem()
    one = Streamed(batches(z, y)[0], 40).solve(GRID, 1e-10, 2000).fits
    other = Streamed(batches(z.flip(0), y.flip(0), 77)[0], 40).solve(GRID, 1e-10, 2000).fits
    for a, b in zip(one, other, strict=True):
        assert torch.allclose(a.predict(z), b.predict(z), atol=1e-4)


def test_a_good_start_saves_passes():
    z, y = problem()
    again, _ = batches(z, y)
    streamed = Streamed(again, 20)
    found = streamed.solve([1e-4], 1e-8, 2000)
    assert streamed.solve([1e-4], 1e-6, 2000, start=found.fits[0].weight).passes == 1


def test_what_has_not_converged_says_so():
    again, _ = batches(*problem())
    solution = Streamed(again, 5).solve(GRID, 1e-12, 3)
    assert solution.passes == 3
    assert max(solution.gaps) > 1e-12


@pytest.mark.parametrize("kind", ["constant features", "constant targets", "one row", "duplicates"])
def test_degenerate_problems_stay_finite(kind):
    z, y = problem(n=60, m=20)
    if kind == "constant features":
        z = torch.ones_like(z)
    elif kind == "constant targets":
        y = torch.ones_like(y)
    elif kind == "one row":
        z, y = z[:1], y[:1]
    else:
        z, y = z[:1].repeat(60, 1), y
    for fit in Streamed(batches(z, y)[0], 8).solve(GRID, 1e-6, 50).fits:
        assert torch.isfinite(fit.predict(z)).all()


def test_no_rows_are_refused():
    with pytest.raises(ValueError, match="must hold rows"):
        Streamed(lambda: iter(()), 4)
