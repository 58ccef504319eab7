"""File systems without locks, and locks that others hold."""

import os
import sqlite3
import subprocess
import sys
import threading
import time

import pytest
from filelock import FileLock, SoftFileLock

from ntkrun.store import lock
from tests.cases.base import SHARED, Case, rows
from tests.cases.store import fresh
from tests.cases.test_outputs import OK

HOLD = """
import logging, sys, os
from pathlib import Path
logging.basicConfig(stream=sys.stdout, format="%(message)s")
from ntkrun.store.lock import held
for name in ("one", "two"):
    with held(Path("x.lock").absolute(), "output_dir"):
        print(name, os.path.exists("x.lock.file"))
print(os.path.exists("x.lock.file"))
"""


def needs_shim(stage):
    """Build the library that makes locks fail."""
    library = stage.here / "nolock.so"
    made = subprocess.run(["cc", "-shared", "-fPIC", "-o", library, SHARED / "nolock.c", "-ldl"])
    if made.returncode:
        pytest.skip("no C compiler")
    return library


def without_locks(stage, script, **errors):
    env = {**os.environ, "LD_PRELOAD": str(needs_shim(stage)), "PYTHONPATH": os.pathsep.join(sys.path)}
    env |= {name: str(number) for name, number in errors.items()}
    done = subprocess.run(
        [sys.executable, "-c", script], env=env, capture_output=True, text=True, cwd=stage.here
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done.stdout


def no_flock(number):
    def call(stage):
        said = without_locks(stage, HOLD, FLOCK_ERR=number)
        assert f"{stage.here} has no file locks" in said
        assert said.count("no file locks") == 1
        assert said.splitlines()[-3:] == ["one True", "two True", "False"]

    return call


def dead_holder(stage):
    holder = "import os; from filelock import SoftFileLock; lock = SoftFileLock('x.lock.file'); "
    holder += "lock.acquire(); os._exit(9)"
    subprocess.run([sys.executable, "-c", holder], cwd=stage.here)
    assert (stage.here / "x.lock.file").exists()
    assert "one True" in without_locks(stage, HOLD, FLOCK_ERR=95)


def another_host(stage):
    (stage.here / "x.lock.file").write_text("1\nelsewhere\n")
    with pytest.raises(Exception, match="could not be acquired"):
        SoftFileLock(stage.here / "x.lock.file").acquire(timeout=0.3)
    assert (stage.here / "x.lock.file").read_text() == "1\nelsewhere\n"


def sqlite_without_locks(stage):
    script = (
        "from pathlib import Path; from ntkrun.tracking.database import check; "
        "print(check(Path('{}').absolute()).error())"
    )
    sqlite3.connect(stage.here / "old.db").execute("create table experiments (a)").connection.close()
    for name in ("new.db", "old.db"):
        for number in (37, 22, 95):
            said = without_locks(stage, script.format(name), FCNTL_ERR=number)
            assert f"{stage.here / name} lies on a file system without locks" in said
            assert "tracking.uri=sqlite:////local/place.db" in said


def neither_lock(stage):
    with stage.monkeypatch.context() as patch:
        patch.setattr(lock, "FileLock", broken_lock(37))
        patch.setattr(lock, "SoftFileLock", broken_lock(5))
        with lock.held(stage.here / "x.lock", "output_dir"):
            pass


def broken_lock(number):
    class Broken:
        def __init__(self, *_, **__):
            pass

        def acquire(self, **_):
            raise OSError(number, os.strerror(number))

    return Broken


def waits(stage):
    path = stage.here / "x.lock"
    got = []

    def second():
        with lock.held(path, "output_dir"):
            got.append(time.monotonic())

    stage.monkeypatch.setattr(lock, "PATIENCE", 0.2)
    from ntkrun.log import to_terminal

    to_terminal()
    with lock.held(path, "output_dir"):
        other = threading.Thread(target=second)
        other.start()
        time.sleep(0.6)
        assert not got
    other.join(10)
    assert got
    assert not (stage.here / "x.lock.holder").exists()


def score_before_the_lock(stage):
    """Hold MLflow's lock while a run ends, and let it go when the score is out."""
    held, seen = FileLock(stage.outputs / ".mlflow.lock", thread_local=False), []
    stage.outputs.mkdir()
    fresh(stage.outputs / "mlflow.db")
    held.acquire()
    write = sys.stdout.write

    def hear(text):
        if "test mse" in text:
            seen.append(text)
            held.release()
        return write(text)

    with stage.monkeypatch.context() as patch:
        patch.setattr(sys.stdout, "write", hear)
        assert stage.ntkrun(OK) == 0
    assert seen
    assert "MLflow" in stage.out


CASES = [
    *[
        Case(
            "16.14",
            f"flock fails with {name}",
            "a lock by a file takes its place, which is said once",
            call=no_flock(number),
        )
        for name, number in (("ENOLCK", 37), ("EOPNOTSUPP", 95), ("EINVAL", 22), ("ENOSYS", 38))
    ],
    Case("16.14", "a lock by a file is left by a killed process", "it is broken", call=dead_holder),
    Case("16.14", "a lock by a file is held on another host", "it is never broken", call=another_host),
    Case(
        "16.14",
        "SQLite finds no locks on the file system",
        "one line with another place to publish to",
        call=sqlite_without_locks,
    ),
    Case(
        "16.14",
        "neither kind of lock works",
        "one line with path and key",
        call=neither_lock,
        code=5,
        says=("x.lock cannot be locked", "output_dir=FOLDER"),
    ),
    Case(
        "16.14",
        "a lock is held by somebody else for long",
        "who holds it is said, and waiting goes on",
        call=waits,
        says=(f"which process {os.getpid()} on",),
    ),
    Case(
        "16.14",
        "MLflow's lock is held by somebody else at the end of a run",
        "the score is shown before the wait",
        call=score_before_the_lock,
    ),
]


@pytest.mark.parametrize("case", rows(CASES))
def test_situation(case, stage):
    stage.play(case)
