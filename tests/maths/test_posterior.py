"""The variance of the Gaussian process behind a ridge solution, in three forms and as scikit-learn has it."""

import pickle

import numpy as np
import pytest
import torch
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, DotProduct

from ntkrun import ExactNTK, NTKRidgeRegressor
from ntkrun.errors import ConfigError, DataError
from ntkrun.maths.ridge import posterior as module
from ntkrun.maths.ridge.dual import dual_path
from ntkrun.maths.ridge.normal import NormalEquations
from ntkrun.maths.ridge.posterior import DualPosterior, PrimalPosterior, noise_variance
from ntkrun.maths.ridge.rows import RowsOrSums

rng = np.random.default_rng(0)
F64 = torch.float64
Z = torch.from_numpy(rng.normal(size=(50, 7)) * np.logspace(0, -2, 7) + 3)
Y = torch.from_numpy(rng.normal(size=(50, 2)))
NEW = torch.from_numpy(rng.normal(size=(9, 7)) + 3)
LAM = 1e-3


def naive(z, new, lam, weight=None):
    """Return 1/n + z_c^T (Z_c^T G Z_c + n lam I)^-1 z_c by an inverse."""
    weight = np.ones(len(z)) if weight is None else weight
    n = weight.sum()
    mean = weight @ z / n
    z, new = z - mean, new - mean
    inverse = np.linalg.inv(z.T @ (weight[:, None] * z) + n * lam * np.eye(z.shape[1]))
    return 1 / n + np.einsum("ij,jk,ik->i", new, inverse, new)


def primal(z, lam, weight=None):
    sums = NormalEquations()
    sums.add(z, torch.zeros(len(z), 1, dtype=F64), weight)
    return PrimalPosterior(sums.gram, sums.mean_z, sums.n, lam)


@pytest.mark.parametrize("weighted", [False, True])
def test_primal_and_dual_are_the_formula(weighted):
    weight = torch.from_numpy(rng.integers(1, 4, 50).astype(float)) if weighted else None
    truth = naive(Z.numpy(), NEW.numpy(), LAM, None if weight is None else weight.numpy())
    assert np.allclose(primal(Z, LAM, weight).variance(NEW), truth, rtol=0, atol=1e-10)
    dual = DualPosterior(Z @ Z.T, LAM, weight).variance(NEW @ Z.T, NEW.square().sum(1))
    assert np.allclose(dual, truth, rtol=0, atol=1e-8)
    if weighted:
        twice = Z.repeat_interleave(weight.long(), 0)
        assert np.allclose(primal(twice, LAM).variance(NEW), truth, rtol=0, atol=1e-10)


def test_rows_and_sums_give_the_same():
    for columns in (40, 60):  # sums; kept rows
        z = torch.from_numpy(rng.normal(size=(50, columns)) + 100)
        new = torch.from_numpy(rng.normal(size=(5, columns)) + 100)
        data = RowsOrSums()
        for part in (slice(0, 20), slice(20, 50)):
            data.add(z[part], Y[part])
        assert (data._sums.n > 0) == (columns == 40)
        assert np.allclose(data.posterior(LAM)(new), naive(z.numpy(), new.numpy(), LAM), rtol=0, atol=1e-8)


def test_without_a_factor_the_eigenvalues_serve(monkeypatch):
    truth = primal(Z, LAM).variance(NEW)
    monkeypatch.setattr(module.torch.linalg, "cholesky_ex", lambda m: (m, torch.ones((), dtype=torch.int32)))
    assert torch.allclose(primal(Z, LAM).variance(NEW), truth, rtol=0, atol=1e-10)


@pytest.mark.parametrize("kernel", [RBF(1.5), DotProduct(1e-12)])
def test_it_is_the_gaussian_process_of_scikit_learn(kernel):
    """A flat prior on the intercept is the limit of a large constant in the kernel."""
    x, y, new = Z.numpy() - 3, Y.numpy()[:, 0], NEW.numpy() - 3
    gram = torch.from_numpy(kernel(x))
    (fit,) = dual_path(gram, torch.from_numpy(y)[:, None], [1e-2])
    noise, n = 0.3, len(x)
    scale = noise / (n * fit.lam)  # signal variance over that of the kernel
    cross, own = torch.from_numpy(kernel(new, x)), torch.from_numpy(kernel.diag(new))
    mean = fit.predict(cross)[:, 0].numpy()
    std = (noise * DualPosterior(gram, fit.lam).variance(cross, own)).sqrt().numpy()
    far = 1e7
    gp = GaussianProcessRegressor(
        ConstantKernel(scale) * kernel + ConstantKernel(far), alpha=noise, optimizer=None
    )
    their_mean, their_std = gp.fit(x, y).predict(new, return_std=True)
    assert np.allclose(mean, their_mean, atol=1e-5)
    assert np.allclose(std, their_std, atol=1e-5)
    # the kernel of centred features, without an intercept: exactly
    centre = np.eye(n) - 1 / n
    features = np.linalg.cholesky(centre @ gram.numpy() @ centre + 1e-12 * np.eye(n))
    centred = GaussianProcessRegressor(ConstantKernel(scale) * DotProduct(1e-12), alpha=noise, optimizer=None)
    _, their_std = centred.fit(features, y - y.mean()).predict(features, return_std=True)
    ours = DualPosterior(gram, fit.lam).variance(gram, gram.diagonal())
    assert np.allclose((noise * (ours - 1 / n)).sqrt(), their_std, rtol=0, atol=1e-8)


