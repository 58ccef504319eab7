"""F1-F5: full disks, failing disks, partial calls: one line, an exit code, nothing lost, then resume."""

import errno
import os
import re
import subprocess

import pytest

from tests.faults.harness import check_resumed, recorded, stamps, state, temporaries
from tests.faults.plan import FULL, record


def one_line(first):
    """Assert that a start with a fault prints one line, or continues without its tracker."""
    lines = first.err.strip().splitlines()
    assert "Traceback" not in first.err, first.err
    if first.code:
        assert first.code == 5, first.err
        assert lines[-1].startswith("ntkrun: "), first.err
        assert sum(line.startswith("ntkrun: ") for line in lines) == 1


@pytest.mark.parametrize(
    ("error", "again"),
    [(errno.ENOSPC, 1), (errno.EIO, 0), (errno.EIO, 1), (errno.EDQUOT, 1)][: 4 if FULL else 1],
    ids=lambda value: errno.errorcode.get(value, str(value)) if value > 1 else f"repeat{value}",
)
def test_every_call_fails_once(toy, error, again):
    calls = toy.start(toy.fresh(), mode="count").count
    every = range(1, calls + 1, 1 if FULL else calls // 2)
    stopped = 0
    for at in every:
        out = toy.fresh()
        first = toy.start(out, mode="fail", at=at, error=error, repeat=again)
        one_line(first)
        stopped += first.code != 0
        assert not temporaries(out)
        before, known = stamps(out), recorded(out)
        check_resumed(toy, out, before, known, toy.start(out))
    assert stopped
    name = errno.errorcode[error] + (" from then on" if again else " once")
    record("F1/F3", f"{name} at call n, n = 1..M", len(every), len(every) == calls)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("error", "what"),
    [(0, "half of the bytes written"), (errno.EINTR, "interrupted by a signal")][: 2 if FULL else 1],
)
def test_calls_that_do_only_a_part_are_gone_on_with(toy, error, what):
    """F4: short writes and signals in between change nothing."""
    calls = toy.start(toy.fresh(), mode="count").count
    every = range(1, calls + 1, calls // (30 if FULL else 2))
    for at in every:
        out = toy.fresh()
        done = toy.start(out, mode="partly", at=at, error=error, repeat=int(error == 0))
        assert done.code == 0, done.err
        assert "run folder is complete" not in done.err
        assert state(out) == toy.oracle
    record("F4", f"{what} at call n: the same bits, nothing said", len(every))


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
@pytest.mark.parametrize("size", ["64k", "1m"])
def test_a_disk_that_is_really_full(toy, size, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(disk)], capture_output=True
    )
    if mount.returncode:
        pytest.skip(f"tmpfs cannot be mounted here: {mount.stderr.decode().strip()}")
    try:
        first = toy.start(disk / "out")
        one_line(first)
        # the larger disks hold the run, but not its tracker
        assert first.code == 5 or "the run folder is complete" in first.err
        assert not temporaries(disk / "out")
        subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
        before, known = stamps(disk / "out"), recorded(disk / "out")
        check_resumed(toy, disk / "out", before, known, toy.start(disk / "out"))
    finally:
        subprocess.run(["umount", str(disk)], check=True)
    record("F1", f"a real disk of {size}, made larger, then the same command", 1)


def test_a_full_disk_names_path_and_remedy(toy):
    out = toy.fresh()
    first = toy.start(out, mode="fail", at=20, error=errno.ENOSPC, repeat=1)
    assert first.code == 5
    assert re.search(
        rf"ntkrun: {re.escape(str(out))}\S* could not be .*: No space left on device\. \w+", first.err
    )
