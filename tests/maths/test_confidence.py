"""Scores against scikit-learn and naive loops; temperature; coverage of conformal intervals and sets."""

import json
import math

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar
from sklearn import metrics as theirs

from ntkrun.maths import confidence, metrics, probability, scores
from ntkrun.maths.confidence import Confidence
from ntkrun.maths.estimators import held_out

rng = np.random.default_rng(0)


def drawn(n, k, seed=0, sharp=2.0):
    """Return values (n, k) like those of a ridge regression, and classes drawn by softmax(sharp * values)."""
    own = np.random.default_rng(seed)
    values = own.normal(size=(n, k)) * 0.5
    values -= values.mean(1, keepdims=True)
    p = np.exp(sharp * values)
    p /= p.sum(1, keepdims=True)
    y = (own.random((n, 1)) > p.cumsum(1)).sum(1)
    return torch.from_numpy(values), torch.from_numpy(y.clip(max=k - 1))


@pytest.mark.parametrize("k", [2, 3, 7])
def test_scores_of_classes_are_those_of_scikit_learn(k):
    values, y = drawn(211, k)
    found = scores.described(values, y, k, 0.7)
    p, said = (values / 0.7).softmax(1).numpy(), values.argmax(1).numpy()
    auc = theirs.roc_auc_score(y, p[:, 1] if k == 2 else p, multi_class="ovr")
    truth = {
        "accuracy": theirs.accuracy_score(y, said),
        "balanced_accuracy": theirs.balanced_accuracy_score(y, said),
        "f1_macro": theirs.f1_score(y, said, average="macro"),
        "log_loss": theirs.log_loss(y, p),
        "brier": theirs.brier_score_loss(y, p, labels=list(range(k)), scale_by_half=False),
        "auc": auc,
    }
    assert set(truth) == set(scores.CLASSES)
    assert {name: found[name] for name in truth} == pytest.approx(truth, abs=1e-12)
    for name in ("accuracy", "balanced_accuracy", "f1_macro"):
        assert scores.score(name, values, y, k) == found[name]
    t = probability.temperature(values, y)
    assert scores.score("log_loss", values, y, k) == pytest.approx(
        theirs.log_loss(y, (values / t).softmax(1).numpy())
    )


def test_classes_that_do_not_occur_do_not_count():
    values, y = drawn(90, 3)
    wide = torch.cat([values, values.new_full((90, 1), -9.0)], 1)
    a, b = scores.described(values, y, 3, 0.5), scores.described(wide, y, 4, 0.5)
    for name in ("balanced_accuracy", "f1_macro", "auc"):
        assert a[name] == pytest.approx(b[name])
    alone = scores.described(values, torch.zeros(90, dtype=torch.int64), 3, 0.5)
    assert "auc" not in alone
    assert math.isnan(scores.score("auc", values, torch.zeros(90, dtype=torch.int64), 3))


@pytest.mark.parametrize("k", [1, 3])
def test_scores_of_targets_are_those_of_scikit_learn(k):
    y = torch.from_numpy(rng.normal(size=(50, k)))
    prediction = y + 0.3 * torch.from_numpy(rng.normal(size=(50, k)))
    found = scores.described(prediction, y if k > 1 else y[:, 0], None, None)
    truth = {
        "mse": theirs.mean_squared_error(y, prediction),
        "mae": theirs.mean_absolute_error(y, prediction),
        "r2": theirs.r2_score(y, prediction),
    }
    assert set(truth) == set(scores.TARGETS)
    assert found == pytest.approx(truth, abs=1e-12)
    assert "r2" not in scores.described(prediction, torch.ones(50, k), None, None)


def test_the_calibration_error_is_the_sum_over_bins():
    values, y = drawn(300, 4)
    p = (values / 0.3).softmax(1)
    sure, right = p.max(1).values.numpy(), (p.argmax(1) == y).numpy()
    total = 0.0
    for low in range(15):
        inside = (sure > low / 15) & (sure <= (low + 1) / 15)
        if inside.any():
            total += inside.sum() * abs(right[inside].mean() - sure[inside].mean())
    assert probability.calibration_error(p, y) == pytest.approx(total / 300, abs=1e-12)
    certain = torch.eye(4, dtype=torch.float64)[y]
    assert probability.calibration_error(certain, y) == 0
    assert probability.calibration_error(certain.roll(1, 1), y) == 1


def test_clipped_values_are_probabilities():
    values, _ = drawn(50, 5)
    p = probability.clipped(values)
    assert (p >= 0).all()
    assert torch.allclose(p.sum(1), torch.ones(50, dtype=torch.float64))
    inside = 0.1 * values
    assert torch.allclose(probability.clipped(inside), inside + 0.2)


def test_the_temperature_has_the_least_log_loss():
    values, y = drawn(4000, 5, sharp=3.0)
    assert probability.temperature(values, y) == pytest.approx(1 / 3, rel=0.1)
    found = probability.temperature(values, y, extra=0)
    loss = minimize_scalar(lambda t: theirs.log_loss(y, (values / math.exp(t)).softmax(1).numpy()))
    assert found == pytest.approx(math.exp(loss.x), rel=1e-4)
    before = probability.calibration_error(values.softmax(1), y)
    assert probability.calibration_error((values / found).softmax(1), y) < before / 3


def test_rows_that_are_all_right_leave_a_temperature_above_zero():
    y = torch.arange(40) % 4
    values = torch.eye(4, dtype=torch.float64)[y] - 0.25
    t = probability.temperature(values, y)
    p = (values / t).softmax(1).gather(1, y[:, None])
    assert float(p.mean()) == pytest.approx((40 + 1 / 4) / 41)  # ten rows per class and a quarter of one
    assert probability.temperature(values, y, extra=4) > t
    assert probability.temperature(values, y, extra=0) == 1 / probability.BETAS[1]
    assert probability.temperature(-values, y) == 1 / probability.BETAS[0]


