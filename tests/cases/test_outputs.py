"""Output folders that move, that a group shares, and that lie on file systems without locks."""

import hashlib
import json
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from filelock import FileLock, SoftFileLock

from ntkrun.errors import MachineError
from ntkrun.store import database, lock
from tests.cases.base import SHARED, TABLE, Case
from tests.cases.store import fresh

OK = TABLE + "dataset.path={cases}/ok.csv "
ODD = "b c%20?#ü"  # a name that addresses have to quote


def state(folder):
    """Bytes and times of all files."""
    return {
        p: (hashlib.sha256(p.read_bytes()).hexdigest(), p.stat().st_mtime_ns)
        for p in sorted(folder.rglob("*"))
        if p.is_file()
    }


def locations(folder):
    """All places that a database leads to."""
    with sqlite3.connect(folder / "mlflow.db") as db:
        rows = db.execute("select artifact_uri from runs").fetchall()
        rows += db.execute("select artifact_location from experiments where name != 'Default'").fetchall()
        rows += db.execute("select value from tags where key in ('run_folder', 'sweep_folder')").fetchall()
    return [value for (value,) in rows]


def run(stage, out, *more):
    fresh(out / "mlflow.db")
    stage.monkeypatch.setenv("NTKRUN_OUTPUT_DIR", str(out))
    assert stage.ntkrun([*OK.split(), *more]) == 0, stage.text
    return stage.results(out)[-1]


def copied(stage, name=ODD):
    """A finished run and a sweep in a, copied to a folder of another name."""
    run(stage, stage.here / "a")
    words = [*OK.split(), "-m", "solver.lambda_count=4", f"output_dir={stage.here / 'a'}"]
    assert stage.ntkrun(words) == 0
    stage.before = state(stage.here / "a")
    return Path(shutil.copytree(stage.here / "a", stage.here / name))


def whole(stage, folder):
    """The folder leads to itself, and a is as it was."""
    inside = (folder.as_uri() + "/", f"{folder}/")
    assert all(place.startswith(inside) for place in locations(folder)), locations(folder)
    assert database.lost(folder) == []
    if hasattr(stage, "before"):
        assert state(stage.here / "a") == stage.before


def run_in_a_copy(stage):
    b = copied(stage)
    result = run(stage, b, "seed=1")
    assert f"copied from {stage.here / 'a'}" in stage.err
    assert (b / "mlartifacts" / "ntkrun" / result["mlflow/run_id"]).is_dir()
    whole(stage, b)
    run(stage, b, "seed=2")
    assert "copied from" not in stage.err


def commands_in_a_copy(stage):
    b = copied(stage)
    rerun = ["rerun", str(next((b / "runs").iterdir()))]
    for words in (["list", str(b)], ["report", str(b)], ["verify", str(b)], ["sync", str(b)], rerun):
        assert stage.ntkrun(words) == 0, stage.text
    run(stage, b, "skip_finished=true")
    assert str(stage.here / "a") not in stage.text
    whole(stage, b)


def moved(stage):
    a = stage.here / "deep" / "a"
    run(stage, a)
    (stage.here / "deep").rename(stage.here / "other name")
    b = stage.here / "other name" / "a"
    assert stage.ntkrun(["verify", str(b)]) == 0
    assert "nothing damaged" in stage.out
    assert f"copied from {a}" in stage.err
    run(stage, b, "seed=1")
    whole(stage, b)
    assert not a.exists()


def forget(folder):
    """Make the database one of an older ntkrun, which did not write down where it is."""
    with sqlite3.connect(folder / "mlflow.db") as db:
        assert db.execute("delete from experiment_tags").rowcount == 1


def moved_before_there_was_a_home(stage):
    run(stage, stage.here / "a")
    forget(stage.here / "a")
    (stage.here / "a").rename(stage.here / "b")
    run(stage, stage.here / "b", "seed=1")
    whole(stage, stage.here / "b")
    assert not (stage.here / "a").exists()


def guests(stage):
    run(
        stage,
        stage.here / "b",
        f"tracking.uri=sqlite:///{stage.here}/a/mlflow.db",
        "tracking.experiment=guest",
    )
    run(stage, stage.here / "a")
    (stage.here / "a").rename(stage.here / "c")
    assert stage.ntkrun(["verify", "c"]) == 0
    guest = (stage.here / "b" / "mlartifacts" / "guest").as_uri()
    assert guest in locations(stage.here / "c")
    assert (stage.here / "c" / "mlartifacts" / "ntkrun").as_uri() in locations(stage.here / "c")


