"""U1-U6: kills, power loss, rot and full disks while features are summed; then again, for the same bits."""

import hashlib
import random
import signal
import time

import pytest

from tests.faults import harness
from tests.faults.harness import result
from tests.faults.plan import FULL, SEED, count, record
from tests.faults.test_workers import begin, options, wait_for, workers_of

WORDS = ["features=summed"]
# a file of sums for every group, not one in 30 s
EVERY = {"ntkrun.store.sums.SECONDS": 0.0, "ntkrun.store.sums.SHARE": 1e9}
# no shard at all
NONE = {**EVERY, "ntkrun.stages.summed.SMALL_BYTES": -1}
KINDS = [EVERY, NONE]


def start(toy, out, patch, **fault):
    return toy.start(out, *WORDS, patch=patch, **fault)


def sums(out):
    return sorted(out.glob("features/*/*.sums"))


def state(out):
    """Return the numbers and the model of the newest finished run."""
    newest = max(out.glob("runs/*/result.json"), key=lambda p: p.stat().st_mtime_ns).parent
    return result(newest), hashlib.sha256((newest / "model" / "model.npz").read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def stored(toy):
    """Return numbers and model from stored features."""
    out = toy.fresh()
    assert toy.start(out).code == 0
    return state(out)


def check(toy, out, patch, stored):
    """Start again without a fault; the end is that of stored features and nothing is left over."""
    before = {path.name: path.stat().st_ino for path in sums(out)}
    again = start(toy, out, patch)
    assert again.code == 0, again.err
    assert state(out) == stored
    assert not harness.temporaries(out)
    assert len(sums(out)) == 2
    lasting = [p for p in sums(out) if p.name in before]
    assert all(path.stat().st_ino == before[path.name] for path in lasting)  # not computed twice
    return again


@pytest.mark.parametrize("patch", KINDS)
def test_a_clean_run_has_the_bits_of_stored_features(toy, stored, patch):
    out = toy.fresh()
    check(toy, out, patch, stored)
    shards = {name.split("-")[0] for name in harness.shards(out)}
    assert shards == ({"valid", "test"} if patch is EVERY else set())
    assert "reused" not in check(toy, out, NONE, stored).err  # finds the sums


@pytest.mark.parametrize("patch", [EVERY, pytest.param(NONE, marks=pytest.mark.slow)])
def test_kill_before_every_call(toy, stored, patch):
    calls = start(toy, toy.fresh(), patch, mode="count").count
    assert calls > 100
    every = range(1, calls + 1, 1 if FULL else calls // 3)
    for at in every:
        out = toy.fresh()
        assert start(toy, out, patch, mode="kill", at=at).code == -signal.SIGKILL
        check(toy, out, patch, stored)
    kind = "valid and test" if patch is EVERY else "no"
    what = f"SIGKILL before call n, n = 1..M, that changes files; features=summed, {kind} shards stored"
    record("U1", what, len(every), len(every) == calls)


@pytest.mark.slow
def test_two_kills_at_random_instants(toy, stored):
    rng, trials = random.Random(SEED), count(2, 200)
    length, killed = start(toy, toy.fresh(), NONE).seconds, 0
    for trial in range(trials):
        out, patch = toy.fresh(), KINDS[trial % 2]
        for _ in range(2):
            killed += start(toy, out, patch, after=rng.uniform(0, length)).code == -signal.SIGKILL
        check(toy, out, patch, stored)
    assert killed >= trials
    record("U2", "two SIGKILLs at random instants with features=summed, then the same command", trials)


@pytest.mark.slow
@pytest.mark.parametrize("how", [0, 1, 2])
def test_power_loss(toy, stored, how):
    rng, trials = random.Random(SEED + how), count(1, 100)
    calls = start(toy, toy.fresh(), NONE, mode="count").count
    for trial in range(trials):
        out, patch = toy.fresh(), KINDS[trial % 2]
        fault = {"mode": "power", "error": how, "at": rng.randint(1, calls), "dice": rng.randint(1, 1 << 30)}
        assert start(toy, out, patch, **fault).code in (-signal.SIGKILL, 0)
        check(toy, out, patch, stored)
    name = ["all dropped", "some dropped", "torn"][how]
    record("U3", f"power loss with features=summed, un-synced writes {name}", trials)


@pytest.mark.slow
def test_rot_of_sums(toy, stored):
    rng, trials = random.Random(SEED + 4), count(2, 300)
    cut = toy.fresh()
    calls = start(toy, cut, NONE, mode="count").count
    for trial in range(trials):
        out = toy.fresh()
        start(toy, out, NONE, mode="kill", at=rng.randint(calls // 3, calls))
        found = sums(out)
        if not found:
            continue
        path = found[trial % len(found)]
        data = bytearray(path.read_bytes())
        if trial % 3:
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        else:
            data = data[: rng.randrange(len(data))]
        path.write_bytes(data)
        again = start(toy, out, NONE)
        assert again.code == 0, again.err
        assert state(out) == stored
        assert path.name not in again.err or "It is not used" in again.err
        verified = toy.ask(["verify", out])
        assert verified.code == 0, verified.out
    record("U4", "a file of sums torn or with a flipped bit, after a kill; then the same command", trials)


@pytest.mark.slow
@pytest.mark.parametrize("number", [28, pytest.param(5, marks=pytest.mark.slow)])
def test_a_full_or_broken_disk(toy, stored, number):
    rng, trials = random.Random(SEED + number), count(2, 100)
    calls = start(toy, toy.fresh(), NONE, mode="count").count
    for trial in range(trials):
        out, patch = toy.fresh(), KINDS[trial % 2]
        fault = {"mode": "fail", "error": number, "at": rng.randint(1, calls), "repeat": 1}
        first = start(toy, out, patch, **fault)
        assert first.code in (0, 5), first.err
        assert "Traceback" not in first.err
        if first.code:
            assert len([line for line in first.err.splitlines() if line.startswith("ntkrun: ")]) == 1
        check(toy, out, patch, stored)
    name = {28: "full disk", 5: "errors of the disk"}[number]
    record("U5", f"{name} from call n on, with features=summed; then the same command", trials)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", ["process", "dask"])
def test_a_worker_killed_while_it_sums(toy, stored, name):
    rng, trials, hit = random.Random(SEED + 6), count(1, 20), 0
    for _ in range(trials):
        out = toy.fresh()
        run = begin(toy, out, *options(name), *WORDS, "executor.workers=3")
        wait_for(lambda run=run: len(workers_of(run, name)) == 3)
        time.sleep(rng.uniform(0, 3))
        victims = workers_of(run, name)
        if victims:
            hit += 1
            rng.choice(victims).send_signal(signal.SIGKILL)
        text, _ = run.communicate(timeout=300)
        assert run.returncode == 0, text
        assert state(out) == stored
        assert not harness.temporaries(out)
    assert hit
    record("U6", f"executor={name}, features=summed: a worker killed in mid-run, the same bits", trials)
