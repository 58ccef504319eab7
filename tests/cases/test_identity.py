"""Whose result is it? `skip_finished`, `rerun` and reports, if data or code are not what they were."""

import re

import pytest

from ntkrun import pipeline
from ntkrun.maths.method.raw import Raw
from tests.cases.base import SHARED, TABLE, Case, rows
from tests.cases.store import fresh

MINE = TABLE + "dataset.path={here}/data.csv skip_finished=true"
RERUN = "rerun {here}/outputs/runs/first"


def data(project, to="data.csv"):
    """Bring the table of a project, A or B: the same name, other numbers."""

    def bring(stage):
        stage.copy(f"two_projects/{project}/data.csv", to)

    return bring


def then(*steps):
    """Do several things before the command."""

    def work(stage):
        for step in steps:
            step(stage)

    return work


def run(stage):
    assert stage.ntkrun(MINE) == 0, stage.text


def run_as_first(stage):
    run(stage)
    (folder,) = (stage.outputs / "runs").iterdir()
    folder.rename(folder.with_name("first"))


def edit(stage):
    """Change a target that is a training row's."""
    path = stage.here / "data.csv"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:2], lines[2].rsplit(",", 1)[0] + ",9", *lines[3:]]) + "\n")


def away(stage):
    (stage.here / "data.csv").unlink()


def runs(count):
    def check(stage):
        assert len(list(stage.outputs.glob("runs/*"))) == count

    return check


def newer_code(stage):
    stage.monkeypatch.setattr(pipeline, "NUMBERS", pipeline.NUMBERS + 1)


def newer_method(stage):
    stage.monkeypatch.setattr(Raw, "version", Raw.version + 1)


def of_an_older_ntkrun(stage):
    """Take out what older results do not record."""
    (path,) = stage.outputs.glob("runs/*/result.json")
    path.write_text("\n".join(line for line in path.read_text().splitlines() if '"code"' not in line))


def not_averaged(stage):
    page = (stage.outputs / "report.html").read_text()
    old, new = (f"{result['test/mse']:.4f}" for result in stage.results())
    assert new in page
    assert not re.search(rf"{old}(?!\d)", page)  # a time may begin with the same digits


CASES = [
    Case(
        "16.1",
        "two projects share an output folder, both say dataset.path=data.csv, skip_finished=true",
        "each gets the result of its own table: a finished run is known by the content of its data",
        MINE,
        before=then(data("A"), run, data("B")),
        says=["test mse      0.0125"],
        never=["skipped"],
        number=0.0125,
        check=runs(2),
    ),
    Case(
        "16.1",
        "a table is edited and skip_finished=true is given again",
        "it runs anew",
        MINE,
        before=then(data("A"), run, edit),
        never=["skipped"],
        check=runs(2),
    ),
    Case(
        "16.1",
        "a table is deleted and skip_finished=true is given again",
        "the missing file is named, and no old number is shown",
        MINE,
        before=then(data("A"), run, away),
        code=3,
        says=["path of Csv must be an existing file"],
        never=["skipped", "test mse"],
    ),
    Case(
        "16.1",
        "the same table under another path, skip_finished=true",
        "the run is left out: its data are the same",
        MINE.replace("data.csv", "other/data.csv"),
        before=then(data("A"), run, data("A", "other/data.csv")),
        says=["skipped", "test mse      0.0123"],
        check=runs(1),
    ),
    Case(
        "16.1",
        "skip_finished=true after an upgrade that changed numbers",
        "it runs anew",
        MINE,
        before=then(data("A"), run, newer_code),
        never=["skipped"],
        check=runs(2),
    ),
    Case(
        "16.1",
        "skip_finished=true after an upgrade that changed the numbers of the method",
        "it runs anew",
        MINE,
        before=then(data("A"), run, newer_method),
        never=["skipped"],
        check=runs(2),
    ),
    Case(
        "16.1",
        "skip_finished=true beside runs of an ntkrun that did not record its version",
        "it runs anew",
        MINE,
        before=then(data("A"), run, of_an_older_ntkrun),
        never=["skipped"],
        check=runs(2),
    ),
    Case(
        "16.1",
        "a sweep with skip_finished=true over a table that was edited",
        "its jobs run anew",
        "-m " + MINE + " seed=0,1",
        before=then(data("A"), run, edit),
        says=["2 jobs: 2 ok"],
        check=runs(3),
    ),
    Case(
        "16.1",
        "rerun of a run whose table was edited since",
        "it says that the data have changed, and ends with code 4",
        RERUN,
        before=then(data("A"), run_as_first, edit),
        code=4,
        says=["the data have changed: ", "data.csv is not the file that the run read"],
    ),
    Case(
        "16.1",
        "rerun of a run that was started with skip_finished=true",
        "it runs again, and gives the same numbers",
        RERUN,
        before=then(data("A"), run_as_first),
        says=["the same numbers"],
        never=["skipped"],
        check=runs(2),
    ),
    Case(
        "16.1",
        "a report over two runs of one table that was edited between them",
        "the newer run counts; the two are not averaged",
        "report {out}",
        before=then(data("A"), run, edit, run),
        check=not_averaged,
    ),
]


@pytest.mark.parametrize("case", rows(CASES))
def test_situation(case, stage):
    stage.monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{fresh(stage.here / 'store.db')}")
    stage.play(case)


def test_the_tables_of_the_two_projects_differ():
    if SHARED.is_dir():
        texts = {(SHARED / "two_projects" / p / "data.csv").read_text() for p in "AB"}
        assert len(texts) == 2
