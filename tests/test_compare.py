"""Test the paired comparison of two runs, on numbers worked out by hand or by scipy, and on real runs."""

import hashlib
import itertools
import json

import numpy as np
import pytest
from scipy import stats

from ntkrun.cli import main as cli
from ntkrun.errors import DataError, IntegrityError
from ntkrun.report import paired
from ntkrun.store import predictions
from ntkrun.store.predictions import Predictions
from tests.test_report import put

X = np.arange(40, dtype=np.float32).reshape(20, 2)


def classes(right, sha="x"):
    """Return predictions of three classes, right where `right` is."""
    labels = np.arange(len(right), dtype=np.uint16) % 3
    return Predictions(
        np.where(right, labels, (labels + 1) % 3).astype(np.uint16), labels, ["a", "b", "c"], sha
    )


def values(error, sha="x"):
    labels = np.linspace(0, 1, len(error))[:, None]
    return Predictions(labels + np.asarray(error)[:, None], labels, [], sha)


def test_classes_are_compared_by_mcnemar():
    a, b = np.ones(100, bool), np.ones(100, bool)
    a[:2], b[2:12] = False, False
    found = paired.compared([([classes(a)], [classes(b)])])
    assert (found.metric, found.rows, found.only_a, found.only_b) == ("accuracy", 100, 10, 2)
    assert found.difference == pytest.approx(0.08)
    assert found.p == pytest.approx(2 * sum(stats.binom.pmf(k, 12, 0.5) for k in range(3)))
    # Agresti and Min: (10.5 - 2.5) / 102 +- 1.96 sqrt(13 - 64 / 102) / 102
    half = 1.959964 * np.sqrt(13 - 64 / 102) / 102
    assert (found.low, found.high) == pytest.approx((8 / 102 - half, 8 / 102 + half), abs=1e-6)
    assert found.verdict.startswith("A is better")
    turned = paired.compared([([classes(b)], [classes(a)])])
    assert (turned.difference, turned.low, turned.p) == pytest.approx(
        (-found.difference, -found.high, found.p)
    )
    assert turned.verdict.startswith("B is better")


def test_equal_predictions_tell_nothing():
    same = classes(np.arange(30) % 2 == 0)
    found = paired.compared([([same], [same])])
    assert (found.difference, found.p) == (0, 1)
    assert found.low < 0 < found.high
    assert "do not tell" in found.verdict
    assert paired.compared([([values([1, 1])], [values([1, 1])])]).p == 1


def test_the_interval_of_matched_shares_covers():
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(1000):
        b, c, *_ = rng.multinomial(200, [0.08, 0.04, 0.88])
        low, high = paired.matched_interval(b, c, 200)
        covered += low <= 0.04 <= high
    assert 0.93 < covered / 1000 < 0.98


def test_values_are_compared_by_a_paired_t():
    rng = np.random.default_rng(1)
    one, two = rng.normal(size=50), 1.5 * rng.normal(size=50)
    found = paired.compared([([values(one)], [values(two)])])
    truth = stats.ttest_rel(one**2, two**2)
    assert found.metric == "mse"
    assert found.p == pytest.approx(truth.pvalue)
    assert (found.low, found.high) == pytest.approx(tuple(truth.confidence_interval(0.95)))
    assert found.only_a is None


def test_runs_of_one_configuration_are_averaged_row_by_row():
    rng = np.random.default_rng(2)
    sides = [[classes(rng.random(60) < share) for _ in range(3)] for share in (0.9, 0.6)]
    found = paired.compared([tuple(sides)])
    a, b = (np.mean([1 - one.loss for one in side], axis=0) for side in sides)
    assert found.test == "paired t"
    assert (found.a, found.b) == pytest.approx((a.mean(), b.mean()))
    assert found.p == pytest.approx(stats.ttest_rel(a, b).pvalue)


def test_folds_are_compared_fold_by_fold(tmp_path):
    runs = []
    for number, (method, fold) in enumerate(itertools.product(("rff", "raw"), range(2))):
        folder = put(tmp_path, number, method=method)
        right = np.ones(30 + fold, bool)
        right[: 3 + 4 * (method == "raw")] = False
        predictions.write(folder, classes(right))
        runs.append(paired_run(folder))
    found = paired.of_runs(runs[:2], runs[2:][::-1])
    assert (found.rows, found.only_a, found.only_b) == (61, 8, 0)
    assert found.test == "McNemar, exact"
    with pytest.raises(DataError, match="test rows of 001 must be those of 002"):
        paired.of_runs(runs[:2], runs[2:3])


def test_wilson_is_that_of_scipy():
    truth = stats.binomtest(47, 50).proportion_ci(0.95, "wilson")
    assert paired.wilson(0.94, 50) == pytest.approx((truth.low, truth.high))
    assert paired.wilson(1.0, 50)[1] == 1


