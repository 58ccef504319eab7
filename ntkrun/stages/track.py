"""Stage 5: the run folder first, then one MLflow run that is a view of it."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)


def flatten(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return {"method.degree": 2, ...} for a nested configuration."""
    out: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            out |= flatten(value, f"{prefix}{key}.")
        else:
            out[prefix + key] = value
    return out


def publish(folder: Path, uri: str, experiment: str, artifact_root: Path) -> str | None:
    """Make one MLflow run of a finished run folder and return its id; None where tracking fails.

    Reads only the folder, so it can be repeated later. A failing tracker never fails the run: the folder
    is the truth.
    """
    try:
        return _publish(folder, uri, experiment, artifact_root)
    # any store may fail in any way (network, locked database, version mismatch)
    except Exception as error:
        log.warning(
            "tracking   %s failed (%s: %s); the run folder is complete", uri, type(error).__name__, error
        )
        log.debug("tracking failed", exc_info=True)
        return None


def _publish(folder: Path, uri: str, experiment: str, artifact_root: Path) -> str:
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    # a dead server is given seconds, not the client's four minutes: the folder can be published later
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
    logging.getLogger("alembic").setLevel(logging.WARNING)
    from filelock import FileLock
    from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag
    from mlflow.tracking import MlflowClient

    logging.getLogger("mlflow").setLevel(logging.WARNING)
    record = json.loads((folder / "config.json").read_text())
    result = json.loads((folder / "result.json").read_text())
    artifact_root.mkdir(parents=True, exist_ok=True)
    # a fresh SQLite store opened by two processes at once breaks: make it under a lock
    with FileLock(artifact_root.parent / ".mlflow.lock"):
        client = MlflowClient(tracking_uri=uri)
        found = client.get_experiment_by_name(experiment)
        location = (artifact_root / experiment).as_uri()
        identity = (
            found.experiment_id if found else client.create_experiment(experiment, artifact_location=location)
        )
    # the run's own times, not those of publishing it
    status = json.loads((folder / "status.json").read_text())
    now = int(status["finished"] * 1000)
    environment = json.loads((folder / "environment.json").read_text())
    tags = {"mlflow.source.name": "ntkrun", "mlflow.source.type": "LOCAL"}
    if environment.get("git_revision"):
        tags["mlflow.source.git.commit"] = environment["git_revision"]
    started = int(status["started"] * 1000)
    run = client.create_run(identity, run_name=result["run_name"], start_time=started, tags=tags)
    run_id = run.info.run_id
    scores = [Metric(k, float(v), now, 0) for k, v in result.items() if isinstance(v, int | float)]
    if (folder / "lambda_path.json").exists():
        path = json.loads((folder / "lambda_path.json").read_text())
        metric = f"path/valid_{path['metric']}"
        for step, (lam, value) in enumerate(zip(path["relative_lambda"], path["valid_scores"], strict=True)):
            scores += [Metric(metric, value, now, step), Metric("path/relative_lambda", lam, now, step)]
    texts = {k: v for k, v in result.items() if isinstance(v, str)}
    client.log_batch(
        run_id,
        metrics=scores,
        params=[Param(k, str(v)[:6000]) for k, v in flatten(record).items()],
        tags=[RunTag(k, v) for k, v in texts.items()] + [RunTag("run_folder", str(folder))],
    )
    data = Dataset(
        name=result["dataset"],
        digest=result["data_sha256"][:8],
        source_type="local",
        source=json.dumps({"path": record["dataset"].get("path")}),
        profile=json.dumps({k: result[k] for k in ("n_train", "n_test")}),
    )
    client.log_inputs(run_id, [DatasetInput(data, [InputTag("mlflow.data.context", "train and test")])])
    client.log_artifacts(run_id, str(folder))
    client.set_terminated(run_id, "FINISHED", end_time=now)
    return run_id
