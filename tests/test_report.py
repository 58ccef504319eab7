"""Test the report on run folders written here: varying keys, means over seeds, Pareto front, escaping."""

import json
import re

import numpy as np
import pytest

from ntkrun.cli import main as cli
from ntkrun.errors import DataError
from ntkrun.report import page
from ntkrun.report.charts import charts
from ntkrun.report.collect import runs_of, sheets
from ntkrun.report.points import points
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
    assert sheet.best.label == "exact_ntk"


def test_a_run_done_twice_counts_once(root):
    put(root, 50, dim=512, seed=2, score=0.5)
    (sheet,) = sheets(runs_of(root))
    line = next(s for s in sheet.lines if s.label == "ntk_sketch" and s.dim == 512)
    assert len(line.runs) == 3
    assert line.score == pytest.approx((0.79 + 0.8 + 0.5) / 3)


def test_pictures_are_those_that_the_runs_allow(root):
    (sheet,) = sheets(runs_of(root))
    assert [name for name, _, _ in figures(sheet)] == ["dim", "time", "error", "phases"]
    put(root, 70, dim=512, config={"degree": 4}, **{"kernel/error": 0.1})
    (sheet,) = sheets(runs_of(root))
    assert "degree" in [name for name, _, _ in figures(sheet)]


def test_the_page_is_self_contained_and_escapes_what_runs_say(root):
    put(root, 80, method="<script>alert(1)</script>", score=0.1)
    bad = put(root, 81)
    (bad / "status.json").write_text(
        json.dumps({"status": "FAILED", "error": "<img src=x onerror=alert(2)>"})
    )
    text = page.render(runs_of(root), "a & b")
    assert "<script" not in text
    assert "<img src=x" not in text
    assert "&lt;script&gt;" in text
    assert "a &amp; b" in text
    sources = re.findall(r'(?:src|href)="([^"]*)"', text)
    assert sources
    assert all(s.startswith("data:image/svg+xml;base64,") for s in sources)
    assert "FAILED" in text
    record("S6", "names and errors of runs with HTML in them: escaped, nothing is loaded", 3)


def test_report_command(root, capsys):
    assert cli.main(["report", str(root)]) == 0
    assert "13 runs in" in capsys.readouterr().out
    assert (root / "report.html").stat().st_size > 20_000
    assert cli.main(["report", str(root), "--experiment", "other"]) == 3
    assert "holds no finished run of experiment 'other'" in capsys.readouterr().err


def test_nothing_to_report_is_said(tmp_path):
    with pytest.raises(DataError, match="holds no finished run"):
        runs_of(tmp_path)
