import math

import numpy as np
import pytest
import torch

from ntkrun.maths.dual.activation import dual
from ntkrun.maths.dual.arccos import kappa0, kappa1, maclaurin
from ntkrun.maths.dual.polynomial import coefficients, fitted, smallest_correlation, taylor
from ntkrun.maths.network.exact.cntk import CNTK
from ntkrun.maths.network.exact.layered import LayeredCNTK
from tests import oracles


@pytest.mark.parametrize(("order", "function"), [(0, kappa0), (1, kappa1)])
def test_maclaurin_series_converges_to_the_function(order, function):
    a = torch.linspace(-0.9, 0.9, 37, dtype=torch.float64)
    series = np.polynomial.polynomial.polyval(a.numpy(), maclaurin(order, 400))
    assert np.allclose(series, function(a).numpy(), atol=1e-10)


def test_maclaurin_tail_is_the_one_of_the_specification():
    # MATH section 2: tails after i = p of kappa1 at a = 1
    for p, tail in ((0, 0.0225), (1, 0.0093), (2, 0.0053), (4, 0.0026)):
        assert 1 - maclaurin(1, 2 * p + 2).sum() == pytest.approx(tail, abs=6e-5)
    for p, tail in ((0, 0.182), (1, 0.129), (2, 0.105), (4, 0.081)):
        assert 1 - maclaurin(0, 2 * p + 1).sum() == pytest.approx(tail, abs=6e-4)


def test_kappas_are_expectations_over_gaussian_weights():
    rng = np.random.default_rng(0)
    x, y = np.array([1.0, 0.0]), np.array([0.3, math.sqrt(1 - 0.09)])
    w = rng.standard_normal((2_000_000, 2))
    u, v = w @ x, w @ y
    assert 2 * np.mean((u > 0) & (v > 0)) == pytest.approx(float(kappa0(torch.tensor(0.3))), abs=3e-3)
    both = 2 * np.mean(np.maximum(u, 0) * np.maximum(v, 0))
    assert both == pytest.approx(float(kappa1(torch.tensor(0.3))), abs=3e-3)


@pytest.mark.parametrize("kind", ["taylor", "fitted"])
@pytest.mark.parametrize("order", [0, 1])
@pytest.mark.parametrize("degree", [2, 3, 5, 8])
def test_polynomials_are_positive_definite_and_hold_the_diagonal(kind, order, degree):
    for layer in (1, 2, 3):
        c = coefficients(kind, order, degree, layer)
        assert len(c) == degree + 1
        assert (c >= 0).all()
        assert c.sum() == pytest.approx(1, abs=1e-12)


def test_fit_beats_taylor_where_correlations_are():
    low = smallest_correlation(2)
    assert low == pytest.approx(kappa1(torch.tensor(-1.0, dtype=torch.float64)).item())
    a = np.linspace(low, 1, 200)
    for order, function in ((0, oracles.kappa0), (1, oracles.kappa1)):
        errors = [
            np.abs(np.polynomial.polynomial.polyval(a, c) - function(a)).mean()
            for c in (fitted(order, 2, low), taylor(order, 2))
        ]
        assert errors[0] < errors[1]


@pytest.mark.parametrize(
    ("trained", "name", "depth"),
    [
        ("inner", "paper", 2),
        ("inner", "paper", 3),
        ("all", "all", 1),
        ("all", "all", 2),
        ("all", "all", 3),
    ],
)
def test_cntk_agrees_with_the_oracle(oracle, trained, name, depth):
    truth = oracle[f"cntk_gap_{name}_L{depth}"]
    a, b = torch.from_numpy(oracle["images_a"]), torch.from_numpy(oracle["images_b"])
    kernel = CNTK(depth, 3, trained)
    assert np.abs(kernel(a, b).numpy() / truth - 1).max() < 1e-10
    assert np.abs(kernel(a.float(), b.float()).numpy() / truth - 1).max() < 1e-5


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("trained", ["inner", "all"])
@pytest.mark.parametrize(("depth", "q"), [(2, 3), (3, 1), (2, 5), (3, 3)])
def test_cntk_agrees_with_loops_on_both_paths(padding, trained, depth, q):
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(2, 10, 9, 2)), rng.normal(size=(3, 10, 9, 2))
    x[0, :4] = 0  # positions without energy
    truth = np.array([[oracles.cntk(u, v, depth, q, trained, padding) for v in y] for u in x])
    kernel = CNTK(depth, q, trained, padding)
    x, y = torch.from_numpy(x), torch.from_numpy(y)
    assert np.allclose(kernel(x, y).numpy(), truth, rtol=1e-10)
    ix, iy = (i.reshape(-1) for i in np.indices((2, 3)))
    assert np.allclose(kernel._pairs_torch(x, y, ix, iy).reshape(2, 3).numpy(), truth, rtol=1e-10)


def test_symmetric_gram_equals_the_full_one():
    x = torch.randn(5, 6, 5, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    kernel = CNTK(3)
    assert torch.allclose(kernel(x), kernel(x, x.clone()), rtol=1e-13)
    assert torch.linalg.eigvalsh(kernel(x)).min() > 0


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 2, 1), (1, 7, 2), (6, 1, 2)])
def test_images_narrower_than_the_filter(shape):
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(4, *shape)))
    layered = LayeredCNTK(("conv", "act") * 3, 3, "inner", "same", dual("relu", 1.0), 1)
    assert torch.allclose(CNTK(3, 3, "inner", "same")(x, None), layered(x, None), rtol=1e-12)
