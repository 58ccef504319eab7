"""Test methods for rows: exact kernels against the oracle, features unbiased and with the right rate."""

import math

import numpy as np
import pytest
import scipy.stats
import torch

from ntkrun.maths.dual.arccos import kappa1
from ntkrun.maths.dual.polynomial import duals, tail
from ntkrun.maths.kernel.rows import median_distance, ntk, ntk_polynomial, rbf, unit
from ntkrun.maths.method.exact_ntk import ExactNTK
from ntkrun.maths.method.grad_rf import GradientFeatures
from ntkrun.maths.method.ntk_random_features import NTKRandomFeatures
from ntkrun.maths.method.ntk_sketch import NTKSketch
from ntkrun.maths.method.rff import RandomFourierFeatures
from ntkrun.maths.metrics import frobenius_error, spectral_error
from ntkrun.maths.rng import Stream
from ntkrun.maths.sampling import conditional_cdf, conditional_inverse, leverage_exact, leverage_gibbs
from ntkrun.studies.theorem_3 import features
from tests.maths.test_sketch import F64, assert_unbiased, rows

X = rows(6, 9).numpy() * np.array([1, 1.5, 0.5, 1, 2, 1])[:, None]


@pytest.mark.parametrize("depth", [1, 2, 3, 5])
def test_ntk_agrees_with_the_oracle(oracle, depth):
    kernel = ExactNTK(depth=depth, dtype="float64").fit(oracle["rows_a"])
    assert (
        np.abs(kernel.kernel(oracle["rows_a"], oracle["rows_b"]) / oracle[f"ntk_L{depth}"] - 1).max() < 1e-10
    )


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_ntk_survives_tiny_and_huge_rows(scale):
    kernel = ExactNTK(depth=3, dtype="float64").fit(X)
    assert np.allclose(kernel.kernel(X * scale) / scale / scale, kernel.kernel(X))


@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize(
    "sampling", ["gaussian", pytest.param("leverage_gibbs", marks=pytest.mark.slow), "leverage_exact"]
)
def test_random_features_are_unbiased(depth, sampling):
    # a random phi enters kappa of the next layer, so deeper ones are unbiased only as width grows
    width, seeds = (256, 600) if depth == 1 else (1024, 40)
    if sampling == "leverage_gibbs":
        width, seeds = 1024, 150  # the chain costs the same for many weights as for few
    if sampling == "leverage_gibbs" and depth > 1:
        pytest.skip("the chain over 512 dimensions is shown at depth 1; the law is the same")

    def draw(seed):
        method = NTKRandomFeatures(width, depth=depth, sampling=sampling, random_state=seed, dtype="float64")
        z = method.fit_transform(X)
        return z @ z.T

    truth = ntk(*[torch.from_numpy(X)] * 2, depth).numpy()
    if depth == 1:
        assert_unbiased(draw, truth, seeds)
    else:
        assert np.mean([np.vdot(draw(s), truth) for s in range(seeds)]) / np.vdot(
            truth, truth
        ) == pytest.approx(1, abs=0.03)


def median_error(make, m, truth, seeds=9):
    grams = [make(m, s).fit_transform(X) for s in range(seeds)]
    return np.median([np.linalg.norm(z @ z.T - truth) / np.linalg.norm(truth) for z in grams])


@pytest.mark.parametrize(
    ("make", "target"),
    [
        (lambda m, s: NTKRandomFeatures(m, depth=2, random_state=s, dtype="float64"), None),
        (
            lambda m, s: NTKSketch(
                m, depth=2, degree=3, sketch_dim=m // 10 - 1, random_state=s, dtype="float64"
            ),
            duals("fitted", 3, 2),
        ),
    ],
    ids=["ntk_random_features", "ntk_sketch"],
)
def test_error_halves_with_four_times_the_columns(make, target):
    x = torch.from_numpy(X)
    truth = ntk(x, x, 2, target).numpy()
    ratio = median_error(make, 1024, truth, 25) / median_error(make, 4096, truth, 25)
    assert 1.6 < ratio < 2.5


@pytest.mark.parametrize("kind", ["fitted", "taylor"])
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_ntk_sketch_estimates_its_polynomial_kernel(kind, depth):
    x = torch.from_numpy(X)
    truth = ntk(x, x, depth, duals(kind, 3, depth)).numpy()

    def draw(seed):
        method = NTKSketch(2000, depth=depth, degree=3, coefficients=kind, random_state=seed, dtype="float64")
        z = method.fit_transform(X)
        return z @ z.T

    slope = np.mean([np.vdot(draw(s), truth) for s in range(40)]) / np.vdot(truth, truth)
    assert slope == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize("sketch", ["dense", "srht", "osnap"])
def test_every_sketch_is_reached_by_its_key(sketch):
    x = torch.from_numpy(X)
    truth = ntk(x, x, 2, duals("fitted", 3, 2)).numpy()

    def draw(seed):
        z = NTKSketch(2000, depth=2, degree=3, sketch=sketch, random_state=seed, dtype="float64")
        z = z.fit_transform(X)
        return z @ z.T

    slope = np.mean([np.vdot(draw(s), truth) for s in range(40)]) / np.vdot(truth, truth)
    assert slope == pytest.approx(1, abs=0.03)
    assert NTKSketch(sketch=sketch).identity()["sketch"] == sketch
    assert "sketch" not in NTKSketch().identity()  # features of earlier versions are found
    if sketch != "osnap":
        method = NTKRandomFeatures(8192, depth=1, sketch=sketch).fit(X)
        z, k = method.transform(X), method.kernel(X)
        assert np.linalg.norm(z @ z.T - k) < 0.1 * np.linalg.norm(k)


