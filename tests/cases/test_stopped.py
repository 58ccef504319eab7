"""Sweeps that are stopped."""

import json
import os
import signal
import sqlite3
import time

import pytest

from tests.cases.base import Case, rows
from tests.cases.store import fresh
from tests.cases.test_causes import SYNC
from tests.cases.test_tracking import OK, query

SWEEP = [*OK.split(), "-m", "solver.lambda_count=4,5,6", "skip_finished=true"]


def parent(stage):
    return query(stage, "select status from runs where name like 'sweep %'")


def stopped(number):
    """A sweep whose second job is ended by a signal, then the same sweep again."""

    def call(stage):
        from ntkrun import pipeline

        run, calls = pipeline.run, []

        def once(*words):
            calls.append(1)
            if len(calls) == 2:
                os.kill(os.getpid(), number)
                time.sleep(5)
            return run(*words)

        with stage.monkeypatch.context() as patch:
            patch.setattr(pipeline, "run", once)
            assert stage.ntkrun(SWEEP) == 128 + number
        assert "Traceback" not in stage.text
        assert parent(stage) == [("KILLED",)]
        assert stage.ntkrun(SWEEP) == 0
        assert "3 jobs: 2 ok, 1 skipped" in stage.out
        assert parent(stage) == [("FINISHED",)]

    return call


def sweep_record(**changes):
    """A sweep that has ended, with another word on who runs it: its parent is open again."""

    def before(stage):
        assert stage.ntkrun(SWEEP) == 0
        (path,) = stage.outputs.glob("sweeps/*/sweep.json")
        path.write_text(
            json.dumps({**json.loads(path.read_text()), "status": "RUNNING", "closed": False, **changes})
        )
        with sqlite3.connect(stage.outputs / "mlflow.db") as db:
            db.execute("update runs set status = 'RUNNING', end_time = null where name like 'sweep %'")

    return before


def parent_is(status):
    def check(stage):
        assert parent(stage) == [(status,)]

    return check


def all_jobs_skipped(stage):
    sweep_record(pid=2**22 + 1)(stage)
    assert stage.ntkrun(SWEEP) == 0
    assert "3 skipped" in stage.out
    assert parent(stage) == [("FINISHED",)]


CASES = [
    *[
        Case(
            "16.11",
            f"a sweep is ended by {number.name}, then given again",
            "its MLflow run is KILLED, then taken up again and FINISHED",
            call=stopped(number),
            slow=number != signal.SIGTERM,
        )
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    ],
    Case(
        "16.11",
        "a sweep dies without a word, then sync",
        "its MLflow run is KILLED",
        SYNC,
        before=sweep_record(pid=2**22 + 1),
        says=("its process is gone",),
        check=parent_is("KILLED"),
    ),
    Case(
        "16.11",
        "a sweep still runs here, then sync",
        "its MLflow run stays RUNNING",
        SYNC,
        before=sweep_record(),
        check=parent_is("RUNNING"),
    ),
    Case(
        "16.11",
        "a sweep may run on another host, then sync",
        "its MLflow run stays RUNNING",
        SYNC,
        before=sweep_record(pid=2**22 + 1, host="elsewhere"),
        check=parent_is("RUNNING"),
    ),
    Case(
        "16.11",
        "a sweep dies after its last job, then is given again",
        "all jobs are skipped, and its MLflow run is FINISHED",
        call=all_jobs_skipped,
    ),
]


@pytest.mark.parametrize("case", rows(CASES))
def test_situation(case, stage):
    fresh(stage.outputs / "mlflow.db")
    stage.play(case)
