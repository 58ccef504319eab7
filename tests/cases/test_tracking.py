"""MLflow's own variables, users and times."""

import getpass
import json
import os
import sqlite3

import pytest

from tests.cases.base import TABLE, Case, rows

OK = TABLE + "dataset.path={cases}/ok.csv "


def query(stage, words, *values):
    with sqlite3.connect(stage.outputs / "mlflow.db") as db:
        return db.execute(words, values).fetchall()


def record(stage):
    """The newest run folder's configuration."""
    return max(stage.outputs.glob("runs/*/config.json"), key=lambda p: p.stat().st_mtime_ns)


def unpublished(stage, *more):
    """A finished run that MLflow does not know, as if its store had been away."""
    words = [*OK.split(), "tracking.uri=sqlite:///:memory:", f"output_dir={stage.outputs}", *more]
    assert stage.ntkrun(words) == 0, stage.text
    path = record(stage)
    config = json.loads(path.read_text())
    config["tracking"]["uri"] = None
    path.write_text(json.dumps(config))
    result = path.with_name("result.json")
    result.write_text(json.dumps({**json.loads(result.read_text()), "mlflow/run_id": None}))
    return path


def recorded(stage):
    section = json.loads(record(stage).read_text())["tracking"]
    assert section == {"uri": f"sqlite:///{stage.here}/mine.db", "experiment": "bench"}
    with sqlite3.connect(stage.here / "mine.db") as db:
        assert db.execute("select name from experiments where name = 'bench'").fetchall()
    assert not (stage.outputs / "mlflow.db").exists()


def explicit(stage):
    assert query(stage, "select name from experiments where experiment_id != 0") == [("own",)]


def named_user(stage):
    assert query(stage, "select value from tags where key = 'mlflow.user'") == [("ada",)]


def nameless_user(stage):
    def nobody():
        raise KeyError("getpwuid(): uid not found: 4242")

    stage.monkeypatch.setattr(getpass, "getuser", nobody)


def numbered_user(stage):
    assert query(stage, "select value from tags where key = 'mlflow.user'") == [(str(os.getuid()),)]


def renamed(stage):
    """Two runs whose folder names say the contrary of their times, as between time zones."""
    for seed in (0, 1):
        unpublished(stage, f"seed={seed}")
    old, new = sorted(stage.outputs.glob("runs/*"), key=lambda p: (p / "status.json").stat().st_mtime_ns)
    old.rename(old.with_name("2026-01-01_23-00-00_old"))
    new.rename(new.with_name("2026-01-01_01-00-00_new"))


def listed_by_time(stage):
    assert [line.split()[0] for line in stage.out.splitlines()[1:]] == ["old", "new"]


CASES = [
    Case(
        "16.16",
        "MLFLOW_TRACKING_URI and MLFLOW_EXPERIMENT_NAME are set",
        "they are followed, and written into the run's record",
        OK,
        env={"MLFLOW_TRACKING_URI": "sqlite:///mine.db", "MLFLOW_EXPERIMENT_NAME": "bench"},
        check=recorded,
    ),
    Case(
        "16.16",
        "tracking.experiment is given beside MLFLOW_EXPERIMENT_NAME",
        "the command line counts",
        OK + "tracking.experiment=own",
        env={"MLFLOW_EXPERIMENT_NAME": "bench"},
        check=explicit,
    ),
    Case(
        "16.16",
        "who has made a run in MLflow",
        "the user's name is a tag",
        OK,
        env={"LOGNAME": "ada"},
        check=named_user,
    ),
    Case(
        "16.16",
        "a user without a name (a container)",
        "the number stands for it",
        OK,
        before=nameless_user,
        check=numbered_user,
    ),
    Case(
        "16.16",
        "runs were made in different time zones",
        "list goes by their times, not by their names",
        "list {out}",
        before=renamed,
        check=listed_by_time,
    ),
]


@pytest.mark.parametrize("case", rows(CASES))
def test_situation(case, stage):
    stage.play(case)