def test_the_exact_ntk_in_the_dual_is_scikit_learns_process_too():
    x = rng.normal(size=(40, 5))
    method = ExactNTK(depth=2, dtype="float64").fit(x)
    gram, new = method.kernel(x), rng.normal(size=(6, 5))
    cross, own = method.kernel(new, x), np.diag(method.kernel(new)).copy()
    lam, noise = 0.05, 0.2
    ours = noise * DualPosterior(torch.from_numpy(gram), lam).variance(
        torch.from_numpy(cross), torch.from_numpy(own)
    )
    # the textbook, on kernel values centred by hand
    n = len(x)
    row, mean = gram.mean(0), gram.mean()
    k = gram - row - row[:, None] + mean
    c = cross - cross.mean(1)[:, None] - row + mean
    s = noise / (n * lam)
    own = own - 2 * cross.mean(1) + mean
    theirs = s * own - s * np.einsum("ij,jk,ik->i", c, np.linalg.inv(s * k + noise * np.eye(n)), s * c)
    assert np.allclose(ours, theirs + noise / n, rtol=0, atol=1e-8)


def test_the_noise_is_where_the_likelihood_has_its_maximum():
    missing, variance = torch.from_numpy(rng.normal(size=(30, 2))), torch.from_numpy(rng.random((30, 2)))
    weight = torch.from_numpy(rng.integers(1, 4, 30).astype(float))
    best = noise_variance(missing, variance, weight)

    def likelihood(noise):
        total = noise * (1 + variance)
        return -(weight[:, None] * (total.log() + missing.square() / total)).sum(0)

    for factor in (0.99, 1.01):
        assert (likelihood(best) > likelihood(factor * best)).all()


def data(n, noise=0.5):
    x = rng.normal(size=(n, 6))
    return x, x @ np.arange(6) + noise * rng.normal(size=n)


@pytest.mark.parametrize("n", [400, 30])
def test_an_estimator_says_how_sure_it_is(n):
    x, y = data(n)
    model = NTKRidgeRegressor("passthrough" if n > 100 else None).fit(x, y)
    mean, std = model.predict(x[:20], return_std=True)
    assert np.array_equal(mean, model.predict(x[:20]))
    assert std.shape == mean.shape
    assert (std > 0).all()
    far = model.predict(10 * x[:20], return_std=True)[1]
    assert (far > std).all()
    again = pickle.loads(pickle.dumps(model))
    assert np.array_equal(again.predict(x[:20], return_std=True)[1], std)
    if n > 100:
        assert model.noise_variance_ == pytest.approx([0.25], rel=0.35)
        truth = naive(x, x[:20], model.lambda_)
        assert np.allclose(std, np.sqrt(model.noise_variance_ * truth), rtol=1e-8)


def test_the_spread_covers_new_rows():
    x, y = data(3000)
    model = NTKRidgeRegressor("passthrough").fit(x[:300], y[:300])
    mean, std = model.predict(x[300:], return_std=True)
    total = np.sqrt(std**2 + model.noise_variance_)
    inside = np.abs(y[300:] - mean) < 1.645 * total
    assert 0.86 < inside.mean() < 0.94


def test_batches_weights_and_targets_with_their_own_lambda():
    x, y = data(300)
    both = np.stack([y, rng.normal(size=300)], 1)
    whole = NTKRidgeRegressor("passthrough", alpha_per_target=True).fit(x, both)
    parts = NTKRidgeRegressor("passthrough", alpha_per_target=True)
    for start in range(0, 300, 70):
        parts.partial_fit(x[start : start + 70], both[start : start + 70])
        parts.predict(x[:2], return_std=start > 100)  # a kept factor is of the rows so far
    _, std = whole.predict(x, return_std=True)
    assert std.shape == (300, 2)
    assert np.allclose(parts.predict(x, return_std=True)[1], std, rtol=1e-6)
    assert np.allclose(parts.noise_variance_, whole.noise_variance_, rtol=1e-6)
    for i, lam in enumerate(whole.lambda_):
        assert np.allclose(std[:, i] ** 2, whole.noise_variance_[i] * naive(x, x, lam), rtol=1e-6)
    twice = np.repeat(np.arange(300), 2)
    weighted = NTKRidgeRegressor("passthrough").fit(x, y, sample_weight=np.full(300, 2))
    repeated = NTKRidgeRegressor("passthrough").fit(x[twice], y[twice])
    assert np.allclose(*(m.predict(x, return_std=True)[1] for m in (weighted, repeated)), rtol=1e-6)


def test_a_given_noise_is_taken_and_a_wrong_one_refused():
    x, y = data(100)
    for given in (2.0, [2.0]):
        assert NTKRidgeRegressor("passthrough", noise_variance=given).fit(x, y).noise_variance_ == [2.0]
    for given in (0, -1.0, "loud", np.inf, [1.0, -1.0]):
        with pytest.raises(
            ConfigError, match="noise_variance of NTKRidgeRegressor must be one positive number"
        ):
            NTKRidgeRegressor("passthrough", noise_variance=given).fit(x, y)
    with pytest.raises(ConfigError, match="noise_variance"):
        NTKRidgeRegressor("passthrough", noise_variance=[1.0, 2.0]).fit(x, y).predict(x, return_std=True)
    tiny = NTKRidgeRegressor("passthrough").fit(x[:2], y[:2])
    with pytest.raises(DataError, match="given if no rows are held out"):
        tiny.predict(x, return_std=True)
