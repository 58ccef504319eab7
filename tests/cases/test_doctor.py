"""What `ntkrun doctor` tries: what a run will do."""

import os
import shutil
import sqlite3
from pathlib import Path

import filelock
import pytest

from ntkrun.store import atomic
from tests.cases.base import Case, rows
from tests.cases.test_folders import is_file, left_empty, nothing_made

CALLS = {
    "lock": (filelock.FileLock, "acquire"),
    "fsync": (os, "fsync"),
    "rename": (os, "replace"),
    "database": (sqlite3, "connect"),
}


def refuse(step):
    """Have a system call of doctor fail, as on a share that lacks it."""

    def before(stage):

        def fail(*_, **__):
            raise OSError(95, "Operation not supported")

        where, name = CALLS[step]
        stage.outputs.mkdir()
        stage.monkeypatch.setattr(where, name, fail)

    return before


def full(stage):
    usage = shutil.disk_usage(stage.here)._replace(free=1 << 20)
    stage.monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)


CASES = [
    Case(
        "16.9",
        "`ntkrun doctor` before the first run",
        "it tries the folder above and makes no folder",
        "doctor outputs/deeper",
        says=["not there yet: a run makes it", "nothing stands in the way"],
        check=nothing_made,
    ),
    Case(
        "16.9",
        "`ntkrun doctor` with a file in place of the folder",
        "it says that a run cannot make a folder there, and which key names another place; exit code 5",
        "doctor outputs",
        before=is_file,
        code=5,
        says=["a run cannot make a folder in", "(Not a directory)", "output_dir=DIR"],
        never=["nothing stands in the way"],
    ),
    Case(
        "16.9",
        "`ntkrun doctor` with a data folder that cannot be made",
        "it names the folder, the key and the variable; exit code 5",
        "doctor",
        before=is_file,
        env={"NTKRUN_DATA_DIR": "{here}/outputs/data", "NTKRUN_OUTPUT_DIR": "{here}"},
        code=5,
        says=["a run cannot make a folder in", "data_dir=DIR or NTKRUN_DATA_DIR"],
    ),
    Case(
        "16.9",
        "`ntkrun doctor` with a disk that is almost full",
        "it says how much is free and which key names another place; exit code 5",
        "doctor outputs",
        before=full,
        code=5,
        says=["less than 1 GiB is free", "output_dir=DIR"],
    ),
]
CASES += [
    Case(
        "16.9",
        f"`ntkrun doctor` on a share that knows no {step}",
        "it names what a run cannot do there and leaves nothing behind; exit code 5",
        "doctor outputs",
        before=refuse(step),
        code=5,
        says=[f"a run cannot {says} in", "outputs (Operation not supported)"],
        check=left_empty,
    )
    for step, says in (
        ("fsync", "write a file"),
        ("rename", "write a file"),
        ("database", "use SQLite"),
    )
]


CASES.append(
    Case(
        "16.9",
        "`ntkrun doctor` on a share that knows no flock",
        "a lock file stands for the lock, as in a run: nothing stands in the way",
        "doctor outputs",
        before=refuse("lock"),
        says=["nothing stands in the way"],
        check=left_empty,
    )
)


@pytest.mark.parametrize("case", rows(CASES))
def test_situation(case, stage):
    stage.play(case)


def test_doctor_writes_as_runs_do(stage, monkeypatch):
    """The file that doctor writes goes the way of every file of a run."""
    seen = []
    whole = atomic.os.replace
    monkeypatch.setattr(atomic.os, "replace", lambda a, b: seen.append(Path(b).parent.parent) or whole(a, b))
    assert stage.ntkrun("doctor") == 0
    assert stage.here in seen