@pytest.mark.parametrize("names", [["a", "b", "c"], []])
def test_predictions_come_back_as_they_were_kept(tmp_path, names):
    rng = np.random.default_rng(3)
    scores = rng.normal(size=(20, 3 if names else 1)).astype(np.float32)
    labels = rng.integers(0, 3, 20) if names else rng.normal(size=20)
    kept = predictions.of(scores, labels, names, hashlib.sha256())
    predictions.write(tmp_path, kept)
    found = predictions.read(tmp_path)
    assert (found.names, found.sha256) == (names, kept.sha256)
    assert np.array_equal(found.labels.ravel(), labels)
    assert np.array_equal(found.predicted, scores.argmax(1) if names else scores)
    loss = scores.argmax(1) != labels if names else (scores[:, 0] - labels) ** 2
    assert np.allclose(found.loss, loss)
    assert predictions.read(tmp_path / "elsewhere") is None
    file = tmp_path / predictions.NAME
    file.write_bytes(file.read_bytes()[:-40])
    with pytest.raises(IntegrityError, match=r"cannot be read.*ntkrun rerun"):
        predictions.read(tmp_path)


def test_the_hash_knows_rows_and_labels():
    def hash_of(rows, labels):
        return predictions.of(np.zeros((4, 1)), labels, [], hashlib.sha256(rows)).sha256

    y = np.arange(4.0)
    assert len({hash_of(b"rows", y), hash_of(b"swor", y), hash_of(b"rows", y[::-1])}) == 3
    assert hash_of(b"rows", y) == hash_of(b"rows", y[:, None])


def two(root, left, right, **names):
    folders = [put(root, 1, method="ntk_sketch"), put(root, 2, method="rff")]
    for folder, kept in zip(folders, (left, right), strict=True):
        if kept is not None:
            predictions.write(folder, kept)
    return folders


def test_compare_prints_lines_or_json(tmp_path, capsys):
    right = np.ones(100, bool)
    wrong = right.copy()
    wrong[:8] = False
    a, b = two(tmp_path, classes(right), classes(wrong, "y"))
    assert cli.main(["compare", str(a), "002", "--output-dir", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "A               ntk_sketch, 512 columns, 001\n" in out
    assert "100 test rows, the same in both by their labels; their inputs differ" in out
    assert "A 1.0000, B 0.9200" in out
    assert "+0.0800   95 % interval +0.0" in out
    assert "p = 0.00781; right in A alone 8, in B alone 0" in out
    assert "differ          method.name: ntk_sketch, rff" in out
    assert cli.main(["compare", str(a), str(b), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["p"] == pytest.approx(2 / 2**8)
    assert (found["a_folder"], found["only_a"], found["same_inputs"]) == (str(a), 8, False)
    assert found["differ"] == {"method.name": {"a": "ntk_sketch", "b": "rff"}}


@pytest.mark.parametrize(
    ("right", "code", "says"),
    [
        (None, 3, "002 keeps no predictions, because an older ntkrun wrote it. Repeat it: ntkrun rerun"),
        (classes(np.ones(40, bool)), 3, "Got '40 others' instead. Compare runs of one data set"),
        (values(np.ones(50)), 3, "Got '50 others' instead. Compare runs of one data set"),
    ],
)
def test_runs_that_cannot_be_compared_are_named(tmp_path, capsys, right, code, says):
    a, b = two(tmp_path, classes(np.ones(50, bool)), right)
    assert cli.main(["compare", str(a), str(b)]) == code
    err = capsys.readouterr().err
    assert says in err
    assert err.count("\n") == 1


def test_runs_keep_predictions_with_the_score_they_had(ntkrun, capsys):
    tiny = ["dataset.n_train=60", "dataset.n_test=30", "feature_dim=48", "baseline=none", "method=ntk_sketch"]
    for seed in (0, 1):
        assert ntkrun(*tiny, f"seed={seed}")[0] == 0
    a, b = sorted(ntkrun.out.glob("runs/*"))
    found = paired.of_runs([paired_run(a)], [paired_run(b)])
    assert (found.a, found.b) == pytest.approx(tuple(paired_run(f).result["test/accuracy"] for f in (a, b)))
    assert found.same_inputs
    assert cli.main(["verify", str(ntkrun.out)]) == 0
    (a / predictions.NAME).write_bytes(b"PK")
    assert cli.main(["verify", str(ntkrun.out)]) == 4
    assert "predictions.npz cannot be read" in capsys.readouterr().out
    with pytest.raises(DataError, match="holds no config"):
        paired_run(a.parent)


def paired_run(folder):
    from ntkrun.store.runs import load

    return load(folder)
