"""Habits of scikit-learn."""

import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits, load_iris
from sklearn.ensemble import VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score

from ntkrun import (
    CNTKSketch,
    NTKRidgeClassifier,
    NTKRidgeRegressor,
    NTKSketch,
)
from ntkrun.maths.ridge.normal import NormalEquations
from tests.cases.base import DIGITS, Case, rows

IRIS = load_iris(return_X_y=True)


def seeds(stage):
    x, y = IRIS
    want = NTKSketch(64, random_state=7).fit(x).transform(x)
    for make in (NTKSketch(64), NTKRidgeClassifier(NTKSketch(64)), NTKRidgeRegressor("passthrough")):
        for state in (None, np.random.RandomState(3)):
            est = clone(make.set_params(random_state=state)).fit(x, y)
            assert 0 <= est.seed_ < 2**31
            assert est.get_params()["random_state"] is None or state is not None
            assert pickle.loads(pickle.dumps(est)).seed_ == est.seed_
    two = [NTKSketch(64, random_state=None).fit(x).transform(x) for _ in range(2)]
    assert not np.allclose(*two)
    same = [NTKSketch(64, random_state=np.random.RandomState(3)).fit(x).transform(x) for _ in range(2)]
    assert np.array_equal(*same)
    assert np.array_equal(NTKSketch(64, random_state=np.int64(7)).fit(x).transform(x), want)


def one_row_alone(stage):
    x, y = load_digits(return_X_y=True)
    # some processors (AMD Zen 5) round a convolution in single precision by the image's place in its batch
    for features, close in ((None, 1e-10), (CNTKSketch(64, image_shape=(8, 8, 1), depth=2), 1e-5)):
        model = NTKRidgeRegressor(features, lambda_count=2).fit(x[:90], y[:90])
        among, alone = model.predict(x[:70]), [model.predict(x[i : i + 1])[0] for i in range(0, 70, 9)]
        assert np.allclose(among[::9], alone, rtol=close, atol=close)


def weights(stage):
    x, y = IRIS
    w = np.random.default_rng(2).integers(0, 4, len(y))
    # with noise: if the targets were the inputs, all small lambdas would be as good up to rounding
    noisy = x + np.random.default_rng(4).normal(size=x.shape)
    for weighted, target in (
        (NTKRidgeClassifier("passthrough"), y),
        (NTKRidgeRegressor("passthrough"), noisy),
    ):
        repeated = clone(weighted).fit(x.repeat(w, 0), target.repeat(w, 0))
        weighted.fit(x, target, sample_weight=w)
        assert weighted.lambda_ == pytest.approx(repeated.lambda_)
        assert np.allclose(weighted.coef_, repeated.coef_)
        order = np.random.default_rng(3).permutation(len(y))
        parts = clone(weighted)
        more = {"classes": [0, 1, 2]} if target is y else {}
        for part in np.array_split(order, 3):
            parts.partial_fit(x[part], target[part], sample_weight=w[part], **more)
        assert np.allclose(parts.predict(x), repeated.predict(x))


def weighted_sums(stage):
    # the weighted problem by itself, for weights that are not integers
    z, y, w = torch.randn(40, 6).double(), torch.randn(40, 2).double(), torch.rand(40).double() + 0.1
    sums = NormalEquations()
    for part in (slice(0, 15), slice(15, 40)):
        sums.add(z[part], y[part], w[part])
    fit = next(sums.path([1e-3]))
    both = torch.cat([z, torch.ones(40, 1)], 1)
    ridge = fit.lam * torch.diag(torch.tensor([1.0] * 6 + [0.0]))
    want = torch.linalg.solve(
        both.T @ (w[:, None] * both) / w.sum() + ridge, both.T @ (w[:, None] * y) / w.sum()
    )
    assert torch.allclose(torch.cat([fit.weight, fit.bias[None]]), want)
    error = (w[:, None] * (fit.predict(z) - y).square()).sum(0) / w.sum()
    assert torch.allclose(sums.mse_per_target(fit), error)
    assert sums.mse(fit) == pytest.approx(float(error.mean()))


def class_weights(stage):
    x, y = IRIS
    rare = np.concatenate([np.arange(50), np.arange(50, 58), np.arange(100, 108)])
    plain = NTKRidgeClassifier("passthrough").fit(x[rare], y[rare])
    balanced = clone(plain).set_params(class_weight="balanced").fit(x[rare], y[rare])
    factors = {0: 66 / 150, 1: 66 / 24, 2: 66 / 24}
    by_hand = clone(plain).fit(x[rare], y[rare], sample_weight=[factors[c] for c in y[rare]])
    assert np.allclose(balanced.coef_, by_hand.coef_)
    assert not np.allclose(balanced.coef_, plain.coef_, rtol=1e-2)
    given = clone(plain).set_params(class_weight=factors)
    assert np.allclose(given.partial_fit(x[rare], y[rare], classes=[0, 1, 2]).coef_, balanced.coef_)


