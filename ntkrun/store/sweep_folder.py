"""Read and write the folder of a sweep: its overrides, its status and the outcome of each job.

    <output_dir>/sweeps/<time>/sweep.json           overrides and status
    <output_dir>/sweeps/<time>/jobs/00003.json      outcome of a job, written by the job itself

Jobs may run one after the other, in worker processes or on a cluster (Hydra's launchers). They share only
these files.
"""

from __future__ import annotations

import contextlib
import logging
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from ntkrun.errors import IntegrityError, NtkrunError
from ntkrun.log import redacted
from ntkrun.store.atomic import write_json
from ntkrun.store.runs import died, metric_of, read_json, when

log = logging.getLogger(__name__)
STATES = ("ok", "skipped", "failed")


class Started(NamedTuple):
    """Sweep started by this process: its folder, tracking.uri, and the folders made for it."""

    folder: Path
    uri: str | None
    made: list[Path]  # innermost first


def unfinished(sweeps: Path, like: dict[str, Any]) -> tuple[Path | None, dict[str, Any]]:
    """Return the sweep.json of the newest unfinished sweep like this one, and the fields to keep.

    It has the same overrides and working folder, and was stopped or its process has died.
    """
    found = []
    for path in sweeps.glob("*/sweep.json"):
        try:
            record = read_json(path)
        except IntegrityError as error:  # this sweep does not need it
            log.warning("%s", error)
            continue
        same = record.get("overrides") == like["overrides"] and record.get("cwd", like["cwd"]) == like["cwd"]
        if same and (record.get("status") == "KILLED" or died(record)):
            found.append((when(record, "started"), path, record))
    if not found:
        return None, {}
    _, path, record = max(found, key=lambda one: one[0])
    of_mlflow = ("key", "parent_run_id", "tracking_uri", "experiment", "artifacts")
    return path, {k: record[k] for k in of_mlflow if k in record} | {"continued": True}


def discard(started: Started) -> None:
    """Remove the records of a sweep without jobs, and the folders made for it."""
    _forget(started.folder)
    for name in ("sweep.json", "multirun.yaml"):
        with contextlib.suppress(OSError):
            (started.folder / name).unlink()
    for folder in (started.folder / "jobs", *started.made):
        with contextlib.suppress(OSError):
            folder.rmdir()


def _forget(folder: Path) -> None:
    """Remove the notes about warnings, see `log.to_terminal`."""
    with contextlib.suppress(OSError):
        for path in (folder / "jobs").glob("*.said"):
            path.unlink()


def attempt(folder: Path, number: int, title: str, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Run one job, then write and return its outcome; errors are recorded, not raised.

    `work` returns the result of a run, with "skipped" set if an earlier run gave it. `seconds` of a finished
    job are those of the run: the first job of a process also loads all libraries.
    """
    start = time.perf_counter()
    outcome: dict[str, Any] = {"number": number, "title": redacted(title)}
    try:
        result = work()
    # one bad job must not stop the others
    except Exception as error:
        text = str(error) if isinstance(error, NtkrunError) else f"{type(error).__name__}: {error}"
        text = " ".join(text.split())
        log.error("job %d failed: %s", number, text)
        log.debug("job failed", exc_info=True)
        outcome |= {"status": "failed", "error": redacted(text)}
        outcome["traceback"] = redacted(traceback.format_exc())
    else:
        outcome["status"] = "skipped" if result.get("skipped") else "ok"
        outcome["run_folder"] = result["run_folder"]
        if outcome["status"] == "ok":
            outcome["seconds"] = result["time/wall_s"]
        if metric := metric_of(result):
            outcome |= {"metric": metric, "value": result[f"test/{metric}"]}
            outcome["valid"] = result[f"valid/{metric}"]
    outcome.setdefault("seconds", time.perf_counter() - start)
    write_json(folder / "jobs" / f"{number:05d}.json", outcome)
    return outcome


def outcomes(folder: Path) -> list[dict[str, Any]]:
    """Return the outcomes of the jobs, by number."""
    return [read_json(path) for path in sorted((folder / "jobs").glob("*.json"))]


def counts(jobs: list[dict[str, Any]]) -> dict[str, int]:
    """Return how many jobs are in each state."""
    return {state: sum(job["status"] == state for job in jobs) for state in STATES}


def finish(folder: Path, status: str = "FINISHED") -> dict[str, Any]:
    """Mark a sweep as ended, FINISHED or KILLED, and return its record."""
    _forget(folder)
    ended = {"status": status, "finished": time.time(), **counts(outcomes(folder))}
    record = read_json(folder / "sweep.json") | ended
    write_json(folder / "sweep.json", record)
    return record
