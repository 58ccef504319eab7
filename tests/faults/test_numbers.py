"""Check that features, lambda paths and scores stay finite for any scale, duplicates and singular sums."""

import numpy as np
import pytest
import torch

from ntkrun.datasets.cifar10 import Cifar10
from ntkrun.datasets.split import make_split
from ntkrun.executors.serial import Serial
from ntkrun.maths.method import METHODS
from ntkrun.maths.ridge.dual import dual_path
from ntkrun.maths.ridge.normal import NormalEquations
from ntkrun.solvers.ridge import Ridge
from ntkrun.stages import featurize, regress, score
from tests.faults.plan import record

RNG = np.random.default_rng(4)
FAST = [n for n in METHODS.names if not n.startswith(("exact", "cntk_nystrom"))]
SUBSET = {"n_train": None, "n_test": None, "valid_fraction": 0.25, "split_seed": 0, "classes": 2}


def images(n):
    y = np.arange(n) % 2
    return RNG.normal(size=(n, 6, 5, 2)) + y[:, None, None, None], y


def through(name, train, test, folder, **options):
    """Return all features, the validation scores and the test score of a whole fit."""
    split = make_split("numbers", train, test, **{**SUBSET, **options})
    cls = METHODS.get(name)
    method = cls(**({"n_components": 640} if "n_components" in cls().get_params() else {}))
    features = featurize.run(split, method, folder, 32)
    fit = regress.run(features.train, features.valid, method, Ridge(lambda_count=5), Serial())
    parts = (features.train, features.valid, features.test)
    z = torch.cat([z for part in parts for z, _ in part.batches()])
    return z, fit.valid_scores, score.run(fit, features.test).value


@pytest.mark.parametrize("scale", [1e-30, 1e-12, 1e12, 1e30])
@pytest.mark.parametrize("name", FAST)
def test_any_scale_gives_the_same_finite_numbers(name, scale, tmp_path):
    (x, y), (x_test, y_test) = images(60), images(20)
    plain = through(name, (x, y), (x_test, y_test), tmp_path / "a")
    scaled = through(name, (x * scale, y), (x_test * scale, y_test), tmp_path / "b")
    for z, path, value in (plain, scaled):
        assert torch.isfinite(z).all()
        assert np.isfinite([*path, value]).all()
    assert torch.allclose(plain[0], scaled[0], rtol=1e-3, atol=1e-4 * float(plain[0].abs().max()))
    record("numbers", f"{name}, inputs scaled by {scale:g}", 1)


@pytest.mark.parametrize("preprocess", ["standardize", "contrast", "zca"])
@pytest.mark.parametrize("kind", ["duplicates", "constant", "zero", "one pixel"])
@pytest.mark.parametrize("name", ["ckn", "cntk_sketch", "ntk_sketch", "random_patches", "raw"])
def test_degenerate_inputs(name, kind, preprocess, tmp_path):
    (x, y), (x_test, y_test) = images(60), images(20)
    if kind == "duplicates":
        x = np.repeat(x[:3], 20, 0)
    elif kind == "constant":
        x, x_test = np.full_like(x, 7.0), np.full_like(x_test, 7.0)
    elif kind == "zero":
        x, x_test = np.zeros_like(x), np.zeros_like(x_test)
    else:
        x[:, 1:], x_test[:, 1:] = 0, 0
    z, path, value = through(name, (x, y), (x_test, y_test), tmp_path, preprocess=preprocess)
    assert torch.isfinite(z).all()
    assert np.isfinite([*path, value]).all()
    record("numbers", f"{name}, {kind}, {preprocess}", 1)


@pytest.mark.parametrize("rank", [1, 5, 40])
def test_singular_sums_have_finite_solutions_along_the_whole_path(rank):
    z = torch.from_numpy(RNG.normal(size=(200, rank)) @ RNG.normal(size=(rank, 1100)))
    y = torch.from_numpy(RNG.normal(size=(200, 2)))
    equations = NormalEquations()
    equations.add(z, y)
    grid = [10.0**-k for k in range(18, 0, -1)]
    for rel, primal, dual in zip(grid, equations.path(grid), dual_path(z @ z.T, y, grid), strict=True):
        assert torch.isfinite(primal.predict(z)).all()
        assert torch.isfinite(dual.predict(z @ z.T)).all()
        if rel >= 1e-8:  # below this, rounding of the kernel's values shows in the dual
            assert torch.allclose(primal.predict(z), dual.predict(z @ z.T), atol=1e-4)


def halved(part):
    """Return the same shards as if read from float16 files."""

    class Halved(type(part)):
        def batches(self):
            for z, y in super().batches():
                yield z.to(torch.float16).to(z.dtype), y

    return Halved(**vars(part))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cntk_sketch", "cntk_nystrom", "ntk_sketch"])
def test_what_float16_storage_would_do(name, cifar_archive, tmp_path):
    split = Cifar10(path=str(cifar_archive), n_train=5000, n_test=2000).load()
    method = METHODS.get(name)(4096)
    full = featurize.run(split, method, tmp_path, 512)
    scores = []
    for change in (lambda part: part, halved):
        train, valid, test = map(change, (full.train, full.valid, full.test))
        fit = regress.run(train, valid, method, Ridge(), Serial())
        scores.append((score.run(fit, test).value, fit.relative[fit.best]))
    (single, lam), (half, lam_half) = scores
    assert abs(single - half) < 0.01
    record(
        "numbers",
        f"{name} 4096, 5,000 + 2,000 CIFAR-10 images: test accuracy {single:.4f} (relative lambda {lam:.0e}) "
        f"as stored, {half:.4f} ({lam_half:.0e}) were it float16",
        1,
    )
