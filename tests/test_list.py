"""Test what ntkrun list says about runs."""

from pathlib import Path

from ntkrun.cli.commands import list as listing
from ntkrun.store.runs import Run


def run_of(mark, score=None, metric="accuracy", started=0, **config):
    result = {} if score is None else {f"test/{metric}": score, f"valid/{metric}": score, "feature_dim": 64}
    status = {"status": "FINISHED" if result else "FAILED", "started": started, "sweep": "/o/sweeps/s1/"}
    config = {
        "dataset": {"name": "digits"},
        "method": {"name": "rff"},
        "seed": 0,
        "output_dir": mark,
    } | config
    return Run(Path(f"/o/runs/2026_digits_{mark}"), config, status, {}, result)


def test_only_what_varies_is_shown():
    runs = [run_of("aaaa", 0.5, degree=2, depth=3), run_of("bbbb", 0.75, degree=4, depth=3, seed=1)]
    first, second = listing.described(runs)
    assert (first["varies"], second["varies"]) == ({"degree": 2}, {"degree": 4})
    assert (first["id"], first["sweep"], second["seed"]) == ("aaaa", "s1", 1)
    head, line, _ = listing.lines([first, second])
    assert "depth" not in head + line
    assert line.index("degree=2") == head.index("varies")
    assert line.endswith("accuracy 0.5000  s1")


def test_a_key_that_one_method_lacks_does_not_vary():
    with_bias = run_of("bbbb", method={"name": "ntk_sketch", "bias": 0.0})
    assert listing.described([run_of("aaaa"), with_bias])[1]["varies"] == {}


def test_the_best_comes_last_and_unfinished_runs_first():
    runs = [run_of("best", 0.9), run_of("none"), run_of("good", 0.8)]
    names = [f["id"] for f in sorted(listing.described(runs), key=lambda a: listing.rank(a, "score"))]
    assert names == ["none", "good", "best"]
    errors = [run_of("more", 2.0, "mse"), run_of("less", 1.0, "mse")]
    names = [f["id"] for f in sorted(listing.described(errors), key=lambda a: listing.rank(a, "valid"))]
    assert names == ["more", "less"]


def test_empty_columns_and_long_values():
    (about,) = listing.described([run_of("none")])
    assert "speed-up" not in listing.lines([about])[0]
    assert listing.lines([]) == []
    assert listing.short("/a/very/long/folder/of/data.csv") == "...ng/folder/of/data.csv"
