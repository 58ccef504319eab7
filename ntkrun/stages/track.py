"""Stage 5: the run folder first, then one MLflow run that is a view of it."""

from __future__ import annotations

import getpass
import json
import logging
import os
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ntkrun.paths import sqlite_file, sqlite_url
from ntkrun.redact import redacted
from ntkrun.stages import causes
from ntkrun.stages.causes import Unpublished
from ntkrun.store import database, lock, modes
from ntkrun.store.database import ARTIFACTS, HOME, KEY
from ntkrun.store.runs import Run, load, read_json
from ntkrun.words import LINKED

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Tracker:
    """Where runs are shown: an MLflow store, an experiment in it, and a folder for artifacts."""

    uri: str
    experiment: str
    artifacts: Path

    @staticmethod
    def of(config: dict[str, Any], output_dir: Path) -> Tracker:
        """Return the tracker that a configuration names, else the one of MLflow's variables, else ours."""
        section = config.get("tracking") or {}
        around = os.environ.get("MLFLOW_TRACKING_URI")
        uri = with_password(section.get("uri") or around or sqlite_url(output_dir / "mlflow.db"))
        name = section.get("experiment")
        if name is None:
            name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or "ntkrun"
        return Tracker(str(uri), str(name), output_dir / ARTIFACTS)

    def record(self) -> dict[str, Any]:
        """Return what a run writes down: no address for the store in its own folder, which may move."""
        file = self.file
        if file:
            ours = file == self.artifacts.parent / "mlflow.db"
            return {"uri": None if ours else sqlite_url(file), "experiment": self.experiment}
        return {"uri": redacted(self.uri), "experiment": self.experiment}

    @property
    def file(self) -> Path | None:
        """The SQLite file; None for a server, another database, and a database in memory."""
        file = sqlite_file(self.uri)
        return file and file.absolute()

    @contextmanager
    def store(self) -> Iterator[tuple[Any, str]]:
        """Yield a client and the experiment's id under a lock; Unpublished if the store cannot be used."""
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        # a dead server is given seconds, not the client's four minutes: the folder can be published later
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
        logging.getLogger("alembic").setLevel(logging.WARNING)
        from mlflow.tracking import MlflowClient

        # what they have to say of a broken store comes to us as an exception
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
            # a server keeps artifacts where it and its readers see them
            remote = self.uri.startswith(("http:", "https:"))
            location = None if remote else (self.artifacts / folder_name(self.experiment)).as_uri()
            tags = {HOME: str(home)} if at_home else None
            yield client, client.create_experiment(self.experiment, artifact_location=location, tags=tags)


def with_password(uri: str, *known: str | None) -> str:
    """Return the address with its password, if it is known: records do not keep it."""
    for full in (*known, os.environ.get("MLFLOW_TRACKING_URI")):
        if full and redacted(full) == uri:
            return full
    return uri


def relocated(uri: str | None, before: Path, now: Path) -> str | None:
    """Return the address of a store, in `now` if it was a SQLite file in the folder `before`."""
    file = sqlite_file(uri) if uri else None
    return sqlite_url(now / file.relative_to(before)) if file and file.is_relative_to(before) else uri


def folder_name(experiment: str) -> str:
    """Return a folder for an experiment's artifacts that lies where it should, whatever the name."""
    if experiment == Path(experiment).name and experiment != "..":
        return experiment
    return urllib.parse.quote(experiment, safe="").replace(".", "%2E")


