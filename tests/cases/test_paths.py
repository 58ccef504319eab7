"""Paths with signs of their own, and records that mean the same from anywhere."""

import json

import pytest

from ntkrun.cli import main as cli
from ntkrun.store.paths import absolute_url
from tests.cases.base import TABLE, Case, rows
from tests.cases.test_folders import MEMORY, OK, nothing_made
from tests.server import pretend


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

        from ntkrun.store.paths import sqlite_url

        out = stage.here / name
        assert {"features", "mlartifacts", "mlflow.db", "runs"} <= {p.name for p in out.iterdir()}
        (result,) = stage.results(out)
        client = MlflowClient(sqlite_url(out / "mlflow.db"))
        files = {item.path for item in client.list_artifacts(result["mlflow/run_id"])}
        assert "result.json" in files
        assert [p.name for p in stage.here.iterdir() if p.name != "ok.csv"] == [name.split("/")[0]]

    return check


HOME = {"HOME": "{here}/home"}
CASES = [
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
CASES += [
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


@pytest.mark.parametrize("case", rows(CASES))
def test_situation(case, stage):
    stage.play(case)


def test_ui_hands_over_the_address_that_the_run_used(stage, monkeypatch):
    called = pretend(monkeypatch)
    folder = stage.here / "what? 50%"
    folder.mkdir()
    (folder / "mlflow.db").touch()
    cli.main(["ui", str(folder)])
    ((words, _),) = called
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
def test_the_address_of_a_database_becomes_absolute(typed, meant, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert absolute_url(typed) == meant.replace("/start", str(tmp_path))
