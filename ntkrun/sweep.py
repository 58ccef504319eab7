"""A sweep: its folder, what became of each job, and the table at the end.

    <output_dir>/sweeps/<time>/sweep.json           what was swept, and whether it came to its end
    <output_dir>/sweeps/<time>/jobs/00003.json      written by the job itself, in whatever process it ran

Jobs may run one after the other, in worker processes or on a cluster (Hydra's launchers); the files are
all that they share.
"""

from __future__ import annotations

import contextlib
import logging
import time
import traceback
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from hydra.experimental.callback import Callback

from ntkrun import optimiser
from ntkrun.errors import ConfigError, IntegrityError, NtkrunError, must_be
from ntkrun.paths import as_path
from ntkrun.redact import redacted
from ntkrun.store import modes
from ntkrun.store.atomic import make_folder, write_json
from ntkrun.store.runs import died, metric_of, read_json, when, whose

log = logging.getLogger(__name__)
STATES = ("ok", "skipped", "failed")


class NotStarted(BaseException):
    """Carries the error that kept a sweep from starting: Hydra makes a warning of a callback's Exception."""


class Started(NamedTuple):
    """A sweep that this process has started: its folder, tracking.uri, and the folders made for it."""

    folder: Path
    uri: str | None
    made: list[Path]  # innermost first


class Start(Callback):
    """Makes the folder of a sweep before its first job; named in conf/config.yaml."""

    _started: Started | None = None

    def on_multirun_start(self, config: Any, **_: Any) -> None:
        """Write sweep.json, or raise NotStarted and leave nothing behind.

        An unfinished sweep of the same words is continued in its MLflow run.
        """
        try:
            Start._started = _start(config)
        except Exception as error:
            raise NotStarted from error

    @classmethod
    def take(cls) -> Started | None:
        """Return the sweep that this process has started, once."""
        started, cls._started = cls._started, None
        return started


def _start(config: Any) -> Started:
    from omegaconf import OmegaConf

    direction = optimiser.check(config)
    given: Any = OmegaConf.to_container(config.hydra.overrides)  # as typed: a job's number may stand in them
    words = [redacted(word) for word in (*given["task"], *given["hydra"])]
    folder = _pin(config)
    record = {"overrides": words, "started": time.time(), "status": "RUNNING", "key": uuid.uuid4().hex}
    record |= {"direction": direction, "cwd": config.hydra.runtime.cwd, **whose()}
    earlier, before = _unfinished(folder.parent, record) if config.skip_finished else (None, {})
    uri = OmegaConf.select(config, "tracking.uri")
    started = Started(folder, uri, [p for p in (folder, *folder.parents) if not p.exists()])
    try:
        outputs = as_path(str(config.output_dir), config.hydra.runtime.cwd)
        inside = outputs in folder.parents
        modes.follow(outputs)
        make_folder(folder / "jobs", "output_dir" if inside else "hydra.sweep.dir")
        for old in (folder / "jobs").glob("*.json"):  # of an earlier sweep with the same hydra.sweep.dir
            old.unlink()
        write_json(folder / "sweep.json", record | before)
    except Exception:
        discard(started)
        raise
    if earlier and earlier.parent != folder:
        write_json(earlier, {**read_json(earlier), "status": "CONTINUED"})
    return started


def _pin(config: Any) -> Path:
    """Return the sweep's folder and make it the same, absolute one for all jobs.

    Hydra works it out again for each job, so it would change with a swept key or the current folder.
    """
    from hydra.core.override_parser.types import Quote, QuotedString
    from omegaconf import OmegaConf, read_write
    from omegaconf.errors import InterpolationToMissingValueError

    try:
        folder = as_path(config.hydra.sweep.dir, config.hydra.runtime.cwd)
    except InterpolationToMissingValueError as error:
        given: Any = OmegaConf.to_container(config.hydra.sweep)
        remedy = "For a folder per job, set hydra.sweep.subdir."
        constraint = "one folder for all jobs"
        raise ConfigError(must_be("hydra.sweep.dir", "ntkrun", constraint, given["dir"], remedy)) from error
    with read_write(config):
        config.hydra.sweep.dir = str(folder)
        quoted = QuotedString(str(folder), Quote.single).with_quotes()
        config.hydra.overrides.hydra.append(f"hydra.sweep.dir={quoted}")
    return folder


def _unfinished(sweeps: Path, like: dict[str, Any]) -> tuple[Path | None, dict[str, Any]]:
    """Return the sweep.json of the newest unfinished sweep like this one, and what is kept of it.

    That is one of the same words, started in the same folder, that was stopped or whose process has died.
    """
    found = []
    for path in sweeps.glob("*/sweep.json"):
        try:
            record = read_json(path)
        except IntegrityError as error:  # whatever it was, this sweep can do without it
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
    """Remove all that a sweep without a job has left: its records, and the folders that were made for it."""
    for name in ("sweep.json", "multirun.yaml"):
        with contextlib.suppress(OSError):
            (started.folder / name).unlink()
    for folder in (started.folder / "jobs", *started.made):
        with contextlib.suppress(OSError):
            folder.rmdir()


def attempt(folder: Path, number: int, title: str, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Do one job and return and write down what became of it; an error is kept, not raised.

    `seconds` of a finished job are the run's own: the first job of a process also loads all libraries.
    `work` returns the result of a run, with "skipped" set where it was there already.
    """
    start = time.perf_counter()
    outcome: dict[str, Any] = {"number": number, "title": redacted(title)}
    try:
        result = work()
    # one bad job must not stop the others, whatever is wrong with it
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
    """Return what became of the jobs, by number."""
    return [read_json(path) for path in sorted((folder / "jobs").glob("*.json"))]


def counts(jobs: list[dict[str, Any]]) -> dict[str, int]:
    """Return how many jobs are in each state."""
    return {state: sum(job["status"] == state for job in jobs) for state in STATES}


def finish(folder: Path, status: str = "FINISHED") -> dict[str, Any]:
    """Mark a sweep as ended, FINISHED or KILLED, and return its record."""
    ended = {"status": status, "finished": time.time(), **counts(outcomes(folder))}
    record = read_json(folder / "sweep.json") | ended
    write_json(folder / "sweep.json", record)
    return record


def table(folder: Path) -> str:
    """Return the table that ends a sweep; it reads the folder only, so a full disk does not prevent it."""
    jobs = outcomes(folder)
    shown = ", ".join(f"{n} {state}" for state, n in counts(jobs).items() if n or state == "ok")
    lines = [f"\nsweep         {len(jobs)} jobs: {shown}"]
    metric = next((job["metric"] for job in jobs if "metric" in job), "")
    lines.append(f"{'job':>5}  {'status':<8}{metric:>9}{'seconds':>9}  overrides")
    for job in jobs:
        value = f"{job['value']:.4f}" if "value" in job else "-"
        lines.append(
            f"{job['number']:>5}  {job['status']:<8}{value:>9}{job['seconds']:>9.1f}  {job['title']}"
        )
        if job["status"] == "failed":
            lines.append(f"{'':>33}  {job['error']}")
    direction = read_json(folder / "sweep.json").get("direction")
    if direction and (best := optimiser.best(jobs, direction)):
        lines.append(best)
    lines.append(f"jobs          {folder / 'jobs'}")
    return "\n".join(lines) + "\n"
