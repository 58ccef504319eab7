"""How sure predictions are, from the held-out rows of a run to its result and its saved model."""

import json

import numpy as np
import pytest
import torch
from sklearn.metrics import balanced_accuracy_score, log_loss, roc_auc_score

from ntkrun.errors import DataError
from ntkrun.executors.serial import Serial
from ntkrun.maths import metrics, scores
from ntkrun.maths.confidence import Confidence
from ntkrun.maths.method.raw import Raw
from ntkrun.maths.ridge.dual import dual_path
from ntkrun.model import Model
from ntkrun.solvers.ridge import Ridge
from ntkrun.solvers.ridge_cg import RidgeCG
from ntkrun.stages import regress, score
from ntkrun.store.features import Test, Train, Valid
from ntkrun.store.shards import ShardStore

RAW = ["method=raw", "baseline=none"]


def only(ntkrun):
    (folder,) = ntkrun.out.glob("runs/*")
    return folder, json.loads((folder / "result.json").read_text())


def stored(folder, classes, columns=12, views=1, sizes=(150, 50, 100)):
    """Return the parts of a data set whose truth depends on the features, and their rows by role."""
    rng = np.random.default_rng(0)
    store, parts, kept = ShardStore(folder, {}), {}, {}
    w = rng.normal(size=(columns, classes or 1))
    for role, n in zip(("train", "valid", "test"), sizes, strict=True):
        z = rng.normal(size=(n, columns))
        values = z @ w + rng.normal(size=(n, classes or 1))
        y = values.argmax(1) if classes else values[:, 0]
        z, y = np.repeat(z, views, 0), np.repeat(y, views, 0)
        z += (views > 1) * rng.normal(size=z.shape)
        parts[role], kept[role] = [], (z, y)
        for i in range(0, len(z), 40):
            store.write(f"{role}-{i:05d}.h5", role, i, z[i : i + 40], y[i : i + 40], 0.0)
            parts[role].append(f"{role}-{i:05d}.h5")
    rest = torch.device("cpu"), columns, views, classes
    made = [cls(store, parts[r], *rest) for r, cls in (("train", Train), ("valid", Valid), ("test", Test))]
    return made, kept


def by_hand(kept, relative, classes, views=1):
    """Return the held-out predictions of the fit to the train part alone, and the labels."""
    (z, y), (z_valid, y_valid) = (tuple(map(torch.from_numpy, kept[r])) for r in ("train", "valid"))
    (fit,) = dual_path(z @ z.T, metrics.targets(y, classes), [relative])
    return metrics.per_example(fit.predict(z_valid @ z.T), y_valid, views)


@pytest.mark.parametrize("solver", [Ridge(), RidgeCG(tolerance=1e-12)])
@pytest.mark.parametrize(("classes", "views"), [(3, 1), (3, 2), (None, 1)])
def test_confidence_is_that_of_the_fit_without_the_held_out_rows(tmp_path, solver, classes, views):
    (train, valid, test), kept = stored(tmp_path, classes, views=views)
    fit = regress.run(train, valid, Raw(), solver, Serial())
    prediction, labels = by_hand(kept, fit.relative[fit.best], classes, views)
    assert torch.equal(fit.labels, labels)
    assert torch.allclose(fit.prediction, prediction, atol=1e-4 if solver.name == "ridge_cg" else 1e-8)
    expected = Confidence.fitted(prediction, labels, classes, 0.9)
    assert fit.confidence.quantiles == pytest.approx(expected.quantiles, abs=1e-4)
    # the refit has seen the held-out rows: its residuals on them would be too small
    z = torch.from_numpy(kept["valid"][0])
    refit, _ = metrics.per_example(fit.predictor.predict(z), labels.repeat_interleave(views), views)
    own = Confidence.fitted(refit, labels, classes, 0.9)
    assert own.quantiles != pytest.approx(expected.quantiles, abs=1e-4)
    found = score.run(fit, test)
    assert found.more[found.metric] == found.value
    assert found.more["coverage"] == fit.confidence.described(found.prediction, found.labels)["coverage"]


@pytest.mark.parametrize("name", [*scores.CLASSES, *scores.TARGETS])
def test_any_score_can_choose_lambda(tmp_path, name):
    classes = 3 if name in scores.CLASSES else None
    (train, valid, _), kept = stored(tmp_path, classes)
    fit = regress.run(train, valid, Raw(), Ridge(select_by=name, lambda_count=9), Serial())
    assert fit.metric == name
    values = [scores.score(name, *by_hand(kept, r, classes), classes) for r in fit.relative]
    assert fit.valid_scores == pytest.approx(values, abs=1e-6)
    best = max(fit.valid_scores) if name in scores.LARGER else min(fit.valid_scores)
    assert fit.valid_scores[fit.best] == best


def test_a_default_choice_is_the_named_one(tmp_path):
    for i, (classes, name) in enumerate(((3, "accuracy"), (None, "mse"))):
        (train, valid, _), _ = stored(tmp_path / str(i), classes)
        fits = [regress.run(train, valid, Raw(), Ridge(select_by=by), Serial()) for by in (None, name)]
        assert fits[0].valid_scores == fits[1].valid_scores
        assert fits[0].best == fits[1].best