def test_the_estimators_keep_their_temperature():
    """It has one row more per class, as before runs had a temperature."""
    values, y = drawn(200, 3)
    sample = held_out.Sample()
    sample.add(values, y, torch.ones(200, dtype=torch.float64), torch.rand(200))

    class Same:
        def predict(self, z):
            return z

    assert sample.temperature(Same()) == pytest.approx(probability.temperature(values, y, extra=3))


def test_the_quantile_is_the_rank_with_one_row_more():
    x = torch.arange(1.0, 20.0, dtype=torch.float64)[:, None]
    assert confidence.quantile(x, 0.9).tolist() == [18.0]
    assert confidence.quantile(x, 0.7).tolist() == [14.0]
    assert confidence.quantile(x[:9], 0.9).tolist() == [9.0]
    assert confidence.quantile(x[:8], 0.9).tolist() == [math.inf]
    assert confidence.quantile(x[:9], 0.7).tolist() == [7.0]


@pytest.mark.parametrize("level", [0.5, 0.9])
def test_intervals_cover_at_their_level(level):
    """With n held-out rows the coverage of new ones has mean r / (n + 1), r = ceil((n + 1) level)."""
    trials, n, m = 400, 19, 200
    own = np.random.default_rng(1)
    inside = []
    for _ in range(trials):
        noise = own.standard_t(3, size=(n + m, 1)) * 2
        prediction = torch.from_numpy(own.normal(size=(n + m, 1)))
        y = prediction + torch.from_numpy(noise)
        sure = Confidence.fitted(prediction[:n], y[:n, 0], None, level)
        inside.append(sure.described(prediction[n:], y[n:, 0])["coverage"])
    expected = math.ceil(20 * level - 1e-9) / 20
    assert abs(np.mean(inside) - expected) < 4.5 * np.std(inside) / trials**0.5
    assert np.std(inside) / trials**0.5 < 0.01


def test_sets_cover_at_their_level_and_are_never_empty():
    trials, n, m = 200, 99, 200
    inside, sizes = [], []
    for seed in range(trials):
        values, y = drawn(n + m, 5, seed)
        sure = Confidence.fitted(values[:n], y[:n], 5, 0.9)
        sets = sure.sets(values[n:])
        assert (sets.sum(1) >= 1).all()
        found = sure.described(values[n:], y[n:])
        assert found["set_size"] == float(sets.double().sum(1).mean())
        assert found["coverage"] == float(sets[torch.arange(m), y[n:]].double().mean())
        inside.append(found["coverage"])
        sizes.append(found["set_size"])
    assert abs(np.mean(inside) - 0.9) < 4.5 * np.std(inside) / trials**0.5
    assert 1.5 < np.mean(sizes) < 5
    assert np.allclose(sure.probabilities(values).sum(1), 1)


def test_each_target_has_its_own_width():
    own = np.random.default_rng(2)
    prediction = torch.zeros(500, 2, dtype=torch.float64)
    y = torch.from_numpy(own.normal(size=(500, 2)) * [1, 10])
    sure = Confidence.fitted(prediction, y, None, 0.9)
    narrow, wide = sure.quantiles
    assert narrow == pytest.approx(1.645, rel=0.15)
    assert wide == pytest.approx(16.45, rel=0.15)
    ends = sure.intervals(prediction + 1)
    assert ends.shape == (500, 2, 2)
    assert ends[0].tolist() == [[1 - narrow, 1 + narrow], [1 - wide, 1 + wide]]
    assert sure.described(prediction, y) == {
        "coverage": pytest.approx(0.902),
        "interval_width": pytest.approx(narrow + wide),
    }


def test_a_record_gives_the_same_object_and_a_wrong_one_is_refused():
    values, y = drawn(60, 3)
    for sure, targets in (
        (Confidence.fitted(values, y, 3, 0.9), 3),
        (Confidence.fitted(values[:5], y[:5], 3, 0.9), 3),
        (Confidence.fitted(values, values, None, 0.8), 3),
    ):
        record = json.loads(json.dumps(sure.record(), allow_nan=False))
        assert Confidence.restored(record, targets) == sure
    for changes in ({"level": 1.5}, {"quantiles": [-1.0]}, {"temperature": 0.0}, {"quantiles": [1.0, 2.0]}):
        with pytest.raises(ValueError, match="does not fit"):
            Confidence.restored(Confidence.fitted(values, y, 3, 0.9).record() | changes, 3)


def test_too_few_rows_give_sets_of_all_and_no_width():
    values, y = drawn(100, 3)
    assert Confidence.fitted(values[:8], y[:8], 3, 0.9).described(values, y) == {
        "coverage": 1.0,
        "set_size": 3.0,
    }
    numbers = values[:, 0].contiguous()
    few = Confidence.fitted(values[:8, :1], numbers[:8], None, 0.9)
    assert few.described(values[:, :1], numbers) == {"coverage": 1.0}


def test_what_an_object_does_not_have_is_said():
    values, y = drawn(60, 3)
    with pytest.raises(ValueError, match="no intervals"):
        Confidence.fitted(values, y, 3, 0.9).intervals(values)
    with pytest.raises(ValueError, match="no probabilities"):
        Confidence.fitted(values, values, None, 0.9).sets(values)


def test_the_old_score_is_untouched():
    values, y = drawn(60, 3)
    assert scores.described(values, y, 3, 1.0)["accuracy"] == metrics.score(values, y, 3)[1]
