"""D6, K2, F1: faults around the manifest that is appended to, and in the midst of `ntkrun clean`."""

import errno
import random
import signal

import pytest

from tests.faults import harness
from tests.faults.harness import check_resumed, recorded, stamps
from tests.faults.plan import FULL, SEED, count, record
from tests.faults.test_rot import copy

CLEAN = ["--older-than", "0h", "--yes"]


def copied(toy, good):
    out = copy(toy, good)
    return out, next(out.glob("features/*/manifest.jsonl"))


def resume(toy, out):
    before, known = stamps(out), recorded(out)
    check_resumed(toy, out, before, known, toy.start(out))
    assert toy.ask(["verify", out]).code == 0
    assert harness.receipts(out) == harness.shards(out)


@pytest.mark.slow
def test_killed_between_a_shard_and_its_receipt(toy, good):
    """A shard is there and its line is not, or is torn at any byte: that shard alone is computed again."""
    rng, trials = random.Random(SEED + 20), count(2, 100)
    for trial in range(trials):
        out, manifest = copied(toy, good)
        lines = manifest.read_bytes().splitlines(keepends=True)
        left = rng.randrange(1, len(lines))
        torn = lines[left][: rng.randrange(len(lines[left]))] if trial % 2 else b""
        manifest.write_bytes(b"".join(lines[:left]) + torn)
        told = toy.ask(["verify", out])
        assert told.code == 0
        assert f"holds {len(lines) - left} shards without a receipt" in told.out
        resume(toy, out)
    record(
        "D6",
        "shards without a line in the manifest, the last line torn or not, then the same command",
        trials,
    )


@pytest.mark.slow
def test_rot_in_a_line_of_the_manifest(toy, good):
    rng, trials = random.Random(SEED + 21), count(2, 200)
    for _ in range(trials):
        out, manifest = copied(toy, good)
        data = bytearray(manifest.read_bytes())
        at = rng.randrange(len(data) - 1)  # the last byte ends the last line, which is then torn, not damaged
        data[at] ^= 1 << rng.randrange(8)
        manifest.write_bytes(data)
        told = toy.ask(["verify", out])
        assert told.code == 4
        assert f"{manifest} has " in told.out
        assert len(recorded(out)) >= 28
        resume(toy, out)
    record("D6", "a bit of a line of the manifest flipped: told by verify, at most two shards again", trials)


@pytest.mark.slow
@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO], ids=["ENOSPC", "EIO"])
def test_no_room_for_a_line(toy, error):
    """The calls of one shard in the midst of a run fail, from its file to its line in the manifest."""
    calls = toy.start(toy.fresh(), mode="count").count
    span = range(calls // 4, calls // 4 + (16 if FULL else 8))
    stopped = 0
    for at in span:
        out = toy.fresh()
        first = toy.start(out, mode="fail", at=at, error=error, repeat=int(error == errno.ENOSPC))
        stopped += first.code == 5
        assert "Traceback" not in first.err
        assert not harness.temporaries(out)
        resume(toy, out)
    assert stopped
    record("F1/F3", f"{errno.errorcode[error]} at each call for one shard and its line", len(span))


@pytest.mark.slow
def test_killed_while_cleaning(toy, good):
    """Before every call that changes files: the rest is consistent, and is removed or computed again."""
    out, _ = copied(toy, good)
    calls = toy.ask(["clean", out, *CLEAN], prefix=f"{out}/", mode="count").count
    assert calls > 30
    runs = {p: p.read_bytes() for p in out.glob("runs/*/*.json")}
    assert not list(out.glob("features/*"))
    every = range(1, calls + 1, 1 if FULL else calls // 4)
    for at in every:
        out, _ = copied(toy, good)
        killed = toy.ask(["clean", out, *CLEAN], prefix=f"{out}/", mode="kill", at=at)
        assert killed.code == -signal.SIGKILL
        assert {p: p.read_bytes() for p in out.glob("runs/*/*.json")} == runs
        assert toy.ask(["verify", out]).code == 0
        if at % 2:
            assert toy.ask(["clean", out, *CLEAN]).code == 0
            assert not list(out.glob("features/*"))
        resume(toy, out)
    record(
        "K2", "SIGKILL before call n of clean, n = 1..M, then the same run", len(every), len(every) == calls
    )


def test_clean_beside_a_run(toy):
    trials = count(1, 20)
    for _ in range(trials):
        out = toy.fresh()
        done = toy.together([[*toy.words, f"output_dir={out}"], *[["clean", out, *CLEAN]] * 3])
        assert done[0].code == 0, done[0].err
        assert all(one.code in (0, 3) and "Traceback" not in one.err for one in done[1:]), done
        assert harness.state(out) == toy.oracle
        assert toy.ask(["verify", out]).code == 0
    record("P6", "three times clean --older-than 0h beside a run, which ends with its features", trials)