def probabilities(stage):
    x, y = IRIS
    model = NTKRidgeClassifier(NTKSketch(64)).fit(x[::2], y[::2])
    p = model.predict_proba(x[1::2])
    assert np.allclose(p.sum(1), 1)
    assert np.array_equal(model.classes_[p.argmax(1)], model.predict(x[1::2]))
    assert -np.log(p[np.arange(75), y[1::2]]).mean() < 0.3
    # labels that mean nothing: the rows that were fitted to them would make it sure
    rng = np.random.default_rng(0)
    rows, noise = rng.normal(size=(400, 9)), rng.integers(0, 2, 400)
    unsure = NTKRidgeClassifier(NTKSketch(128)).fit(rows[:200], noise[:200])
    p = unsure.predict_proba(rows[200:])
    assert -np.log(p[np.arange(200), noise[200:]]).mean() < 0.8
    voting = VotingClassifier([("a", model), ("b", LogisticRegression(max_iter=500))], voting="soft")
    assert voting.fit(x[::2], y[::2]).score(x[1::2], y[1::2]) > 0.9
    assert cross_val_score(model, x, y, scoring="roc_auc_ovr", cv=2).min() > 0.95


def nothing_held_out(stage):
    x, y = IRIS
    model = NTKRidgeClassifier("passthrough", validation_fraction=1e-9).fit(x, y)
    assert model.temperature_ == 1 / 3
    values = model.decision_function(x)
    assert np.abs(model.predict_proba(x) - 1 / 3 - values).mean() < 0.1


def lambda_per_target(stage):
    rng = np.random.default_rng(1)
    x = rng.normal(size=(200, 30))
    y = np.stack([x[:, 0], rng.normal(size=200), x @ rng.normal(size=30)], 1)
    both = NTKRidgeRegressor("passthrough", alpha_per_target=True).fit(x, y)
    alone = [NTKRidgeRegressor("passthrough").fit(x, y[:, i]) for i in range(3)]
    assert both.lambda_.shape == (3,)
    assert np.allclose(both.lambda_, [one.lambda_ for one in alone])
    assert np.allclose(both.predict(x), np.stack([one.predict(x) for one in alone], 1))
    assert isinstance(NTKRidgeRegressor("passthrough").fit(x, y).lambda_, float)
    assert both.lambda_[1] > 100 * both.lambda_[0]
    assert alone[0].score(x, y[:, 0]) > 0.999


CASES = [
    Case(
        "16.18",
        "random_state=None or a RandomState",
        "as in scikit-learn; seed_ is what was taken",
        call=seeds,
    ),
    Case(
        "16.18",
        "random_state=numpy.random.default_rng(0)",
        "refused, as scikit-learn does",
        call=lambda stage: NTKSketch(64, random_state=np.random.default_rng(0)).fit(IRIS[0]),
        code=2,
        says=["random_state (seed) of NTKSketch must be an integer"],
    ),
    Case(
        "16.18",
        "seed=null on the command line",
        "refused: a run is found again by its seed",
        DIGITS + "seed=null",
        code=2,
        says=["seed of CNTKSketch must be an integer", "Got None instead."],
    ),
    Case(
        "16.18",
        "a prediction for one row, and for the same row among others",
        "the same to ten digits, in single precision too",
        call=one_row_alone,
    ),
    Case(
        "16.18",
        "integer sample weights, in any order, in one go or in batches",
        "the same lambda and solution as with repeated rows",
        call=weights,
    ),
    Case("16.18", "sample weights that are not integers", "the weighted ridge problem", call=weighted_sums),
    Case(
        "16.18",
        "a negative sample weight",
        "refused in one line",
        call=lambda stage: NTKRidgeClassifier("passthrough").fit(*IRIS, sample_weight=np.full(150, -1.0)),
        code=3,
        says=["sample_weight of NTKRidgeClassifier must be finite and at least 0. Got -1.0 instead."],
    ),
    Case(
        "16.18",
        "class_weight='balanced' or a dict",
        "the weights that scikit-learn takes",
        call=class_weights,
    ),
    Case(
        "16.18",
        "class_weight='balanced' with partial_fit",
        "refused in one line that says what to give",
        call=lambda stage: NTKRidgeClassifier(class_weight="balanced").partial_fit(*IRIS, classes=[0, 1, 2]),
        code=2,
        says=["class_weight of NTKRidgeClassifier must be None or a dict for partial_fit"],
    ),
    Case(
        "16.18",
        "predict_proba, soft voting and scoring='roc_auc_ovr'",
        "probabilities from a temperature that is fitted to held-out rows",
        call=probabilities,
    ),
    Case(
        "16.18",
        "predict_proba when no row is held out",
        "a temperature of 1/k, as the page says",
        call=nothing_held_out,
    ),
    Case(
        "16.18",
        "several targets with alpha_per_target=True",
        "each target gets the lambda that it would get alone",
        call=lambda_per_target,
    ),
]


@pytest.mark.parametrize("case", rows(CASES))
def test_situation(case, stage):
    stage.play(case)
