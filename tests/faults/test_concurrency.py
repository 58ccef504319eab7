"""P1-P6: many runs at once on one cache key and one fresh store; locks die with their holder."""

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time

import pytest

from tests.faults import harness
from tests.faults.plan import count, record

MANY = count(4, 8)


def computed(outcome):
    """Return how many of the 30 shards a run has computed itself."""
    reused = re.search(r"(\d+) of 30 shards reused", outcome.err)
    return 30 - int(reused.group(1)) if reused else 30


@pytest.mark.slow
def test_many_runs_want_the_same_features(toy):
    trials = count(1, 50)
    for _ in range(trials):
        out = toy.fresh()
        # half of the runs use another solver, all the same cache key
        starts = [[*toy.words, f"solver.lambda_count={5 + i % 2}", f"output_dir={out}"] for i in range(MANY)]
        done = toy.together(starts)
        assert [d.code for d in done] == [0] * MANY, done
        assert sum(computed(d) for d in done) == 30
        assert harness.shards(out) == toy.oracle["shards"]
        harness.check_tracked(out)
    record(
        "P1/P2", f"{MANY} runs at once on one cache key: each shard computed once, {MANY} MLflow runs", trials
    )


@pytest.mark.slow
def test_many_runs_on_a_fresh_store(toy):
    trials = count(1, 100)
    for number in range(trials):
        out = toy.folder / f"fresh{number}"
        words = [w for w in toy.words if not w.startswith(("depth", "feature_dim"))]
        starts = [
            [*words, "method=rff", "feature_dim=32", f"seed={s}", f"output_dir={out}"] for s in range(MANY)
        ]
        done = toy.together(starts)
        assert [d.code for d in done] == [0] * MANY, done
        harness.check_tracked(out)
        assert len(list(out.glob("runs/*"))) == MANY
        with sqlite3.connect(out / "mlflow.db") as database:
            assert database.execute("pragma integrity_check").fetchone() == ("ok",)
    record(
        "P3",
        f"{MANY} runs started at once on a store that is not there yet: {MANY} finished, none lost",
        trials,
    )


def real(toy, out):
    """Start a separate process."""
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    words = [sys.executable, "-m", "ntkrun", *toy.words, f"output_dir={out}"]
    return subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=env)


@pytest.mark.slow
def test_a_stopped_holder_keeps_its_lock_and_a_dead_one_loses_it(toy):
    trials = count(1, 5)
    for _ in range(trials):
        out = toy.fresh()
        holder = real(toy, out)
        deadline = time.monotonic() + 60
        while not list(out.glob("features/*/train-00002*")) and time.monotonic() < deadline:
            time.sleep(0.002)
        os.kill(holder.pid, signal.SIGSTOP)
        before = harness.recorded(out)
        if len(before) == 30:  # it was too quick to be stopped in the middle
            os.kill(holder.pid, signal.SIGCONT)
            holder.wait(60)
            continue
        waiting = real(toy, out)
        time.sleep(count(4, 8))
        assert waiting.poll() is None
        assert harness.recorded(out) == before
        os.kill(holder.pid, signal.SIGKILL)
        holder.wait(10)
        assert waiting.wait(60) == 0
        assert harness.state(out) == toy.oracle
    record("K11/P5", "holder of the lock stopped: nobody takes it; then killed: the next one goes on", trials)


def test_readers_beside_a_writer(toy):
    trials = count(1, 20)
    for _ in range(trials):
        out = toy.fresh()
        run = [*toy.words, f"output_dir={out}"]
        done = toy.together(
            [run, ["verify", out], ["list", out], ["report", out], ["sync", out], ["sync", out]]
        )
        assert done[0].code == 0
        for reader in done[1:]:
            assert reader.code in (0, 3), reader
            assert "Traceback" not in reader.err
        assert toy.ask(["sync", out]).code == 0
        harness.check_tracked(out)
        (result,) = out.glob("runs/*/result.json")
        assert json.loads(result.read_text())["mlflow/run_id"]
    record("P6", "verify, list, report and two syncs beside a run", trials)
