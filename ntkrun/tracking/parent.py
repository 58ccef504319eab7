"""Open and end the MLflow run of a sweep, the parent of its jobs' runs."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from ntkrun import machine
from ntkrun.log import redacted
from ntkrun.store.atomic import write_json
from ntkrun.store.runs import Run, as_key, read_json
from ntkrun.store.sweep_folder import STATES
from ntkrun.tracking import causes, shown
from ntkrun.tracking.causes import Unpublished
from ntkrun.tracking.database import ARTIFACTS, KEY
from ntkrun.tracking.tracker import Tracker, relocated, with_password

log = logging.getLogger(__name__)


def sweep_of(run: Run) -> Path | None:
    """Return the folder of a run's sweep, in the output folder that holds the run now; None without one."""
    if not run.status.get("sweep"):
        return None
    sweep, home = Path(run.status["sweep"]), run.folder.parent.parent
    before = Path(run.result.get("run_folder", run.folder)).parent.parent
    if sweep.is_relative_to(before):
        sweep = home / sweep.relative_to(before)
    elif before.resolve() != home.resolve():  # a copy has no part in a sweep that was not copied
        return None
    return sweep if (sweep / "sweep.json").is_file() else None


def open_run(client: Any, experiment: str, sweep: Path, tracker: Tracker) -> str:
    """Return the MLflow run of a sweep, made by the first job; call it under the store's lock."""
    from mlflow.entities import Param, RunTag

    record = read_json(sweep / "sweep.json")
    known = record.get("parent_run_id") if record.get("tracking_uri") == redacted(tracker.uri) else None
    if known and not record.get("continued"):
        return known
    key = record.get("key", sweep.name)
    tags = {
        "mlflow.source.name": "ntkrun",
        "mlflow.source.type": "LOCAL",
        "mlflow.user": machine.user(),
        "sweep_folder": str(sweep),
        KEY: key,
    }
    name, start = shown.sweep_name(record, sweep), int(record["started"] * 1000)
    # a job that was killed before it recorded the run's id has left the run
    left = client.search_runs([experiment], filter_string=f"tags.`{KEY}` = '{key}'")
    if left:
        client.update_run(left[0].info.run_id, status="RUNNING")
    run = left[0] if left else client.create_run(experiment, run_name=name, start_time=start, tags=tags)
    words = (word.lstrip("+~").partition("=") for word in shown.words(record))
    given = {k: v for k, _, v in words}  # the last word counts
    varied = record.get("varies", given)
    params = [Param(as_key(k), v[:6000]) for k, v in given.items() if k in varied]
    tags_of = [RunTag(as_key(k), v[:5000]) for k, v in given.items() if k not in varied]
    client.log_batch(run.info.run_id, params=params, tags=tags_of)
    record |= {
        "parent_run_id": run.info.run_id,
        "tracking_uri": redacted(tracker.uri),
        "experiment": tracker.experiment,
        "artifacts": str(tracker.artifacts),
        "continued": False,
    }
    write_json(sweep / "sweep.json", record)
    return run.info.run_id


def close_run(sweep: Path, home: Path | None = None, uri: str | None = None) -> None:
    """End the MLflow run of a sweep that has ended, if it has one; Unpublished if that fails.

    `home` is the output folder, if it may have been moved. `uri` is the store's address with its password,
    which sweep.json does not hold.
    """
    record = read_json(sweep / "sweep.json")
    if not record.get("parent_run_id") or record.get("closed"):
        return
    tracker = _tracker(record, home, uri)
    try:
        with tracker.store() as (client, _):
            for state in STATES:
                client.log_metric(record["parent_run_id"], f"jobs/{state}", record[state])
            client.set_tag(record["parent_run_id"], shown.NOTE, shown.sweep_note(sweep))
            if (report := sweep / "report.html").is_file():
                client.log_artifact(record["parent_run_id"], str(report))
            end = int(record["finished"] * 1000)
            status = "FAILED" if record["failed"] else "FINISHED"
            status = "KILLED" if record["status"] == "KILLED" else status
            client.set_terminated(record["parent_run_id"], status, end_time=end)
    # as in `publish`
    except Exception as error:
        raise Unpublished(causes.of(error, tracker.uri)) from error
    write_json(sweep / "sweep.json", {**record, "closed": True})


def attempt(sweep: Path, uri: str | None = None) -> None:
    """Call `close_run`, and warn if it fails."""
    try:
        close_run(sweep, uri=uri)
    except Unpublished as error:
        cause = error.cause
        log.warning(
            "tracking   the sweep's run is not ended: %s; see ntkrun sync. %s", cause.what, cause.remedy
        )
        log.debug("tracking failed", exc_info=True)


def _tracker(record: dict[str, Any], home: Path | None, uri: str | None) -> Tracker:
    artifacts, shown = Path(record["artifacts"]), record["tracking_uri"]
    if home:
        shown = relocated(shown, artifacts.parent, home)
        artifacts = home / ARTIFACTS
    return Tracker(with_password(shown, uri), str(record["experiment"]), artifacts)
