"""Find and open the MLflow store that runs are published in."""

from __future__ import annotations

import logging
import os
import urllib.parse
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ntkrun.log import redacted
from ntkrun.store import lock, modes
from ntkrun.store.paths import sqlite_file, sqlite_url
from ntkrun.tracking import causes, database
from ntkrun.tracking.causes import Unpublished
from ntkrun.tracking.database import ARTIFACTS, HOME


@dataclass(frozen=True)
class Tracker:
    """MLflow store, an experiment in it, and a folder for artifacts."""

    uri: str
    experiment: str
    artifacts: Path

    @staticmethod
    def of(config: dict[str, Any], output_dir: Path) -> Tracker:
        """Return the tracker of a configuration, else of MLflow's environment variables, else our own."""
        section = config.get("tracking") or {}
        around = os.environ.get("MLFLOW_TRACKING_URI")
        uri = with_password(section.get("uri") or around or sqlite_url(output_dir / "mlflow.db"))
        name = section.get("experiment")
        if name is None:
            name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or "ntkrun"
        return Tracker(str(uri), str(name), output_dir / ARTIFACTS)

    def record(self) -> dict[str, Any]:
        """Return the fields of a run's record; the store in the output folder, which may move, has no uri."""
        file = self.file
        if file:
            ours = file == self.artifacts.parent / "mlflow.db"
            return {"uri": None if ours else sqlite_url(file), "experiment": self.experiment}
        return {"uri": redacted(self.uri), "experiment": self.experiment}

    @property
    def file(self) -> Path | None:
        """SQLite file; None for a server, another database, and a database in memory."""
        file = sqlite_file(self.uri)
        return file and file.absolute()

    @contextmanager
    def store(self) -> Iterator[tuple[Any, str]]:
        """Yield a client and the experiment's id under a lock; Unpublished if the store cannot be used."""
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        # wait seconds for a dead server, not the client's four minutes: the folder can be published later
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
        logging.getLogger("alembic").setLevel(logging.WARNING)
        with warnings.catch_warnings():  # a notebook without ipywidgets: tqdm warns when it is imported
            warnings.filterwarnings("ignore", message="IProgress not found")
            from mlflow.tracking import MlflowClient

        # a broken store also raises an exception
        for name in ("mlflow", "sqlalchemy"):
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)
        home, file = self.artifacts.parent, self.file
        if file and (cause := database.check(file)):
            raise Unpublished(cause)
        self.artifacts.mkdir(parents=True, exist_ok=True)
        if file:
            file.parent.mkdir(parents=True, exist_ok=True)
        with lock.held(database.lock_of(file or home / "mlflow.db"), "output_dir"):
            at_home = file is not None and file.parent == home
            if file and at_home and file.exists():
                database.repair(file, home)
            client = MlflowClient(tracking_uri=self.uri)
            found = client.get_experiment_by_name(self.experiment)
            if file and file.exists():
                modes.share(file)
            if found and found.lifecycle_stage == "deleted":
                raise Unpublished(causes.deleted(self.uri, self.experiment, found.experiment_id))
            if found:
                yield client, found.experiment_id
                return
            # a server chooses a place for artifacts that its readers can see
            remote = self.uri.startswith(("http:", "https:"))
            location = None if remote else (self.artifacts / folder_name(self.experiment)).as_uri()
            tags = {HOME: str(home)} if at_home else None
            yield client, client.create_experiment(self.experiment, artifact_location=location, tags=tags)


def with_password(uri: str, *known: str | None) -> str:
    """Return the address with its password, if that is known: records do not keep it."""
    for full in (*known, os.environ.get("MLFLOW_TRACKING_URI")):
        if full and redacted(full) == uri:
            return full
    return uri


def relocated(uri: str | None, before: Path, now: Path) -> str | None:
    """Return the address of a store; a SQLite file in `before` is now in `now`."""
    file = sqlite_file(uri) if uri else None
    return sqlite_url(now / file.relative_to(before)) if file and file.is_relative_to(before) else uri


def folder_name(experiment: str) -> str:
    """Return a folder name for an experiment's artifacts that cannot lead to another place."""
    if experiment == Path(experiment).name and experiment != "..":
        return experiment
    return urllib.parse.quote(experiment, safe="").replace(".", "%2E")
