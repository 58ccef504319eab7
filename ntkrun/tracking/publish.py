"""Publish a run folder as one MLflow run."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ntkrun import machine
from ntkrun.store.runs import Run, load, read_json
from ntkrun.tracking import causes, logged_model, parent, shown
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
            logged_model.remove(client, experiment, old.info.run_id)  # its publisher was killed
            client.delete_run(old.info.run_id)
        tags = {"mlflow.source.name": "ntkrun", "mlflow.source.type": "LOCAL", KEY: key}
        tags["mlflow.user"] = run.status.get("user") or machine.user()
        if run.environment.get("git_revision"):
            tags["mlflow.source.git.commit"] = run.environment["git_revision"]
        varies: list[str] = []
        if sweep := parent.sweep_of(run):
            tags["mlflow.parentRunId"] = parent.open_run(client, experiment, sweep, tracker)
            varies = read_json(sweep / "sweep.json").get("varies", [])
        # times of the run, not of its publication
        started, ended = (int(run.status[k] * 1000) for k in ("started", "finished"))
        name = shown.name(run, varies)
        made = client.create_run(experiment, run_name=name, start_time=started, tags=tags)
        _fill(client, experiment, made.info.run_id, run, varies, ended)
        client.set_terminated(made.info.run_id, "FINISHED", end_time=ended)
        return made.info.run_id


def _fill(client: Any, experiment: str, run_id: str, run: Run, varies: Sequence[str], now: int) -> None:
    """Give an MLflow run everything that the run folder holds."""
    from mlflow.entities import DatasetInput, InputTag, Metric, Param, RunTag

    params, tags = shown.compared(run, varies)
    # the folder may have been moved since it recorded its name
    words = {**run.result, "run_folder": str(run.folder), shown.NOTE: shown.note(run)}
    tags |= {k: v for k, v in words.items() if isinstance(v, str) and k != "run_name"}
    of_config = [Param(k, v) for k, v in params.items()]
    client.log_batch(run_id, params=of_config, tags=[RunTag(k, v) for k, v in tags.items()])
    data = shown.dataset(run)
    client.log_inputs(run_id, [DatasetInput(data, [InputTag("mlflow.data.context", "train and test")])])

    model, model_id = run.folder / "model", None
    if model.is_dir():
        model_id = logged_model.log(client, experiment, run_id, model, params)
    scores = []
    for key, value in shown.metrics(run.result).items():
        score = model_id is not None and key.startswith(("test/", "valid/"))
        of_model = (model_id, data.name, data.digest) if score else (None, None, None)
        scores.append(Metric(key, value, now, 0, *of_model, run_id))
    if path := read_json(run.folder / "lambda_path.json"):
        metric = f"path/valid_{path['metric']}"
        for step, (lam, value) in enumerate(zip(path["relative_lambda"], path["valid_scores"], strict=True)):
            scores += [Metric(metric, value, now, step), Metric("path/relative_lambda", lam, now, step)]
    client.log_batch(run_id, metrics=scores)
    for item in sorted(run.folder.iterdir()):
        if item.is_dir() and (item != model or model_id is None):
            client.log_artifacts(run_id, str(item), item.name)
        elif item.is_file():
            client.log_artifact(run_id, str(item))
