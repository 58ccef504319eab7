"""ntkrun plan says what a run would do, agrees with the run, and writes nothing."""

import json
import re
from types import SimpleNamespace

import pytest

from ntkrun.cli import main as cli
from ntkrun.stages import times
from ntkrun.stages.times import Seen

TINY = ["dataset.n_train=60", "dataset.n_test=20", "feature_dim=48", "depth=2", "baseline=none"]
ROWS = ["dataset=sklearn", "dataset.name=sklearn", "method=ntk_nystrom"]


@pytest.fixture
def plan(tmp_path, capsys):
    """Run the command; return exit code, the lines by their first word, and stderr."""

    def call(*words):
        code = cli.main(["plan", *words, f"output_dir={tmp_path / 'out'}"])
        captured = capsys.readouterr()
        text = re.sub(r"\n {14}(?!solve|predict|baseline|together)", " ", captured.out)
        found = {line[:14].strip() or line.split()[0]: line[14:] for line in text.splitlines()}
        return code, found, captured.err

    call.out = tmp_path / "out"
    return call


def test_a_plan_writes_nothing_and_the_run_agrees(plan, ntkrun):
    code, lines, _ = plan(*TINY)
    assert code == 0
    assert not plan.out.exists()
    assert lines["data"].startswith(
        "digits: 48 rows to train, 12 held out for lambda, 20 to test; dense rows of"
    )
    assert "8 x 8 x 1, 10 classes" in lines["data"]
    assert lines["method"].startswith("cntk_sketch: coefficients=fitted, degree=2, depth=2")
    assert "48 columns of float32, stored in 3 files" in lines["features"]
    assert lines["there"] == "0 of 3 files of features are there"
    assert lines["time"] == "featurize  not measured yet"
    assert "baseline" not in lines
    assert ntkrun(*TINY)[0] == 0
    (folder,) = plan.out.glob("runs/*")
    result = json.loads((folder / "result.json").read_text())
    before = {path: path.stat().st_mtime_ns for path in plan.out.rglob("*")}
    _, after, _ = plan(*TINY)
    assert {path: path.stat().st_mtime_ns for path in plan.out.rglob("*")} == before
    assert after["features"] == lines["features"]
    assert lines["features"].endswith(f"key {result['features_key']}")
    assert after["there"] == "3 of 3 files of features are there"
    assert after["time"] == "featurize  0.0 s, all of them are there"
    assert "from 1 earlier run of solver=ridge at 48 columns on this machine" in after["solve"]
    assert "estimated" not in after["solve"]
    _, other, _ = plan(*TINY, "feature_dim=96", "seed=1")
    assert "estimated from 1 earlier run of cntk_sketch at 48 columns on this machine" in other["time"]
    assert "without the baseline" in other["together"]
    assert "not measured yet" in plan(*TINY, "method.degree=3")[1]["time"]


def test_the_key_of_a_method_that_adapts_is_found_without_a_fit(plan, ntkrun, monkeypatch):
    from ntkrun.maths.method.ntk_nystrom import NTKNystrom

    words = ["method=ntk_nystrom", *TINY]
    assert plan(*words)[1]["features"].endswith("known after the fit")
    assert ntkrun(*words)[0] == 0
    (folder,) = plan.out.glob("features/*")
    monkeypatch.setattr(NTKNystrom, "fit", lambda *_: pytest.fail("the method was fitted"))
    _, lines, _ = plan(*words)
    assert lines["features"].endswith(f"key {folder.name}")
    assert lines["there"].startswith("3 of 3 files")
    assert plan(*words, "seed=1")[1]["features"].endswith("known after the fit")


def test_sums_kernels_and_the_baseline_are_planned_too(plan):
    code, lines, _ = plan(*TINY[:-1], "features=summed", "baseline=auto")
    assert code == 0
    assert "only summed" in lines["features"]
    assert "featurize + solve" in lines["memory"]
    assert lines["baseline"].endswith("the exact kernel, run in full if that is quick: not measured yet")
    _, lines, _ = plan("method=exact_cntk", *TINY)
    assert "60 kernel values of float32" in lines["features"]
    assert lines["time"].startswith("kernel")


@pytest.mark.parametrize(
    "words",
    [
        ["feature_dims=3"],
        ["feature_dim=-3"],
        ["dataset=npz"],
        ["dataset.n_train=100000"],
        ["features=summed", "solver=ridge_cg"],
        ["method.padding=valid", "depth=5"],
        ["nonsense"],
    ],
)
def test_a_wrong_configuration_gives_the_line_of_the_run(plan, ntkrun, words):
    code, lines, err = plan(*words)
    assert not lines
    again, _, said = ntkrun(*words)
    assert (code, err) == (again, said)
    assert code in (2, 3)


def test_too_little_memory_or_disk_comes_after_the_screen(plan, monkeypatch):
    monkeypatch.setattr("ntkrun.machine.available_memory", lambda: 1 << 20)
    code, lines, err = plan(*TINY)
    assert code == 5
    assert "1.0 MiB are free" in lines["memory"]
    assert "The run needs about" in err
    monkeypatch.undo()
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=10_000))
    code, lines, err = plan(*TINY)
    assert code == 5
    assert "9.8 KiB are free" in lines["disk"]
    assert "The run writes about" in err


def test_sweeps_and_studies_are_refused_in_one_line(plan):
    for words, message in (
        (["-m", "seed=0,1"], "words of ntkrun plan must be those of one job"),
        (["seed=0", "hydra.mode=MULTIRUN"], "words of ntkrun plan must be those of one job"),
        (["study=theorem_1"], "study of ntkrun plan must be null"),
    ):
        code, lines, err = plan(*words)
        assert (code, lines) == (2, {})
        assert message in err


def test_a_skipped_run_is_said_so(plan, ntkrun):
    assert ntkrun(*TINY)[0] == 0
    assert plan(*TINY, "skip_finished=true")[1]["skipped"].startswith("the same run has finished in")


def test_the_nearest_runs_count():
    seen = [Seen(64, 100, 1.0), Seen(64, 100, 3.0), Seen(64, 1000, 5.0), Seen(1024, 100, 9.0)]
    assert times.guess(seen, 64, 100, "x") == times.Guess(
        2.0, "from 2 earlier runs of x at 64 columns on this machine"
    )
    scaled = times.guess(seen, 64, 2000, "x")
    assert scaled.seconds == 10.0
    assert scaled.source == "estimated from 1 earlier run of x at 64 columns, scaled by size, on this machine"
    assert times.guess(seen, 600, 200, "x").seconds == 18.0
    assert times.guess([], 64, 1, "x") == times.Guess(None, "not measured yet")