def unpublished_copy(stage):
    a, b = stage.here / "a", stage.here / "b"
    words = [*OK.split(), "-m", "solver.lambda_count=4", "tracking.uri=sqlite:///{here}/a/own.db"]
    fresh(a / "own.db")
    with stage.monkeypatch.context() as patch:
        patch.setattr("ntkrun.stages.track.publish", fail)
        assert stage.ntkrun([*words, f"output_dir={a}"]) == 0
    before = state(a)
    shutil.copytree(a, b)
    (folder,) = (b / "runs").iterdir()
    shutil.copytree(folder, stage.here / "c" / "runs" / folder.name)  # and one run by itself
    fresh(stage.here / "c" / "own.db")
    for out in (b, stage.here / "c"):
        assert stage.ntkrun(["sync", str(out)]) == 0, stage.text
        assert (out / "own.db").is_file()
    assert state(a) == before
    assert json.loads(next(b.glob("sweeps/*/sweep.json")).read_text())["parent_run_id"]


def fail(*_):
    from ntkrun.stages.causes import Unpublished
    from ntkrun.store.database import Cause

    raise Unpublished(Cause(MachineError, "planted", ""))


def lose_artifacts(stage):
    result = run(stage, stage.outputs)
    shutil.rmtree(stage.outputs / "mlartifacts" / "ntkrun" / result["mlflow/run_id"])


def group_folder(mask, mode):
    def before(stage):
        stage.outputs.mkdir()
        stage.outputs.chmod(mode)
        old = os.umask(mask)
        try:
            run(stage, stage.outputs)
            assert (
                stage.ntkrun([*OK.split(), "-m", "solver.lambda_count=4", f"output_dir={stage.outputs}"]) == 0
            )
        finally:
            assert os.umask(old) == mask  # the caller's is as it was

    return before


def modes(file_mode, folder_mode):
    def check(stage):
        found = {p: stat.S_IMODE(p.stat().st_mode) & 0o777 for p in stage.outputs.rglob("*")}
        assert found
        wrong = {p: oct(m) for p, m in found.items() if m != (folder_mode if p.is_dir() else file_mode)}
        assert not wrong

    return check


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
        "from pathlib import Path; from ntkrun.store.database import check; "
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
    from ntkrun.launch import start_logging

    start_logging()
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
    Case(
        "16.5",
        "an output folder is copied, and a run is made in the copy",
        "the copy leads to itself, as one line says; the first is untouched",
        call=run_in_a_copy,
    ),
    Case(
        "16.5",
        "every command is given in a copied output folder",
        "they work in the copy and touch nothing of the first",
        call=commands_in_a_copy,
    ),
    Case(
        "16.5",
        "a folder above an output folder is renamed",
        "MLflow finds its artifacts in the new place",
        call=moved,
    ),
    Case(
        "16.5",
        "an output folder of an older version is moved",
        "its first home is found out, and repaired as well",
        call=moved_before_there_was_a_home,
    ),
    Case(
        "16.5",
        "a moved database also holds runs of another output folder",
        "their locations stay",
        call=guests,
    ),
    Case(
        "16.5",
        "a copied run or sweep is published, which the first has not been",
        "it goes into the copy's own database; nothing of the first is written",
        call=unpublished_copy,
    ),
    Case(
        "16.5",
        "MLflow's artifacts of a run are deleted",
        "verify names them, exit code 4",
        "verify {out}",
        before=lose_artifacts,
        code=4,
        says=("is not there: MLflow's copy of", "1 damaged", "ntkrun sync"),
    ),
    Case(
        "16.5",
        "MLflow's artifacts of a run are deleted, then sync",
        "they are copied again from the run folder",
        ["sync {out}", "verify {out}"],
        before=lose_artifacts,
        says=("nothing damaged",),
    ),
    *[
        Case(
            "16.12",
            f"a folder with the rights {mode:o} and umask {mask:03o}",
            f"files are made {files:o}, folders {folders:o}",
            call=group_folder(mask, mode),
            check=modes(files, folders),
        )
        for mask, mode, files, folders in [
            (0o022, 0o2775, 0o664, 0o775),
            (0o077, 0o2775, 0o664, 0o775),
            (0o002, 0o2770, 0o660, 0o770),
            (0o022, 0o775, 0o664, 0o775),
            (0o077, 0o700, 0o600, 0o700),
            (0o022, 0o755, 0o644, 0o755),
        ]
    ],
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


@pytest.mark.parametrize("case", CASES, ids=str)
def test_situation(case, stage):
    stage.play(case)
