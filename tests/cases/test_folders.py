"""Folders that are absent, unreadable or empty, and paths with signs of their own."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from ntkrun import cli
from ntkrun.paths import absolute_url
from tests.cases.base import ROOT, TABLE, Case

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


def at_home(*names):
    """Return a check that output is below the home folder, and nothing is in a folder called ~."""

    def check(stage):
        assert (stage.here / "home" / "o" / "runs").is_dir()
        assert not (stage.here / "~").exists()
        for name in names:
            assert name in stage.text

    return check


def table_at_home(stage):
    stage.copy("ok.csv", "home/ok.csv")


def tracked(name):
    """Return a check that run, database, artifacts and report are in an output folder of an odd name."""

    def check(stage):
        from mlflow.tracking import MlflowClient

        from ntkrun.paths import sqlite_url

        out = stage.here / name
        assert {"features", "mlartifacts", "mlflow.db", "runs"} <= {p.name for p in out.iterdir()}
        (result,) = stage.results(out)
        client = MlflowClient(sqlite_url(out / "mlflow.db"))
        files = {item.path for item in client.list_artifacts(result["mlflow/run_id"])}
        assert "result.json" in files
        assert [p.name for p in stage.here.iterdir() if p.name != "ok.csv"] == [name.split("/")[0]]

    return check


HOME = {"HOME": "{here}/home"}
PATHS = [
    Case(
        "16.10",
        "`NTKRUN_OUTPUT_DIR='~/o'` for a run and for the commands",
        "both mean the home folder",
        [MEMORY, "verify", "list"],
        env={**HOME, "NTKRUN_OUTPUT_DIR": "~/o"},
        says=["FINISHED"],
        check=at_home(),
    ),
    Case(
        "16.10",
        "`NTKRUN_OUTPUT_DIR='~/o'` for a sweep",
        "its table and multirun.yaml are below the home folder too",
        MEMORY + "-m seed=0",
        env={**HOME, "NTKRUN_OUTPUT_DIR": "~/o"},
        check=at_home("home/o/sweeps"),
    ),
    Case(
        "16.10",
        "`output_dir=~/o` where the shell leaves the `~`",
        "it is the home folder",
        [MEMORY + "'output_dir=~/o'", "list ~/o"],
        env=HOME,
        check=at_home(),
    ),
    Case(
        "16.10",
        "`dataset.path=~/ok.csv`",
        "it is the file in the home folder",
        TABLE + "'dataset.path=~/ok.csv' tracking.uri=sqlite:///:memory: output_dir={out}",
        env=HOME,
        before=table_at_home,
        number=0.0123,
    ),
    Case(
        "16.10",
        "`data_dir=~/d` and a data set that is not there",
        "the message names the home folder",
        "dataset=protein 'data_dir=~/d' method=raw baseline=none",
        env=HOME,
        code=3,
        says=["home/d/protein.csv.gz"],
    ),
    Case(
        "16.10",
        "the home folder of a user that is not there",
        "one line says so, and no folder of that name is made",
        MEMORY + "'output_dir=~no_such_user_here/o'",
        code=2,
        says=["must be the home folder of a user of this machine"],
        check=nothing_made,
    ),
]
PATHS += [
    Case(
        "16.10",
        f"an output folder called `{name}`",
        "run, database, artifacts and commands are all in it",
        [OK + f"""'output_dir="{name}"'""", f"verify '{name}'"],
        says=["nothing damaged"],
        check=tracked(name),
    )
    for name in ("what? 50%20#1 & (a=b)",)
]


@pytest.mark.parametrize("case", ABSENT + UNREADABLE + EMPTY + DEEPER + PATHS, ids=str)
def test_situation(case, stage):
    stage.play(case)


def test_ui_hands_over_the_address_that_the_run_used(stage, monkeypatch):
    called = []
    monkeypatch.setattr(os, "execv", lambda path, words: called.append(words))
    folder = stage.here / "what? 50%"
    folder.mkdir()
    (folder / "mlflow.db").touch()
    cli.main(["ui", str(folder)])
    (words,) = called
    assert words[-1] == f"sqlite+pysqlite://{stage.here}/what%3F%2050%25/mlflow.db".replace("://", ":///", 1)


def test_a_record_means_the_same_from_anywhere(stage):
    stage.copy("ok.csv", "data/ok.csv")
    line = TABLE + "dataset.path=data/ok.csv data_dir=data output_dir=o tracking.uri=sqlite:///:memory:"
    assert stage.ntkrun(line) == 0, stage.err
    (folder,) = (stage.here / "o" / "runs").iterdir()
    record = json.loads((folder / "config.json").read_text())
    here = stage.here
    assert record["output_dir"] == str(here / "o")
    assert record["data_dir"] == record["dataset"]["data_dir"] == str(here / "data")
    assert record["dataset"]["path"] == str(here / "data" / "ok.csv")
    elsewhere = here / "elsewhere"
    elsewhere.mkdir()
    stage.monkeypatch.chdir(elsewhere)
    assert stage.ntkrun(["rerun", f"../o/runs/{folder.name}"]) == 0, stage.err
    assert "the same numbers" in stage.out
    assert not list(elsewhere.iterdir())


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("sqlite:///own.db", "sqlite:////start/own.db"),
        ("sqlite:///a/../own.db", "sqlite:////start/own.db"),
        ("sqlite:///50%.db", "sqlite+pysqlite:////start/50%25.db"),
        ("sqlite+pysqlite:///a%3Fb.db", "sqlite+pysqlite:////start/a%3Fb.db"),
        ("sqlite:////own.db", "sqlite:////own.db"),
        ("sqlite:///own.db?timeout=5", "sqlite:///own.db?timeout=5"),
        ("sqlite:///:memory:", "sqlite:///:memory:"),
        ("sqlite://", "sqlite://"),
        ("http://host:5000/a?b=c", "http://host:5000/a?b=c"),
    ],
)
def test_the_address_of_a_database_becomes_absolute(typed, meant):
    assert absolute_url(typed, "/start") == meant