def flatten(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return {"method.degree": 2, ...} for a nested configuration."""
    out: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            out |= flatten(value, f"{prefix}{key}.")
        else:
            out[prefix + key] = value
    return out


def parameters(config: dict[str, Any]) -> dict[str, Any]:
    """Return what MLflow shows of a configuration: a group's key that repeats one from the top is left out.

    Otherwise every comparison would show `feature_dim` and `method.n_components` beside each other.
    """
    shown = {}
    for name, value in flatten(config).items():
        key = name.rpartition(".")[2]
        top = LINKED.get(key, key)
        if "." not in name or top not in config or config[top] != value:
            shown[name] = value
    return shown


def attempt(folder: Path, tracker: Tracker) -> str | None:
    """Do `publish`, but say in one line that it has failed and return None: the folder is the truth."""
    try:
        return publish(folder, tracker)
    except Unpublished as error:
        log.warning(
            "tracking   %s; the run folder is complete, publish it later with ntkrun sync. %s",
            error.cause.what,
            error.cause.remedy,
        )
        log.debug("tracking failed", exc_info=True)
        return None


def publish(folder: Path, tracker: Tracker) -> str:
    """Make one MLflow run of a finished run folder and return its id; Unpublished if that fails.

    Reads only the folder, so it can be repeated, and a second time finds the first one's run.
    """
    try:
        return _publish(load(folder), tracker)
    # any store may fail in any way (network, locked database, version mismatch)
    except Exception as error:
        raise Unpublished(causes.of(error, tracker.uri)) from error


def _publish(run: Run, tracker: Tracker) -> str:
    from ntkrun.stages import parent

    key = run.status.get("key", run.folder.name)
    # all of it under the lock: SQLite takes one writer at a time, and nobody else publishes this run
    with tracker.store() as (client, experiment):
        for old in client.search_runs([experiment], filter_string=f"tags.`{KEY}` = '{key}'"):
            if old.info.status == "FINISHED":
                return old.info.run_id
            client.delete_run(old.info.run_id)  # somebody was killed while publishing it
        tags = {"mlflow.source.name": "ntkrun", "mlflow.source.type": "LOCAL", KEY: key}
        tags["mlflow.user"] = run.status.get("user") or user()
        if run.environment.get("git_revision"):
            tags["mlflow.source.git.commit"] = run.environment["git_revision"]
        if sweep := parent.sweep_of(run):
            tags["mlflow.parentRunId"] = parent.open_run(client, experiment, sweep, tracker)
        # the run's own times, not those of publishing it
        started, ended = (int(run.status[k] * 1000) for k in ("started", "finished"))
        name = run.result["run_name"]
        made = client.create_run(experiment, run_name=name, start_time=started, tags=tags)
        _fill(client, made.info.run_id, run, ended)
        client.set_terminated(made.info.run_id, "FINISHED", end_time=ended)
        return made.info.run_id


def user() -> str:
    """Return the user's name, or the number of one without a name."""
    try:
        return getpass.getuser()
    except (ImportError, KeyError, OSError):
        return str(os.getuid())


def _fill(client: Any, run_id: str, run: Run, now: int) -> None:
    from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag

    result = run.result
    scores = [Metric(k, float(v), now, 0) for k, v in result.items() if isinstance(v, int | float)]
    if path := read_json(run.folder / "lambda_path.json"):
        metric = f"path/valid_{path['metric']}"
        for step, (lam, value) in enumerate(zip(path["relative_lambda"], path["valid_scores"], strict=True)):
            scores += [Metric(metric, value, now, step), Metric("path/relative_lambda", lam, now, step)]
    params = [Param(k, str(v)[:6000]) for k, v in parameters(run.config).items()]
    # the folder may have been moved since it wrote its own name down
    texts = [RunTag(k, v) for k, v in {**result, "run_folder": str(run.folder)}.items() if isinstance(v, str)]
    client.log_batch(run_id, metrics=scores, params=params, tags=texts)
    data = Dataset(
        name=result["dataset"],
        digest=result["data_sha256"][:8],
        source_type="local",
        source=json.dumps({"path": run.config["dataset"].get("path")}),
        profile=json.dumps({k: result[k] for k in ("n_train", "n_test")}),
    )
    client.log_inputs(run_id, [DatasetInput(data, [InputTag("mlflow.data.context", "train and test")])])
    client.log_artifacts(run_id, str(run.folder))
