"""K1-K6, K10: kills at any instant and before any system call, power loss, interrupts; then again."""

import json
import random
import signal

import pytest

from tests.faults import harness
from tests.faults.harness import check_resumed, check_tracked, recorded, stamps
from tests.faults.plan import FULL, SEED, count, record


def survive(toy, out, **fault):
    """Start with a fault, start again, and check; return the outcome of the first start."""
    first = toy.start(out, **fault)
    before, known = stamps(out), recorded(out)
    check_resumed(toy, out, before, known, toy.start(out))
    return first


def finish(toy, out):
    """Publish runs that a dead process left unpublished, and compare with the tracker."""
    done = toy.ask(["sync", out])
    assert done.code == 0, done.err
    check_tracked(out)


def test_a_clean_run_repeats_itself(toy):
    out = toy.fresh()
    assert toy.start(out).code == 0
    assert harness.state(out) == toy.oracle
    assert len(toy.oracle["shards"]) == 30
    finish(toy, out)


@pytest.mark.slow
def test_kills_at_random_instants(toy):
    rng, trials = random.Random(SEED), count(3, 300)
    length = toy.start(toy.fresh()).seconds
    killed = 0
    for _ in range(trials):
        out = toy.fresh()
        killed += survive(toy, out, after=rng.uniform(0, length)).code == -signal.SIGKILL
        finish(toy, out)
    assert killed >= 0.6 * trials
    record("K1", "SIGKILL at a random instant, then the same command", trials)


def test_kill_before_every_call(toy):
    calls = toy.start(toy.fresh(), mode="count").count
    assert calls > 200
    every = range(1, calls + 1, 1 if FULL else calls // 4)
    for at in every:
        out = toy.fresh()
        assert survive(toy, out, mode="kill", at=at).code == -signal.SIGKILL
        if at % 5 == 0:
            finish(toy, out)
    record(
        "K2",
        "SIGKILL before call n, n = 1..M, of all calls that change files",
        len(every),
        len(every) == calls,
    )


@pytest.mark.parametrize(
    ("how", "name"),
    [
        pytest.param(0, "all dropped", marks=pytest.mark.slow),
        pytest.param(1, "some dropped", marks=pytest.mark.slow),
        (2, "torn"),
    ],
)
def test_power_loss(toy, how, name):
    rng, trials = random.Random(SEED + how), count(2, 100)
    calls = toy.start(toy.fresh(), mode="count").count
    for _ in range(trials):
        out = toy.fresh()
        fault = {"mode": "power", "error": how, "at": rng.randint(1, calls), "dice": rng.randint(1, 1 << 30)}
        first = toy.start(out, **fault)
        assert first.code == -signal.SIGKILL
        before, known = stamps(out), recorded(out)
        # shards in the manifest were synced before it, so they are whole
        good = {name for name in known if harness.shards(out).get(name) == toy.oracle["shards"][name]}
        assert good == known
        check_resumed(toy, out, before, known, toy.start(out))
    record("K3", f"power loss, un-synced writes {name}", trials)


@pytest.mark.slow
def test_kills_during_the_resume(toy):
    rng, trials = random.Random(SEED + 9), count(1, 100)
    calls = toy.start(toy.fresh(), mode="count").count
    for trial in range(trials):
        out = toy.fresh()
        for _ in range(5 if trial % 4 == 0 else 2):
            toy.start(out, mode="kill", at=rng.randint(1, calls // 2))
        before, known = stamps(out), recorded(out)
        check_resumed(toy, out, before, known, toy.start(out))
        finish(toy, out)
    record("K5", "two or five kills in a row, the later ones during the resume", trials)


@pytest.mark.slow
def test_kills_during_a_sweep(toy):
    """K10: the same sweep again does the missing jobs, touches no finished one, and stays one sweep."""
    rng, trials = random.Random(SEED + 10), count(1, 30)
    words = ["-m", "seed=0,1,2", "solver.lambda_count=4,5", "skip_finished=true"]
    length = toy.start(toy.fresh(), *words).seconds
    cut = 0
    for _ in range(trials):
        out = toy.fresh()
        first = toy.start(out, *words, after=rng.uniform(0.2 * length, 0.9 * length))
        assert toy.ask(["sync", out]).code == 0  # runs that finished but were not published
        finished = {
            p.parent: (p.parent / "result.json").stat().st_mtime_ns
            for p in out.glob("runs/*/status.json")
            if json.loads(p.read_text())["status"] == "FINISHED"
        }
        cut += first.code == -signal.SIGKILL and 0 < len(finished) < 6
        again = toy.start(out, *words)
        assert again.code == 0, again.err
        assert f"{6 - len(finished)} ok" in again.out
        assert all((p / "result.json").stat().st_mtime_ns == at for p, at in finished.items())
        assert len(list(out.glob("runs/*/result.json"))) == 6
        assert toy.ask(["sync", out]).code == 0
        runs = harness.mlflow_runs(out)
        parents = [r for r in runs if "mlflow.parentRunId" not in r.data.tags]
        assert len(parents) == 1
        assert len(runs) == 7
        assert {r.info.status for r in runs} == {"FINISHED"}
    assert cut
    record(
        "K10",
        "SIGKILL in a sweep of six jobs, then the same sweep: what is missing, under one parent",
        trials,
    )


@pytest.mark.parametrize(
    ("number", "code"),
    [
        pytest.param(signal.SIGINT, 130, marks=pytest.mark.slow),
        (signal.SIGTERM, 143),
        pytest.param(signal.SIGHUP, 129, marks=pytest.mark.slow),
    ],
)
def test_signals_end_a_run_in_time_and_mark_it(toy, number, code):
    rng, trials = random.Random(SEED + number), count(1, 20)
    length = min(toy.start(toy.fresh()).seconds for _ in range(2))  # the first one loads what others find
    seen = 0
    for _ in range(trials):
        out = toy.fresh()
        after = rng.uniform(0.1 * length, 0.4 * length)
        first = toy.start(out, after=after, signal=int(number))
        assert first.seconds < after + 5
        assert first.code in (code, 0), first.err
        if first.code == code:
            seen += 1
            states = [json.loads(p.read_text())["status"] for p in out.glob("runs/*/status.json")]
            assert states in ([], ["KILLED"], ["FINISHED"]), states
            assert "Traceback" not in first.err
        before, known = stamps(out), recorded(out)
        check_resumed(toy, out, before, known, toy.start(out))
    assert seen
    record("K6", f"{signal.Signals(number).name} in mid-run", trials)
