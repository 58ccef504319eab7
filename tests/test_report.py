"""Test the report on run folders written here: columns, means over seeds, best line, charts, escaping."""

import base64
import hashlib
import json
import re

import numpy as np
import pytest

from ntkrun.cli import main as cli
from ntkrun.errors import DataError
from ntkrun.report import charts, details, page
from ntkrun.report.collect import runs_of, sheets
from ntkrun.report.points import points
from ntkrun.store import predictions
from tests.faults.plan import record

BASE = {
    "dataset": {"name": "digits", "n_train": None, "data_dir": "/somewhere"},
    "solver": {"lambda_count": 28},
    "tracking": {"uri": None, "experiment": "ntkrun"},
    "output_dir": "outputs",
    "degree": 2,
}


def put(root, number, *, method="ntk_sketch", dim=512, seed=0, score=0.9, seconds=1.0, config=None, **result):
    folder = root / "runs" / f"{number:03d}"
    folder.mkdir(parents=True)
    section = {"name": method, "n_components": dim, "random_state": seed}
    if method == "exact_ntk":
        section = {"name": method}
    written = {**BASE, "method": section, "feature_dim": dim, "seed": seed, **(config or {})}
    record = {
        "method": method,
        "dataset": "digits",
        "feature_dim": dim,
        "kind": "kernel" if method == "exact_ntk" else "features",
        "test/accuracy": score,
        "valid/accuracy": score - 0.02,
        "n_train": 100,
        "n_test": 50,
        **{f"time/{p}_s": seconds for p in ("featurize", "solve", "predict")},
        "time/total_s": 3 * seconds,
        "memory/peak_rss_mb": 100.0,
        **result,
    }
    documents = {"config": written, "result": record, "status": {"status": "FINISHED", "started": number}}
    documents["environment"] = {"cpu": "abacus", "packages": {"torch": "2"}}
    for name, document in documents.items():
        (folder / f"{name}.json").write_text(json.dumps(document))
    return folder


@pytest.fixture
def root(tmp_path):
    """Write runs of two methods at two sizes with three seeds each, and of an exact kernel."""
    number = 0
    for i, method in enumerate(("ntk_sketch", "rff")):
        for j, dim in enumerate((512, 1024)):
            for seed in range(3):
                score = 0.8 + 0.05 * i + 0.02 * j + 0.01 * (seed - 1)
                error = {"kernel/error": 0.3 / (j + 1)}
                put(
                    tmp_path,
                    number,
                    method=method,
                    dim=dim,
                    seed=seed,
                    score=score,
                    seconds=j + 1 + 3 * i,
                    **error,
                )
                number += 1
    put(tmp_path, number, method="exact_ntk", dim=100, score=0.99, seconds=100.0)
    return tmp_path


def points_of(sheet, most=600):
    return points(sheet, page.shown(sheet, most), {})


def names(sheet):
    return [name for name, _, _ in charts.charts(sheet, points_of(sheet))]


def test_seeds_share_a_line_with_mean_and_spread(root):
    (sheet,) = sheets(runs_of(root))
    assert sheet.keys == ["method", "feature_dim"]
    assert [(line.label, line.dim, len(line.runs)) for line in sheet.lines] == [
        ("exact_ntk", 100, 1),
        ("ntk_sketch", 512, 3),
        ("ntk_sketch", 1024, 3),
        ("rff", 512, 3),
        ("rff", 1024, 3),
    ]
    line = sheet.lines[1]
    assert line.score == pytest.approx(0.8)
    assert line.spread == pytest.approx(np.std([0.79, 0.8, 0.81], ddof=1))


def test_a_run_done_twice_counts_once(root):
    put(root, 50, dim=512, seed=2, score=0.5)
    (sheet,) = sheets(runs_of(root))
    line = next(s for s in sheet.lines if s.label == "ntk_sketch" and s.dim == 512)
    assert len(line.runs) == 3
    assert line.score == pytest.approx((0.79 + 0.8 + 0.5) / 3)


def test_the_best_line_is_that_of_held_out_rows(root):
    put(root, 50, method="raw", score=0.7, **{"valid/accuracy": 0.999})
    (sheet,) = sheets(runs_of(root))
    assert [line.label for line in sheet.ranked[:2]] == ["raw", "exact_ntk"]
    (best,) = (p for p in points_of(sheet) if p["best"])
    assert best["method"] == "raw"
    text = page.render(runs_of(root), "x", root)
    assert "Best by held-out accuracy:</b> raw, 512 columns" in text
    assert text.count('<tbody class="best">') == 1


