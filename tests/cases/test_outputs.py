"""Output folders that are copied, moved or renamed."""

import hashlib
import json
import shutil
import sqlite3
from pathlib import Path

import pytest

from ntkrun.errors import MachineError
from ntkrun.tracking import database
from tests.cases.base import TABLE, Case, rows
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
        patch.setattr("ntkrun.tracking.publish.publish", fail)
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
    from ntkrun.tracking.causes import Unpublished
    from ntkrun.tracking.database import Cause

    raise Unpublished(Cause(MachineError, "planted", ""))


def lose_artifacts(stage):
    result = run(stage, stage.outputs)
    shutil.rmtree(stage.outputs / "mlartifacts" / "ntkrun" / result["mlflow/run_id"])


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
]


@pytest.mark.parametrize("case", rows(CASES))
def test_situation(case, stage):
    stage.play(case)
