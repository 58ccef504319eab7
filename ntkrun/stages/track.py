"""Stage 5: the run folder first, then one MLflow run that is a view of it; a sweep is a parent run."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ntkrun.paths import sqlite_url
from ntkrun.redact import redacted
from ntkrun.store.atomic import write_json
from ntkrun.store.runs import Run, load, read_json
from ntkrun.words import LINKED

log = logging.getLogger(__name__)

KEY = "ntkrun.key"  # tag by which a run is found again


@dataclass(frozen=True)
class Tracker:
    """Where runs are shown: an MLflow store, an experiment in it, and a folder for artifacts."""

    uri: str
    experiment: str
    artifacts: Path

    @staticmethod
    def of(config: dict[str, Any], output_dir: Path) -> Tracker:
        """Return the tracker that a configuration names."""
        uri = config["tracking"]["uri"] or sqlite_url(output_dir / "mlflow.db")
        return Tracker(uri, config["tracking"]["experiment"], output_dir / "mlartifacts")

    @contextmanager
    def store(self) -> Iterator[tuple[Any, str]]:
        """Yield a client and the experiment's id under a lock: two that open a fresh SQLite break it."""
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        # a dead server is given seconds, not the client's four minutes: the folder can be published later
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
        logging.getLogger("alembic").setLevel(logging.WARNING)
        from filelock import FileLock
        from mlflow.tracking import MlflowClient

        # what they have to say of a broken store comes to us as an exception
        for name in ("mlflow", "sqlalchemy"):
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)
        self.artifacts.mkdir(parents=True, exist_ok=True)
        with FileLock(self.artifacts.parent / ".mlflow.lock"):
            client = MlflowClient(tracking_uri=self.uri)
            found = client.get_experiment_by_name(self.experiment)
            if found:
                yield client, found.experiment_id
            else:
                # a server keeps artifacts where it and its readers see them
                remote = self.uri.startswith(("http:", "https:"))
                location = None if remote else (self.artifacts / self.experiment).as_uri()
                yield client, client.create_experiment(self.experiment, artifact_location=location)


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


def publish(folder: Path, tracker: Tracker) -> str | None:
    """Make one MLflow run of a finished run folder and return its id; None where tracking fails.

    Reads only the folder, so it can be repeated, and a second time finds the first one's run. A failing
    tracker never fails the run: the folder is the truth.
    """
    try:
        return _publish(load(folder), tracker)
    # any store may fail in any way (network, locked database, version mismatch)
    except Exception as error:
        log.warning(
            "tracking   %s failed (%s: %s); the run folder is complete, publish it later with ntkrun sync",
            redacted(tracker.uri),
            type(error).__name__,
            str(error).splitlines()[0] if str(error) else "",
        )
        log.debug("tracking failed", exc_info=True)
        return None


def _publish(run: Run, tracker: Tracker) -> str:
    key = run.status.get("key", run.folder.name)
    # all of it under the lock: SQLite takes one writer at a time, and nobody else publishes this run
    with tracker.store() as (client, experiment):
        for old in client.search_runs([experiment], filter_string=f"tags.`{KEY}` = '{key}'"):
            if old.info.status == "FINISHED":
                return old.info.run_id
            client.delete_run(old.info.run_id)  # somebody was killed while publishing it
        tags = {"mlflow.source.name": "ntkrun", "mlflow.source.type": "LOCAL"}
        tags |= {"run_folder": str(run.folder), KEY: key}
        if run.environment.get("git_revision"):
            tags["mlflow.source.git.commit"] = run.environment["git_revision"]
        if run.status.get("sweep"):
            tags["mlflow.parentRunId"] = _parent(client, experiment, Path(run.status["sweep"]), tracker)
        # the run's own times, not those of publishing it
        started, ended = (int(run.status[k] * 1000) for k in ("started", "finished"))
        name = run.result["run_name"]
        made = client.create_run(experiment, run_name=name, start_time=started, tags=tags)
        _fill(client, made.info.run_id, run, ended)
        client.set_terminated(made.info.run_id, "FINISHED", end_time=ended)
        return made.info.run_id


def _fill(client: Any, run_id: str, run: Run, now: int) -> None:
    from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag

    result = run.result
    scores = [Metric(k, float(v), now, 0) for k, v in result.items() if isinstance(v, int | float)]
    if path := read_json(run.folder / "lambda_path.json"):
        metric = f"path/valid_{path['metric']}"
        for step, (lam, value) in enumerate(zip(path["relative_lambda"], path["valid_scores"], strict=True)):
            scores += [Metric(metric, value, now, step), Metric("path/relative_lambda", lam, now, step)]
    params = [Param(k, str(v)[:6000]) for k, v in parameters(run.config).items()]
    texts = [RunTag(k, v) for k, v in result.items() if isinstance(v, str)]
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


def _parent(client: Any, experiment: str, sweep: Path, tracker: Tracker) -> str:
    """Return the MLflow run of a sweep, made by whichever job comes first; call it under the store's lock."""
    from mlflow.entities import Param

    record = read_json(sweep / "sweep.json")
    if record.get("parent_run_id") and record.get("tracking_uri") == redacted(tracker.uri):
        return record["parent_run_id"]
    key = record.get("key", sweep.name)
    tags = {
        "mlflow.source.name": "ntkrun",
        "mlflow.source.type": "LOCAL",
        "sweep_folder": str(sweep),
        KEY: key,
    }
    name, start = f"sweep {sweep.name}", int(record["started"] * 1000)
    # one that was killed before it could write the run's id down has left the run
    left = client.search_runs([experiment], filter_string=f"tags.`{KEY}` = '{key}'")
    run = left[0] if left else client.create_run(experiment, run_name=name, start_time=start, tags=tags)
    words = (word.lstrip("+~").partition("=") for word in record["overrides"])
    params = {"".join(c if c.isalnum() or c in "_-./ " else "_" for c in k): v[:6000] for k, _, v in words}
    client.log_batch(run.info.run_id, params=[Param(k, v) for k, v in params.items()])  # the last word counts
    record |= {
        "parent_run_id": run.info.run_id,
        "tracking_uri": redacted(tracker.uri),
        "experiment": tracker.experiment,
    }
    record["artifacts"] = str(tracker.artifacts)
    write_json(sweep / "sweep.json", record)
    return run.info.run_id


def close_sweep(sweep: Path, uri: str | None = None) -> bool:
    """End the MLflow run of a finished sweep, if it has one; False where the store cannot be reached.

    `uri` is the store with its password, if it has one: sweep.json does not know that.
    """
    record = read_json(sweep / "sweep.json")
    if not record.get("parent_run_id") or record.get("closed"):
        return True
    try:
        tracker = Tracker(uri or record["tracking_uri"], record["experiment"], Path(record["artifacts"]))
        with tracker.store() as (client, _):
            for state in ("ok", "skipped", "failed"):
                client.log_metric(record["parent_run_id"], f"jobs/{state}", record[state])
            end = int(record["finished"] * 1000)
            status = "FAILED" if record["failed"] else "FINISHED"
            client.set_terminated(record["parent_run_id"], status, end_time=end)
    # as in `publish`
    except Exception as error:
        log.warning(
            "tracking   the sweep's run could not be ended (%s); see ntkrun sync", type(error).__name__
        )
        log.debug("tracking failed", exc_info=True)
        return False
    write_json(sweep / "sweep.json", {**record, "closed": True})
    return True
