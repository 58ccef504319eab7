"""Test sweeps: outcomes, MLflow parents, resuming after a kill, parallel jobs, the final report."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest

from ntkrun.cli import main as cli
from ntkrun.store import sweep_folder as sweep
from tests.faults.harness import mlflow_runs

TINY = ["dataset.n_train=60", "dataset.n_test=20", "depth=2", "baseline=none"]


def parents_and_children(out):
    runs = mlflow_runs(out)
    children = [r for r in runs if "mlflow.parentRunId" in r.data.tags]
    return [r for r in runs if r not in children], children


def test_a_sweep_ends_in_a_table_a_parent_run_and_a_report(ntkrun):
    code, out, _ = ntkrun("-m", "feature_dim=48,64", "seed=0,-1", *TINY)
    assert code == 7
    assert "4 jobs: 2 ok, 2 failed" in out
    assert "random_state (seed) of CNTKSketch must be" in out
    (folder,) = (ntkrun.out / "sweeps").iterdir()
    jobs = sweep.outcomes(folder)
    assert [job["status"] for job in jobs] == ["ok", "failed", "ok", "failed"]
    assert "Traceback" in jobs[1]["traceback"]
    (parent,), children = parents_and_children(ntkrun.out)
    assert {c.data.tags["mlflow.parentRunId"] for c in children} == {parent.info.run_id}
    assert len(children) == 2
    assert parent.info.status == "FAILED"
    assert parent.data.metrics["jobs/failed"] == 2
    assert parent.data.params["feature_dim"] == "48,64"
    page = (folder / "report.html").read_text()
    assert page.count('<td class="minor">48</td>') == 1
    assert "data:image/svg+xml" in page


def test_a_failure_within_a_run_leaves_its_traceback_in_the_log(ntkrun, monkeypatch):
    from ntkrun.stages import regress

    def fail(*_):
        raise RuntimeError("planted")

    monkeypatch.setattr(regress, "run", fail)
    code, out, _ = ntkrun("-m", "feature_dim=48", *TINY)
    assert code == 7
    assert "RuntimeError: planted" in out
    (folder,) = (ntkrun.out / "runs").iterdir()
    assert json.loads((folder / "status.json").read_text())["status"] == "FAILED"
    log = (folder / "run.log").read_text()
    assert "Traceback" in log
    assert "planted" in log


def test_skip_finished_leaves_out_what_is_there(ntkrun):
    ntkrun("-m", "feature_dim=48,64", *TINY)
    code, out, _ = ntkrun("-m", "feature_dim=48,64,80", "skip_finished=true", *TINY)
    assert code == 0
    assert "3 jobs: 1 ok, 2 skipped" in out
    assert len(list((ntkrun.out / "runs").iterdir())) == 3
    code, out, err = ntkrun("feature_dim=48", "skip_finished=true", *TINY)
    assert code == 0
    assert "skipped" in err
    assert "test accuracy" in out
    assert len(list((ntkrun.out / "runs").iterdir())) == 3
    # another seed is another configuration
    ntkrun("feature_dim=48", "seed=1", "skip_finished=true", *TINY)
    assert len(list((ntkrun.out / "runs").iterdir())) == 4


def rows(page):
    """Return the lines of a report's table without times and memory, which do not repeat."""
    lines = re.findall(r"<tr class=.line.>(.*?)</tr>", page, re.S)
    return [
        [re.findall(r"name.>(\w+)<", line)[0], *re.findall(r"<td[^>]*>(.*?)</td>", line)[:5]]
        for line in lines
    ]


@pytest.mark.slow  # K10 of tests/faults still runs
def test_a_killed_sweep_goes_on_under_its_parent(ntkrun, tmp_path):
    words = ["-m", "method=ntk_sketch,rff", "feature_dim=48,64", "seed=0,1,2", "skip_finished=true", *TINY]
    command = [sys.executable, "-m", "ntkrun", *words, f"output_dir={ntkrun.out}"]
    first = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while len(list(ntkrun.out.glob("runs/*/result.json"))) < 3 and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    before = {p: p.stat().st_mtime_ns for p in ntkrun.out.glob("runs/*/result.json")}
    assert 3 <= len(before) < 12
    code, out, _ = ntkrun(*words)
    assert code == 0
    finished = [
        p for p in before if json.loads((p.parent / "status.json").read_text())["status"] == "FINISHED"
    ]
    assert f"{len(finished)} skipped" in out
    assert all(p.stat().st_mtime_ns == before[p] for p in finished)
    assert len(list(ntkrun.out.glob("runs/*/result.json"))) == 12
    parents, _ = parents_and_children(ntkrun.out)
    # one MLflow run may be lost with the process that was writing it; sync restores it
    assert len(parents) == 1
    assert cli.main(["sync", str(ntkrun.out)]) == 0
    ids = {json.loads(p.read_text())["mlflow/run_id"] for p in ntkrun.out.glob("runs/*/result.json")}
    assert len(ids) == 12
    whole = tmp_path / "whole"
    assert cli.main([*words, f"output_dir={whole}"]) == 0
    broken_page, whole_page = (
        max(root.glob("sweeps/*/report.html")).read_text() for root in (ntkrun.out, whole)
    )
    assert rows(broken_page) == rows(whole_page)
    assert [row[5] for row in rows(whole_page)] == ["3"] * 4


def in_a_process(words, out, folder):
    command = [sys.executable, "-m", "ntkrun", *words, f"output_dir={out}"]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, timeout=250)


SIDE_BY_SIDE = [
    pytest.param(["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"], marks=pytest.mark.slow),
    pytest.param(["hydra/launcher=submitit_local", "hydra.launcher.timeout_min=5"], marks=pytest.mark.slow),
]


@pytest.mark.parametrize("launcher", SIDE_BY_SIDE, ids=lambda words: words[0].split("=")[1])
def test_jobs_side_by_side_share_shards_and_one_parent(tmp_path, launcher):
    out = tmp_path / "out"
    # only the solver differs, so the features are computed once, by the first job
    words = ["-m", "solver.lambda_count=5,7", "seed=0,-1", "feature_dim=48", *TINY, *launcher]
    done = in_a_process(words, out, tmp_path)
    assert done.returncode == 7, done.stderr
    assert "4 jobs: 2 ok, 2 failed" in done.stdout
    assert len(list(out.glob("features/*"))) == 1
    reused = [json.loads(p.read_text())["cache/shards_reused"] for p in out.glob("runs/*/result.json")]
    assert sorted(reused) == [0, 3]
    (parent,), children = parents_and_children(out)
    assert {c.data.tags["mlflow.parentRunId"] for c in children} == {parent.info.run_id}
    assert len(children) == 2
    assert {p.name for p in tmp_path.iterdir()} == {"out"}


@pytest.mark.slow
def test_an_optimiser_sees_held_out_scores(tmp_path):
    out = tmp_path / "out"
    words = ["-m", "hydra/sweeper=optuna", "hydra.sweeper.n_trials=3", "hydra.sweeper.n_jobs=1"]
    words += ["hydra.sweeper.direction=maximize", "hydra.sweeper.sampler.seed=1"]
    words += ["depth=choice(1,2)", "method=ntk_sketch", "feature_dim=48", "baseline=none", *TINY[:2]]
    done = in_a_process(words, out, tmp_path)
    assert done.returncode == 0, done.stderr
    assert "3 jobs: 3 ok" in done.stdout
    best = (next(out.glob("sweeps/*")) / "optimization_results.yaml").read_text()
    valid = [json.loads(p.read_text())["valid/accuracy"] for p in out.glob("runs/*/result.json")]
    assert f"best_value: {max(valid)}" in best
