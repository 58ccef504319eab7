"""Folders that are absent, unreadable or empty."""

import os
import shutil
import subprocess
import sys

import pytest

from tests.cases.base import ROOT, TABLE, Case, rows

OK = TABLE + "dataset.path={cases}/ok.csv "
MEMORY = OK + "tracking.uri=sqlite:///:memory: "
COMMANDS = ("verify", "list", "report", "sync", "ui", "rerun")


def is_file(stage):
    (stage.here / "outputs").write_text("a file")


def is_loop(stage):
    (stage.here / "outputs").symlink_to("outputs")


def is_empty(stage):
    stage.outputs.mkdir()


def nothing_made(stage):
    assert not list(stage.here.iterdir())


def a_run(stage):
    assert stage.ntkrun(MEMORY) == 0


def runs_loop(stage):
    (stage.outputs / "features").mkdir(parents=True)
    (stage.outputs / "runs").symlink_to("runs")


def features_lead_nowhere(stage):
    a_run(stage)
    shutil.rmtree(stage.outputs / "features")
    (stage.outputs / "features").symlink_to("/nowhere/at/all")


def one_run_loops(stage):
    a_run(stage)
    (stage.outputs / "runs" / "2026-01-01_of_another").symlink_to("2026-01-01_of_another")


def without_permission(*folders):
    """Have a command meet folders without permission, which root is asked for too once it gives that up."""

    def call(stage):
        for folder in folders:
            (stage.outputs / folder).mkdir(parents=True, exist_ok=True)
            (stage.outputs / folder).chmod(0)
        less = "-dac_override,-dac_read_search"
        drop = ["setpriv", "--inh-caps", less, "--bounding-set", less] if os.geteuid() == 0 else []
        if drop and not shutil.which("setpriv"):
            pytest.skip("setpriv of util-linux is not here")
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        command = [*drop, sys.executable, "-m", "ntkrun", "verify", str(stage.outputs)]
        done = subprocess.run(command, capture_output=True, text=True, env=env, check=False)
        sys.stdout.write(done.stdout)
        sys.stderr.write(done.stderr)
        assert done.returncode == 5, done.stderr

    return call


def left_empty(stage):
    assert not list(stage.outputs.iterdir())


ABSENT = [
    Case(
        "16.9",
        f"`ntkrun {name}` with a folder that is not there",
        "it says that the folder is not there; exit code 3",
        f"{name} outputs",
        code=3,
        says=["outputs is not there"],
        never=["damaged", "holds no"],
        check=nothing_made,
    )
    for name in COMMANDS
]
UNREADABLE = [
    Case(
        "16.9",
        f"`ntkrun {name}` with {what}",
        "it says that it cannot be read, and why; exit code 5",
        f"{name} outputs",
        before=before,
        code=5,
        says=["outputs cannot be read: " + why],
        never=["damaged", "holds no"],
    )
    for names, what, before, why in (
        (COMMANDS, "a file in place of the folder", is_file, "Not a directory"),
        (("verify", "list"), "a link to itself in place of the folder", is_loop, "Too many levels"),
    )
    for name in names
]
EMPTY = [
    Case(
        "16.9",
        f"`ntkrun {name}` with an empty folder",
        f"it says that {what}",
        f"{name} outputs",
        before=is_empty,
        code=code,
        says=[says],
        never=["nothing damaged", "cannot be read", "outputs is not there"],
        check=left_empty,
    )
    for name, code, says, what in (
        ("verify", 0, "there is nothing to verify", "there is nothing to verify"),
        ("list", 3, "holds no run", "the folder holds no run; exit code 3"),
        ("report", 3, "holds no finished run", "the folder holds no finished run; exit code 3"),
        ("sync", 0, "there is nothing to publish", "there is nothing to publish"),
        ("ui", 3, "has been published", "no run of it has been published; exit code 3"),
        ("rerun", 3, "is not a run folder", "it is not a run folder; exit code 3"),
    )
]
DEEPER = [
    Case(
        "16.9",
        "`ntkrun verify` with a runs/ that cannot be read",
        "it names that folder; exit code 5",
        "verify outputs",
        before=runs_loop,
        code=5,
        says=["outputs/runs cannot be read"],
        never=["nothing damaged"],
    ),
    Case(
        "16.9",
        "`ntkrun verify` with features/ on a disk that is gone",
        "it names that folder; exit code 5",
        "verify outputs",
        before=features_lead_nowhere,
        code=5,
        says=["outputs/features cannot be read"],
        never=["nothing damaged"],
    ),
    Case(
        "16.9",
        "`ntkrun verify` with one run that cannot be read",
        "it checks the others, names that one and says that it is not checked; exit code 5",
        "verify outputs",
        before=one_run_loops,
        code=5,
        says=["2026-01-01_of_another cannot be read", "1 run folders", "1 more that cannot be read"],
        never=["nothing damaged"],
    ),
    Case(
        "16.9",
        "`ntkrun list` with one run that cannot be read",
        "it lists the others and names that one",
        "list outputs",
        before=one_run_loops,
        says=["2026-01-01_of_another cannot be read", "FINISHED"],
    ),
    Case(
        "16.9",
        "`ntkrun verify` with a runs/ of somebody else without permission",
        "it says so; exit code 5",
        call=without_permission("runs"),
        says=["outputs/runs cannot be read: Permission denied"],
    ),
    Case(
        "16.9",
        "`ntkrun verify` with a run and features of somebody else without permission",
        "it names both; exit code 5",
        call=without_permission("features/a", "runs/b", "runs/c"),
        says=["cannot be read: Permission denied"],
        never=["nothing damaged"],
    ),
]


CASES = ABSENT + UNREADABLE + EMPTY + DEEPER


@pytest.mark.parametrize("case", rows(CASES))
def test_situation(case, stage):
    stage.play(case)