def test_a_score_that_the_held_out_rows_lack_is_refused(tmp_path):
    (train, valid, _), _ = stored(tmp_path, 3, sizes=(150, 1, 100))
    with pytest.raises(DataError, match="select_by of Ridge must be a score that the held-out rows have"):
        regress.run(train, valid, Raw(), Ridge(select_by="auc"), Serial())
    regress.run(train, valid, Raw(), Ridge(), Serial())


@pytest.mark.pictures
def test_a_run_of_classes(ntkrun):
    code, _, err = ntkrun(*RAW, "dataset.n_train=400", "solver.select_by=log_loss", "solver.level=0.95")
    assert code == 0, err
    assert "valid log_loss" in err
    assert "95 % sets of" in err
    folder, result = only(ntkrun)
    path = json.loads((folder / "lambda_path.json").read_text())
    assert path["metric"] == "log_loss"
    assert min(path["valid_scores"]) == result["valid/log_loss"]
    assert result["valid/accuracy"] > 0.8
    assert (folder / "figures" / "lambda.png").stat().st_size > 5000
    for part in ("test", "valid"):
        assert {f"{part}/{name}" for name in scores.CLASSES} <= set(result)
        after, before = (result[f"{part}/calibration_error{s}"] for s in ("", "_t1"))
        assert after < before
    assert result["test/coverage"] >= 0.9

    from ntkrun.datasets.digits import Digits

    test = Digits(n_train=400).load().test
    model = Model.load(folder / "model")
    p = model.probabilities(test.x)
    assert p.shape == (len(test.y), 10)
    assert log_loss(test.y, p) == pytest.approx(result["test/log_loss"], abs=1e-5)
    assert roc_auc_score(test.y, p, multi_class="ovr") == pytest.approx(result["test/auc"], abs=1e-4)
    balanced = balanced_accuracy_score(test.y, model.predict(test.x))
    assert balanced == pytest.approx(result["test/balanced_accuracy"])
    sets = model.sets(test.x)
    assert sets.sum(1).mean() == pytest.approx(result["test/set_size"], abs=0.02)
    assert sets[np.arange(len(test.y)), test.y].mean() == pytest.approx(result["test/coverage"], abs=0.01)
    with pytest.raises(DataError, match="has probabilities and sets of classes only"):
        model.intervals(test.x)

    from mlflow.tracking import MlflowClient

    logged = MlflowClient(f"sqlite:///{ntkrun.out / 'mlflow.db'}").get_run(result["mlflow/run_id"])
    assert logged.data.metrics["test/calibration_error"] == result["test/calibration_error"]
    assert logged.data.params["solver.level"] == "0.95"


def test_a_run_of_numbers(ntkrun, tmp_path):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(600, 4))
    table = np.column_stack([x, x @ [1, 2, 3, 4] + rng.normal(size=600)])
    np.savetxt(tmp_path / "t.csv", table, delimiter=",", header="a,b,c,d,y", comments="")
    code, _, err = ntkrun(*RAW, "dataset=csv", f"dataset.path={tmp_path / 't.csv'}", "solver.select_by=mae")
    assert code == 0, err
    assert "90 % intervals of width" in err
    folder, result = only(ntkrun)
    assert result["test/r2"] > 0.9
    assert result["test/mae"] == pytest.approx(0.8, abs=0.15)
    assert 0.8 < result["test/coverage"] < 0.98
    assert {"valid/mae", "valid/mse", "valid/r2"} <= set(result)
    model = Model.load(folder / "model")
    low, high = model.intervals(table[:, :4]).T
    assert np.allclose((low + high) / 2, model.predict(table[:, :4]))
    assert np.allclose(high - low, result["test/interval_width"])
    assert ((low <= table[:, 4]) & (table[:, 4] <= high)).mean() > 0.8
    with pytest.raises(DataError, match="has intervals only"):
        model.probabilities(table[:, :4])


def test_an_earlier_model_predicts_but_does_not_know(ntkrun):
    code, _, err = ntkrun(*RAW, "dataset.n_train=200", "dataset.n_test=20")
    assert code == 0, err
    folder, _ = only(ntkrun)
    path = folder / "model" / "model.json"
    x = np.load(folder / "model" / "model.npz")["sample"]
    whole = json.loads(path.read_text())
    path.write_text(json.dumps({k: v for k, v in whole.items() if k != "confidence"}))
    model = Model.load(folder / "model")
    assert model.predict(x).shape == (1,)
    with pytest.raises(DataError, match="is of an earlier version and lacks its confidence"):
        model.probabilities(x)
    for damage in ({"level": 2}, {"temperature": None}, {"quantiles": "much"}):
        path.write_text(json.dumps(whole | {"confidence": whole["confidence"] | damage}))
        with pytest.raises(DataError, match="holds no model"):
            Model.load(folder / "model")


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("solver.select_by=mse", "solver.select_by of Ridge must be one of accuracy, balanced_accuracy"),
        ("solver.select_by=luck", "solver.select_by of Ridge must be one of accuracy, balanced_accuracy"),
        ("solver.level=1", "solver.level of Ridge must be a finite number in (0, 1). Got 1 instead."),
        ("solver.level=high", "solver.level of Ridge must be a finite number in (0, 1). Got 'high' instead."),
    ],
)
def test_a_wrong_key_is_said_and_leaves_nothing(ntkrun, word, message):
    code, _, err = ntkrun(*RAW, word)
    assert code == 2
    assert message in err
    assert not list(ntkrun.out.glob("runs/*"))
