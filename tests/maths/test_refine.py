"""Sums in single precision give the solution of double precision, or say that they do not."""

import pytest
import torch

from ntkrun.maths.ridge import refine
from ntkrun.maths.ridge.normal import NormalEquations


def problem(decay):
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(3072, 80, generator=generator) * torch.logspace(0, -decay, 80)
    z = (z @ torch.linalg.qr(torch.randn(80, 80, generator=generator)).Q + 1).to(torch.float32)
    y = (z @ torch.randn(80, 2, generator=generator)).sin().to(torch.float64)
    return z, y


def filled(single, z, y):
    sums = NormalEquations()
    for start in range(0, len(z), 1024):
        group = NormalEquations(single)
        for at in range(start, start + 1024, 512):
            group.add(z[at : at + 512], y[at : at + 512])
        assert group.gram.dtype == (torch.float32 if single else torch.float64)
        sums.merge(group)
    assert sums.gram.dtype == torch.float64
    return sums


def objective(fit, z, y):
    return float((fit.predict(z) - y).square().sum() / len(z) + fit.lam * fit.weight.square().sum())


@pytest.mark.parametrize("relative", [1e-8, 1e-7, 1e-3])
def test_the_objective_is_within_its_stated_gap_of_double_precision(relative):
    z, y = problem(4)
    least = objective(next(filled(False, z, y).path([relative])), z, y)
    found = refine.refined(filled(True, z, y), relative, lambda: [(z[:2000], y[:2000]), (z[2000:], y[2000:])])
    assert found is not None
    assert 0 <= found.gap <= refine.TOLERANCE
    assert objective(found.fit, z, y) == pytest.approx(least, rel=refine.TOLERANCE / 10)


def test_products_are_in_single_precision_and_close():
    z, y = problem(2)
    exact, single = filled(False, z, y), filled(True, z, y)
    error = float((single.gram - exact.gram).tril().norm() / exact.gram.tril().norm())
    assert 1e-10 < error < 1e-6


def test_sums_that_do_not_belong_to_the_rows_are_not_passed_off(monkeypatch):
    z, y = problem(2)
    wrong = filled(True, z, y)
    wrong.gram *= 0.01  # steps a hundred times too long diverge
    assert refine.refined(wrong, 1e-6, lambda: [(z, y)]) is None


def test_sums_without_a_factor_are_given_back():
    z, y = problem(2)
    sums = filled(True, z, y)
    sums.gram[0, 0] = -float(sums.gram[0, 0])
    assert refine.refined(sums, 1e-9, lambda: [(z, y)]) is None
