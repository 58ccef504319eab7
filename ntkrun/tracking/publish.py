"""Publish a run folder as one MLflow run."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

from ntkrun import machine
from ntkrun.store.runs import Run, load, parameters, read_json
from ntkrun.tracking import causes, parent
from ntkrun.tracking.causes import Unpublished
from ntkrun.tracking.database import KEY
from ntkrun.tracking.tracker import Tracker

log = logging.getLogger(__name__)


def attempt(folder: Path, tracker: Tracker) -> str | None:
    """Call `publish`; if it fails, warn and return None: the run folder is complete without it."""
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

    It reads only the folder, so it can be repeated: the second call returns the run of the first.
    """
    try:
        return _publish(load(folder), tracker)
    # any store may fail in any way (network, locked database, version mismatch)
    except Exception as error:
        raise Unpublished(causes.of(error, tracker.uri)) from error


def _publish(run: Run, tracker: Tracker) -> str:
    key = run.status.get("key", run.folder.name)
    # all under the lock: SQLite takes one writer at a time, and no other process publishes this run
    with tracker.store() as (client, experiment):
        for old in client.search_runs([experiment], filter_string=f"tags.`{KEY}` = '{key}'"):
            if old.info.status == "FINISHED":
                return old.info.run_id
            client.delete_run(old.info.run_id)  # its publisher was killed
        tags = {"mlflow.source.name": "ntkrun", "mlflow.source.type": "LOCAL", KEY: key}
        tags["mlflow.user"] = run.status.get("user") or machine.user()
        if run.environment.get("git_revision"):
            tags["mlflow.source.git.commit"] = run.environment["git_revision"]
        if sweep := parent.sweep_of(run):
            tags["mlflow.parentRunId"] = parent.open_run(client, experiment, sweep, tracker)
        # times of the run, not of its publication
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
    # the folder may have been moved since it recorded its name
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
