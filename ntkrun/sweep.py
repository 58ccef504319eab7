"""A sweep: its folder, what became of each job, and the table at the end.

    <output_dir>/sweeps/<time>/sweep.json           what was swept, and whether it came to its end
    <output_dir>/sweeps/<time>/jobs/00003.json      written by the job itself, in whatever process it ran

Jobs may run one after the other, in worker processes or on a cluster (Hydra's launchers); the files are
all that they share.
"""

from __future__ import annotations

import logging
import time
import traceback
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback

from ntkrun.errors import NtkrunError
from ntkrun.redact import redacted
from ntkrun.store import modes
from ntkrun.store.atomic import make_folder, write_json
from ntkrun.store.runs import died, metric_of, read_json, when, whose

log = logging.getLogger(__name__)
STATES = ("ok", "skipped", "failed")


class Start(Callback):
    """Makes the folder of a sweep before its first job; named in conf/config.yaml."""

    def on_multirun_start(self, config: Any, **_: Any) -> None:
        """Write sweep.json; an unfinished sweep of the same words is continued in its MLflow run."""
        folder = Path(config.hydra.sweep.dir).absolute()
        words = [redacted(w) for w in (*config.hydra.overrides.task, *config.hydra.overrides.hydra)]
        record = {"overrides": words, "started": time.time(), "status": "RUNNING", "key": uuid.uuid4().hex}
        record |= whose()
        modes.follow(Path(config.output_dir).absolute())
        if config.skip_finished:
            record |= _unfinished(folder.parent, words)
        make_folder(folder / "jobs")
        write_json(folder / "sweep.json", record)
        Start._started = folder, config.tracking.uri

    _started: tuple[Path | None, str | None] = (None, None)

    @classmethod
    def take(cls) -> tuple[Path | None, str | None]:
        """Return folder and tracking.uri of the sweep that this process has started, once."""
        started, cls._started = cls._started, (None, None)
        return started


def _unfinished(sweeps: Path, words: list[str]) -> dict[str, Any]:
    """Return what ties the newest sweep of the same words that did not come to its end to its MLflow run."""
    records = [(path, read_json(path)) for path in sweeps.glob("*/sweep.json")]
    for path, record in sorted(records, key=lambda one: when(one[1], "started"), reverse=True):
        if record.get("overrides") == words and (record.get("status") == "KILLED" or died(record)):
            write_json(path, {**record, "status": "CONTINUED"})
            of_mlflow = ("key", "parent_run_id", "tracking_uri", "experiment", "artifacts")
            return {k: record[k] for k in of_mlflow if k in record} | {"continued": True}
    return {}


def attempt(folder: Path, number: int, title: str, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Do one job and return and write down what became of it; an error is kept, not raised.

    `work` returns the result of a run, with "skipped" set where it was there already.
    """
    start = time.perf_counter()
    outcome: dict[str, Any] = {"number": number, "title": title}
    try:
        result = work()
    # one bad job must not stop the others, whatever is wrong with it
    except Exception as error:
        text = str(error) if isinstance(error, NtkrunError) else f"{type(error).__name__}: {error}"
        log.error("job %d failed: %s", number, text)
        log.debug("job failed", exc_info=True)
        outcome |= {"status": "failed", "error": redacted(text)}
        outcome["traceback"] = redacted(traceback.format_exc())
    else:
        outcome["status"] = "skipped" if result.get("skipped") else "ok"
        outcome["run_folder"] = result["run_folder"]
        if metric := metric_of(result):
            outcome |= {"metric": metric, "value": result[f"test/{metric}"]}
            outcome["valid"] = result[f"valid/{metric}"]
    outcome["seconds"] = time.perf_counter() - start
    write_json(folder / "jobs" / f"{number:05d}.json", outcome)
    return outcome


def outcomes(folder: Path) -> list[dict[str, Any]]:
    """Return what became of the jobs, by number."""
    return [read_json(path) for path in sorted((folder / "jobs").glob("*.json"))]


def finish(folder: Path, status: str = "FINISHED") -> dict[str, Any]:
    """Mark a sweep as ended, FINISHED or KILLED, and return its record."""
    jobs = outcomes(folder)
    counts = {state: sum(job["status"] == state for job in jobs) for state in STATES}
    record = {**read_json(folder / "sweep.json"), "status": status, "finished": time.time(), **counts}
    write_json(folder / "sweep.json", record)
    return record


def table(folder: Path, record: dict[str, Any]) -> str:
    """Return the table that ends a sweep, whose record `finish` has returned."""
    jobs = outcomes(folder)
    counts = ", ".join(f"{record[s]} {s}" for s in STATES if record[s] or s == "ok")
    lines = [f"\nsweep         {len(jobs)} jobs: {counts}"]
    metric = next((job["metric"] for job in jobs if "metric" in job), "")
    lines.append(f"{'job':>5}  {'status':<8}{metric:>9}{'seconds':>9}  overrides")
    for job in jobs:
        value = f"{job['value']:.4f}" if "value" in job else "-"
        lines.append(
            f"{job['number']:>5}  {job['status']:<8}{value:>9}{job['seconds']:>9.1f}  {job['title']}"
        )
        if job["status"] == "failed":
            lines.append(f"{'':>33}  {job['error']}")
    lines.append(f"jobs          {folder / 'jobs'}")
    return "\n".join(lines) + "\n"
