"""Start a sweep, do its jobs and end it, as Hydra calls for it."""

from __future__ import annotations

import logging
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback

from ntkrun import machine
from ntkrun.cli import jobs, optimiser
from ntkrun.cli.summary import table
from ntkrun.errors import ConfigError, DataError, SweepError, must_be
from ntkrun.log import redacted, to_terminal
from ntkrun.progress import saying
from ntkrun.store import modes, sweep_folder
from ntkrun.store.atomic import make_folder, write_json
from ntkrun.store.paths import as_path
from ntkrun.store.runs import read_json, whose
from ntkrun.store.sweep_folder import Started

log = logging.getLogger(__name__)


class NotStarted(BaseException):
    """Carry the error that kept a sweep from starting; Hydra would reduce an Exception to a warning."""


class Start(Callback):
    """Make the folder of a sweep before its first job; conf/config.yaml names this callback."""

    _started: Started | None = None

    def on_multirun_start(self, config: Any, **_: Any) -> None:
        """Write sweep.json, or raise NotStarted and leave nothing behind.

        With skip_finished, an unfinished sweep of the same words continues in its MLflow run.
        """
        try:
            Start._started = _start(config)
        except Exception as error:
            raise NotStarted from error

    @classmethod
    def take(cls) -> Started | None:
        """Return the sweep that this process has started, and forget it."""
        started, cls._started = cls._started, None
        return started


def _start(config: Any) -> Started:
    from omegaconf import OmegaConf

    direction = optimiser.check(config)
    given: Any = OmegaConf.to_container(config.hydra.overrides)  # unresolved: they may name a job's number
    words = [redacted(word) for word in (*given["task"], *given["hydra"])]
    folder = _pin(config)
    record = {"overrides": words, "started": time.time(), "status": "RUNNING", "key": uuid.uuid4().hex}
    record |= {"direction": direction, "cwd": config.hydra.runtime.cwd, **whose(), **jobs.planned(config)}
    earlier, before = sweep_folder.unfinished(folder.parent, record) if config.skip_finished else (None, {})
    uri = OmegaConf.select(config, "tracking.uri")
    started = Started(folder, uri, [p for p in (folder, *folder.parents) if not p.exists()])
    try:
        outputs = as_path(str(config.output_dir), config.hydra.runtime.cwd)
        inside = outputs in folder.parents
        modes.follow(outputs)
        make_folder(folder / "jobs", "output_dir" if inside else "hydra.sweep.dir")
        # from an earlier sweep with the same hydra.sweep.dir
        for old in [*(folder / "jobs").glob("*.json"), folder / "report.html"]:
            old.unlink(missing_ok=True)
        write_json(folder / "sweep.json", record | before)
    except Exception:
        sweep_folder.discard(started)
        raise
    if earlier and earlier.parent != folder:
        write_json(earlier, {**read_json(earlier), "status": "CONTINUED"})
    return started


def _pin(config: Any) -> Path:
    """Return the sweep's folder, and fix it as one absolute path for all jobs.

    Otherwise Hydra resolves it per job, and it changes with a swept key or the current folder.
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


def job(work: Callable[[Path], dict[str, Any]], hydra: Any, overrides: list[str]) -> float:
    """Do one job of a sweep, perhaps in a worker process; return a number for an optimiser.

    `work` takes the folder of the sweep and returns the result of a run.
    """
    number, folder = int(hydra.job.num), Path(hydra.sweep.dir)
    to_terminal(once=True, shared=folder / "jobs")
    machine.end_soon()
    if not (folder / "sweep.json").is_file():
        raise ConfigError(f"{folder} holds no sweep.json. Do not change hydra.callbacks.sweep.")
    title = jobs.title(overrides, read_json(folder / "sweep.json").get("varies", []))
    log.info("\n%s", redacted(jobs.heading(folder, number, title)))
    outcome = sweep_folder.attempt(folder, number, title, lambda: work(folder))
    value = f"{outcome['metric']} {outcome['value']:.4f}, " if "value" in outcome else ""
    log.info("job %d %s: %s%.1f s", number, outcome["status"], value, outcome["seconds"])
    return optimiser.number(outcome, optimiser.direction_of(hydra.sweeper) or "minimize")


def warn_of_two_levels(hydra: Any, executor: str | None) -> None:
    """Warn once if both the launcher and the executor start processes."""
    if executor != "serial" and "basic_launcher" not in hydra.launcher._target_ and int(hydra.job.num) == 0:
        to_terminal(once=True)
        log.warning(
            "launcher and executor both start processes: jobs x workers in all. "
            "Use executor=serial or hydra/launcher=basic."
        )


def end(started: Started, error: Exception | None) -> int:
    """Print the table of a sweep, end its MLflow run, return the exit code; `error` comes from Hydra."""
    from ntkrun.report import collect, page
    from ntkrun.tracking import parent

    folder = started.folder
    outcomes = sweep_folder.outcomes(folder)
    if not outcomes:
        sweep_folder.discard(started)
        raise error or ConfigError(
            f"a sweep of ntkrun must have jobs. None has written to {folder / 'jobs'}. "
            "Look for an empty range(...), or machines that do not share the folder."
        )
    sys.stdout.write(table(folder))
    sys.stdout.flush()
    record = sweep_folder.finish(folder, "KILLED" if error else "FINISHED")
    try:
        with saying("report     writing the page"):
            page.write(collect.runs_of(folder), f"ntkrun: sweep {folder.name}", folder / "report.html")
        sys.stdout.write(f"report        {folder / 'report.html'}\n")
    except DataError:  # no job has finished, as the table shows
        log.debug("no report", exc_info=True)
    finally:  # the MLflow run carries the report
        with saying("MLflow     ending the sweep's run"):
            parent.attempt(folder, started.uri)
    sys.stdout.flush()
    if error:
        raise error
    if record["failed"] == len(outcomes):
        (folder / optimiser.RESULTS).unlink(missing_ok=True)  # its best job would be a failed one
    if record["failed"]:
        which = f"{'all ' if record['failed'] == len(outcomes) else ''}{record['failed']} jobs"
        log.error("%s failed; their tracebacks are in %s", which, folder / "jobs")
        return SweepError.exit_code
    return 0


def interrupted(started: Started) -> None:
    """End a sweep that was stopped, and its MLflow run."""
    from ntkrun.tracking import parent

    sweep_folder.finish(started.folder, "KILLED")
    parent.attempt(started.folder, started.uri)