def test_one_shot_is_unbiased_for_its_polynomial():
    c = ntk_polynomial(2, 4)
    assert c.sum() == pytest.approx(3)  # K_L(1) = L + 1
    norm = np.linalg.norm(X, axis=1)
    truth = np.outer(norm, norm) * np.polynomial.polynomial.polyval(X @ X.T / np.outer(norm, norm), c)

    def draw(seed):
        method = NTKSketch(600, depth=2, degree=4, variant="one_shot", random_state=seed, dtype="float64")
        z = method.fit_transform(X)
        return z @ z.T

    assert_unbiased(draw, truth, 400)


def test_gradient_features_are_gradients():
    method = GradientFeatures(400, depth=2, random_state=1, dtype="float64").fit(X)
    weights = [w.clone().requires_grad_() for w in (*method._weights, method._last)]
    for x, z in zip(X, method.transform(X), strict=True):
        h = torch.from_numpy(x)
        for w in weights[:-1]:
            h = torch.relu(h @ w) * method._scale
        gradients = torch.autograd.grad(h @ weights[-1], weights)
        mine = z[np.abs(z) > 0]
        theirs = torch.cat([g.flatten() for g in gradients]).numpy()
        assert np.allclose(np.sort(mine), np.sort(theirs[np.abs(theirs) > 0]))


def test_gradient_features_are_unbiased():
    def draw(seed):
        z = GradientFeatures(2000, depth=1, random_state=seed, dtype="float64").fit_transform(X)
        return z @ z.T

    assert_unbiased(draw, ExactNTK(depth=1, dtype="float64").fit(X).kernel(X), 400)


def test_too_few_columns_are_folded_without_bias():
    def draw(seed):
        z = RandomFourierFeatures(7, bandwidth=1.3, random_state=seed, dtype="float64").fit_transform(X)
        assert z.shape[1] == 7
        return z @ z.T

    x = torch.from_numpy(X)
    assert_unbiased(draw, rbf(x, x, 1.3).numpy(), 4000)
    assert GradientFeatures(8, depth=2).fit_transform(np.ones((2, 30))).shape == (2, 8)


def test_fourier_features_are_unbiased():
    def draw(seed):
        z = RandomFourierFeatures(64, bandwidth=1.3, random_state=seed, dtype="float64").fit_transform(X)
        return z @ z.T

    x = torch.from_numpy(X)
    assert_unbiased(draw, rbf(x, x, 1.3).numpy(), 900)
    assert median_distance(torch.tensor([[0.0], [1.0], [3.0]])) == 2


@pytest.mark.parametrize("sampler", [leverage_exact, leverage_gibbs])
@pytest.mark.parametrize("d", [1, 2, 9])
def test_squared_length_of_leverage_samples_is_chi_squared(sampler, d):
    w = sampler(4000, d, Stream(0)) if sampler is leverage_exact else sampler(4000, d, Stream(0), 8)
    assert scipy.stats.kstest(w.square().sum(1).numpy(), scipy.stats.chi2(d + 2).cdf).pvalue > 1e-3
    # a standard normal would fail
    assert scipy.stats.kstest(w.square().sum(1).numpy(), scipy.stats.chi2(d).cdf).pvalue < 1e-9


def test_conditional_law_of_the_gibbs_sampler():
    rest = torch.tensor([0.0, 0.7, 5.0], dtype=F64)
    for u in (1e-6, 0.2, 0.5, 0.9, 1 - 1e-6):
        t = conditional_inverse(torch.full((3,), u, dtype=F64), rest)
        assert torch.allclose(conditional_cdf(t, rest), torch.full((3,), u, dtype=F64), atol=1e-9)
    t = torch.linspace(-4, 4, 8001, dtype=F64)
    density = torch.gradient(conditional_cdf(t, torch.tensor(0.7)), spacing=(t,))[0]
    want = torch.exp(-t.square() / 2) * (0.7 + t.square()) / (1.7 * math.sqrt(2 * math.pi))
    assert torch.allclose(density[5:-5], want[5:-5], atol=1e-5)


@pytest.mark.parametrize(
    "law", ["gaussian", pytest.param("leverage_gibbs", marks=pytest.mark.slow), "leverage_exact"]
)
def test_arc_cosine_features_are_unbiased_for_every_law(law):
    u = unit(torch.from_numpy(X))

    def draw(seed):
        z = features(u, 512, law, Stream(seed))
        return (z @ z.T).numpy()

    assert_unbiased(draw, kappa1(u @ u.T).numpy(), 150)


def test_errors_of_a_kernel_estimate():
    k = torch.diag(torch.tensor([1.0, 4.0], dtype=F64))
    assert frobenius_error(1.1 * k, k) == pytest.approx(0.1)
    assert spectral_error(1.1 * k, k, 0.0) == pytest.approx(0.1)
    assert spectral_error(k + torch.eye(2, dtype=F64), k, 1.0) == pytest.approx(0.5)


def test_tails_fall_as_the_specification_says():
    for order, power in ((0, -0.5), (1, -1.5)):
        slope = np.polyfit(
            np.log([64, 256, 1024]), np.log([tail(order, p + order) for p in (64, 256, 1024)]), 1
        )[0]
        assert slope == pytest.approx(power, abs=0.05)