def test_no_line_is_best_without_a_held_out_score(tmp_path):
    for number, dim in enumerate((64, 128)):
        put(tmp_path, number, dim=dim, **{"valid/accuracy": None})
        file = tmp_path / "runs" / f"{number:03d}" / "result.json"
        file.write_text(file.read_text().replace('"valid/accuracy": null, ', ""))
    (sheet,) = sheets(runs_of(tmp_path))
    assert sheet.ranked == []
    assert "Best by held-out" not in page.render(runs_of(tmp_path), "x", tmp_path)


def test_an_error_is_best_if_it_is_small(tmp_path):
    for number, error in enumerate((0.3, 0.2, 0.4)):
        folder = put(tmp_path, number, dim=64 * (number + 1), **{"test/mse": error, "valid/mse": error})
        file = folder / "result.json"
        file.write_text(file.read_text().replace("/accuracy", "/other"))
    (sheet,) = sheets(runs_of(tmp_path))
    assert sheet.metric == "mse"
    assert [line.dim for line in sheet.ranked] == [128, 64, 192]
    assert page.shown(sheet, 2)[0].dim == 64


def test_baselines_are_rows_unless_the_exact_kernel_has_its_own(tmp_path):
    exact = {"exact/time_s": 40.0, "exact/time_kind": "measured", "exact/accuracy": 0.95, "speedup": 10.0}
    put(tmp_path, 1, dim=64, **exact)
    put(tmp_path, 2, dim=128, seed=1, **{**exact, "exact/time_s": 60.0})
    guess = {"exact/time_s": 9e9, "exact/time_kind": "extrapolated", "speedup": 1e9}
    put(tmp_path, 3, method="rff", dim=64, **guess)
    (sheet,) = sheets(runs_of(tmp_path))
    shown = [(one.methods, one.score, one.seconds, one.kind, one.runs) for one in sheet.baselines]
    assert shown == [
        (["ntk_sketch"], 0.95, 50.0, "measured", 2),
        (["rff"], None, 9e9, "extrapolated", 1),
    ]
    text = page.render(runs_of(tmp_path), "x", tmp_path)
    assert "exact kernel of ntk_sketch" in text
    assert "285.2 years" in text
    assert '<span class="quiet">extrapolated</span>' in text
    put(tmp_path, 4, method="exact_ntk", score=0.95)
    (sheet,) = sheets(runs_of(tmp_path))
    assert [one.methods for one in sheet.baselines] == [["rff"]]


def test_what_changes_no_result_is_no_column(root):
    put(root, 90, dim=512, seed=0, score=0.79, config={"baseline": "none"})
    (sheet,) = sheets(runs_of(root))
    assert sheet.keys == ["method", "feature_dim"]
    line = next(s for s in sheet.lines if s.label == "ntk_sketch" and s.dim == 512)
    assert len(line.runs) == 3


def test_a_single_run_shows_its_method_and_columns(tmp_path):
    put(tmp_path, 1)
    text = page.render(runs_of(tmp_path), "x", tmp_path)
    assert '<span class="name">ntk_sketch</span><span class="narrow"> 512 columns</span></th>' in text
    assert "<h3>The run</h3>" in text
    assert 'class="filter"' not in text


def test_pictures_are_those_that_the_runs_allow(root):
    (sheet,) = sheets(runs_of(root))
    assert names(sheet) == ["dim", "time", "error", "phases"]
    put(root, 70, dim=512, config={"degree": 4}, **{"kernel/error": 0.1})
    put(root, 71, config={"dataset": {**BASE["dataset"], "n_train": 50}}, n_train=50)
    (sheet,) = sheets(runs_of(root))
    assert names(sheet) == ["dim", "time", "learning", "error", "degree", "phases"]
    assert sheet.keys == ["method", "degree", "feature_dim", "dataset.n_train"]


def stairs(svg):
    """Return the heights of the front's steps, from the top of the picture."""
    (path,) = re.findall(r'<path aria-label="[^"]*best_yet[^"]*"[^>]* d="([^"]*)"', svg)
    return [float(y) for _, y in re.findall(r"L([-\d.]+),([-\d.]+)", path)]


def test_the_front_goes_up_in_steps(root):
    put(root, 60, method="rff", dim=256, score=0.86, seconds=0.5)
    (sheet,) = sheets(runs_of(root))
    (spec,) = (spec for name, _, spec in charts.charts(sheet, points_of(sheet)) if name == "time")
    heights = stairs(charts.svg(spec, points_of(sheet)))
    # .86 at once, .87 after 15 s, .99 after 300 s: what costs more and scores less is not on it
    assert len(set(heights)) == 3
    assert heights == sorted(heights, reverse=True)


def test_pictures_of_equal_runs_are_equal(root):
    (sheet,) = sheets(runs_of(root))
    (_, _, spec), *_ = charts.charts(sheet, points_of(sheet))
    light, dark = (charts.svg(spec, points_of(sheet), look) for look in charts.THEMES)
    assert light == charts.svg(spec, points_of(sheet))
    assert light != dark
    assert charts.png(spec, points_of(sheet)).startswith(b"\x89PNG")


