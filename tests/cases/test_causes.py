"""MLflow stores that refuse."""

import json
import sqlite3
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.cases.base import Case, rows
from tests.cases.store import fresh
from tests.cases.test_tracking import OK, query, unpublished

SYNC = "sync {out}"


def change(path, **tracking):
    """Let a run folder name another store or experiment."""
    config = json.loads(path.read_text())
    config["tracking"] |= tracking
    path.write_text(json.dumps(config))


def old_record_with_a_number(stage):
    change(unpublished(stage), experiment=2024)


def experiment_2024(stage):
    assert query(stage, "select count(*) from experiments where name = '2024'") == [(1,)]
    assert query(stage, "select status from runs") == [("FINISHED",)]


def three_stores(stage):
    """Three runs: an address nobody knows, a server that is away, and a sound store."""
    change(unpublished(stage), uri="foo://bar")
    change(unpublished(stage, "seed=1"), uri="http://127.0.0.1:9")
    unpublished(stage, "seed=2")


def only_the_sound_one(stage):
    ids = [r["mlflow/run_id"] for r in stage.results()]
    assert sum(bool(i) for i in ids) == 1


def deleted_experiment(stage):
    assert stage.ntkrun(OK) == 0
    with sqlite3.connect(stage.outputs / "mlflow.db") as db:
        db.execute("update experiments set lifecycle_stage = 'deleted' where name = 'ntkrun'")
    unpublished(stage, "seed=1")


def store_of(make):
    """Runs that name a store in a file, which `make` has made."""

    def before(stage):
        path = unpublished(stage)
        file = stage.here / "store.db"
        make(file)
        change(path, uri=f"sqlite:///{file}")

    return before


def junk(file):
    file.write_bytes(b"this is not a database, but long enough to be taken for one" * 20)


def another_application(file):
    with sqlite3.connect(file) as db:
        db.execute("create table songs (name)")


def revision(number):
    def make(file):
        fresh(file)
        with sqlite3.connect(file) as db:
            db.execute("update alembic_version set version_num = ?", (number,))

    return make


def answering(code, body=b"<p>no"):
    """Runs that name a server which always gives this answer."""

    def before(stage):
        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def do_GET(self):
                self.send_response(code)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_POST = do_GET

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        change(unpublished(stage), uri=f"http://127.0.0.1:{server.server_port}")

    return before


def read_only(stage):
    stage.monkeypatch.setattr("ntkrun.tracking.database.writable", lambda path: path.suffix != ".db")
    store_of(another_application)(stage)


def locked(stage):
    store_of(another_application)(stage)
    stage.holder = sqlite3.connect(stage.here / "store.db")
    stage.holder.execute("begin exclusive")
    connect = sqlite3.connect
    # half a second in place of twenty
    stage.monkeypatch.setattr(
        "ntkrun.tracking.database.sqlite3.connect",
        lambda *words, timeout, **more: connect(*words, timeout=timeout / 40, **more),
    )


def odd_name(stage):
    places = [
        Path(p) for (p,) in query(stage, "select artifact_location from experiments where experiment_id = 1")
    ]
    assert f"{stage.outputs}/mlartifacts/" in str(places[0])
    assert ".." not in str(places[0])
    assert {p.name for p in stage.here.iterdir()} == {"outputs"}


CASES = [
    Case(
        "16.8",
        "tracking.experiment=2024",
        "it is the experiment of that name",
        OK + "tracking.experiment=2024",
        check=experiment_2024,
    ),
    Case(
        "16.8",
        "sync finds a run with the experiment 2024, written as a number",
        "it is published",
        SYNC,
        before=old_record_with_a_number,
        check=experiment_2024,
    ),
    Case(
        "16.8",
        "tracking.experiment=../../elsewhere",
        "artifacts stay in the output folder",
        OK + "tracking.experiment=../../elsewhere",
        check=odd_name,
    ),
    Case(
        "16.8",
        "sync meets several stores that fail",
        "it goes on; a line for each cause, and the exit code of the first",
        SYNC,
        before=three_stores,
        code=2,
        says=("foo://bar", "127.0.0.1:9 cannot be reached; 1 of 3", "Try again later", "published"),
        check=only_the_sound_one,
    ),
    Case(
        "16.8",
        "the experiment has been deleted, then sync",
        "one line with the command that restores it",
        SYNC,
        before=deleted_experiment,
        code=2,
        says=("'ntkrun'", "is deleted", "mlflow experiments restore -x 1", "--experiment NAME"),
    ),
    Case(
        "16.8",
        "the experiment has been deleted, then sync --experiment",
        "the run is published there",
        [SYNC, SYNC + " --experiment other"],
        before=deleted_experiment,
        says=("1 runs published",),
    ),
    Case(
        "16.8",
        "the experiment has been deleted, then a run",
        "the run ends well, with the same words",
        OK + "seed=2",
        before=deleted_experiment,
        says=("is deleted", "the run folder is complete", "test mse"),
    ),
    Case(
        "16.8",
        "the store is a damaged file",
        "one line: not a sound database",
        SYNC,
        before=store_of(junk),
        code=4,
        says=("store.db is not a sound database", "0 of 1"),
    ),
    Case(
        "16.8",
        "the store is another application's database",
        "it is refused; no table is added",
        SYNC,
        before=store_of(another_application),
        code=2,
        says=("store.db is a database, but not one of MLflow",),
    ),
    Case(
        "16.8",
        "the store is a folder",
        "one line at once",
        SYNC,
        before=store_of(Path.mkdir),
        code=2,
        says=("store.db is not a file",),
    ),
    Case(
        "16.8",
        "the store is of an older MLflow",
        "the command that updates it",
        SYNC,
        before=store_of(revision("451aebb31d03")),
        code=4,
        says=("is of an older MLflow", "mlflow db upgrade 'sqlite:///"),
    ),
    Case(
        "16.8",
        "the store is of a newer MLflow",
        "the command that updates MLflow",
        SYNC,
        before=store_of(revision("ffffffffffff")),
        code=4,
        says=("is of a newer MLflow", "pip install -U mlflow"),
    ),
    Case(
        "16.8",
        "the store is read-only",
        "one line: which file, and whose",
        SYNC,
        before=read_only,
        code=5,
        says=("store.db is read-only for you: it is owned by",),
    ),
    Case(
        "16.8",
        "the store is locked",
        "one line says so",
        SYNC,
        before=locked,
        code=5,
        says=("store.db is locked by another process",),
    ),
    Case(
        "16.8",
        "a server refuses the password",
        "one line with the variables to set",
        SYNC,
        before=answering(401),
        code=2,
        says=("refuses the user name or the password", "MLFLOW_TRACKING_USERNAME"),
    ),
    Case(
        "16.8",
        "the address is a server, but not MLflow's",
        "one line says so",
        SYNC,
        before=answering(404),
        code=6,
        says=("does not answer as an MLflow server",),
    ),
    Case(
        "16.8",
        "an address of a kind that MLflow does not know, in a run",
        "the run ends well; the line says what is wrong",
        OK + "tracking.uri=foo://bar",
        says=("tracking.uri of Tracker must be", "'foo://bar'", "test mse"),
    ),
]


@pytest.mark.parametrize("case", rows(CASES))
def test_situation(case, stage):
    fresh(stage.outputs / "mlflow.db")
    stage.play(case)