def test_many_runs_make_no_larger_page(tmp_path, monkeypatch):
    monkeypatch.setattr(page, "SHOWN", 4)
    monkeypatch.setattr(page, "DETAILED", 2)
    for number in range(9):
        put(tmp_path, number, dim=64 + number, score=0.5 + 0.01 * number)
    put(tmp_path, 9, method="exact_ntk", score=0.1)
    text = page.render(runs_of(tmp_path), "x", tmp_path)
    assert "6 more runs have lower held-out scores" in text
    assert text.count('<tr class="line">') == 4
    assert text.count('<details class="run"') == 2
    assert '<span class="name">exact_ntk</span>' in text
    assert '<td class="minor">72</td>' in text
    assert '<td class="minor">64</td>' not in text


def test_two_best_are_tested_on_their_predictions(tmp_path):
    right = np.ones(50, bool)
    for number, dim in enumerate((64, 128, 256)):
        folder = put(tmp_path, number, dim=dim, score=0.9 + 0.01 * number)
        labels = np.arange(50, dtype=np.uint16) % 2
        right[: 10 - 5 * number] = False
        found = np.where(right, labels, 1 - labels).astype(np.uint16)
        predictions.write(folder, predictions.Predictions(found, labels, ["a", "b"], "x"))
        right[:] = True
    text = " ".join(page.render(runs_of(tmp_path), "x", tmp_path).split())
    assert "Second: ntk_sketch, 128 columns. On the same 50 test rows: 1.0000 and 0.9000" in text
    assert "McNemar, exact, p = 0.062" in text
    assert "do not tell which of the two is better" in text
    assert '<td class="s9">25</td>' in text  # of the confusion matrix
    (tmp_path / "runs" / "002" / predictions.NAME).write_bytes(b"PK")
    assert "No paired test:" in page.render(runs_of(tmp_path), "x", tmp_path)


def test_many_classes_and_values_are_summed_up():
    labels = np.arange(60, dtype=np.uint16) % 30
    found = labels.copy()
    found[[0, 30, 1]] = [5, 5, 6]
    kept = predictions.Predictions(found, labels, [f"c{i}" for i in range(30)], "x")
    assert details.confused(details.confusion(kept), kept.names) == [("c0", "c5", 2), ("c1", "c6", 1)]
    value = np.linspace(-1, 1, 101)[:, None]
    kept = predictions.Predictions(value, np.zeros((101, 1)), [], "x")
    assert details.residuals(kept)[1:3] == [("25 %", "-0.5"), ("50 %", "+0")]


def test_the_page_is_self_contained_and_escapes_what_runs_say(root):
    put(root, 80, method="<script>alert(1)</script>", score=0.1)
    bad = put(root, 81)
    (bad / "status.json").write_text(
        json.dumps({"status": "FAILED", "error": "<img src=x onerror=alert(2)>"})
    )
    text = page.render(runs_of(root), "a & b", root)
    own = text.replace(charts.script(), "")
    assert "<script>alert" not in text
    assert re.findall(r"<script[^>]*>", own) == [
        '<script type="application/json" class="data">',
        '<script type="application/json" id="themes">',
        "<script>",
        "<script>",
    ]
    assert "<img src=x" not in text
    assert "&lt;script&gt;" in text
    assert "a &amp; b" in text
    sources = re.findall(r'(?:src|srcset)="([^"]*)"', own)
    assert sources
    assert all(s.startswith("data:image/svg+xml;base64,") for s in sources)
    assert all(s.startswith(("#", "runs/")) for s in re.findall(r'href="([^"]*)"', own))
    assert "FAILED" in text
    record("S6", "names and errors of runs with HTML in them: escaped, nothing is loaded", 3)


def test_the_policy_names_every_script_and_style_by_its_hash(root):
    text = page.render(runs_of(root), "x", root)
    (said,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', text)
    inline = re.findall(r"<(?:style|script)>(.*?)</(?:style|script)>", text, re.S)
    hashes = {base64.b64encode(hashlib.sha256(one.encode()).digest()).decode() for one in inline}
    assert set(re.findall(r"'sha256-([^']*)'", said)) == hashes
    assert len(hashes) == 3
    assert "unsafe" not in said
    assert said.startswith("default-src 'none'; ")


def test_report_command(root, capsys):
    assert cli.main(["report", str(root)]) == 0
    assert "13 runs in" in capsys.readouterr().out
    assert (root / "report.html").stat().st_size > 20_000
    assert cli.main(["report", str(root), "--experiment", "other"]) == 3
    assert "holds no finished run of experiment 'other'" in capsys.readouterr().err


def test_nothing_to_report_is_said(tmp_path):
    with pytest.raises(DataError, match="holds no finished run"):
        runs_of(tmp_path)
