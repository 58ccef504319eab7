"""Hydra's side of a run or a sweep: compose, hand the plain record to the pipeline, say how it ended."""

from __future__ import annotations

import itertools
import logging
import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ntkrun.errors import ConfigError, DataError, NtkrunError, SweepError
from ntkrun.helptext import conf_dir
from ntkrun.paths import as_path, home, sqlite_file
from ntkrun.redact import Formatter, redacted
from ntkrun.store.modes import umask
from ntkrun.words import prepared, quoted

if TYPE_CHECKING:
    from ntkrun.sweep import Started

log = logging.getLogger(__name__)

# what Hydra 1.3 has in packages of their own
PLUGINS = {
    "hydra/launcher=joblib": "ntkrun[sweeps]",
    "hydra/launcher=submitit_local": "ntkrun[sweeps]",
    "hydra/launcher=submitit_slurm": "ntkrun[sweeps]",
    "hydra/launcher=ray": "hydra-ray-launcher",
    "hydra/launcher=rq": "hydra-rq-launcher",
    "hydra/sweeper=optuna": "ntkrun[sweeps]",
    "hydra/sweeper=ax": "hydra-ax-sweeper",
    "hydra/sweeper=nevergrad": "hydra-nevergrad-sweeper",
    "hydra/job_logging=colorlog": "hydra-colorlog",
    "hydra/hydra_logging=colorlog": "hydra-colorlog",
}


def launch(words: list[str]) -> int:
    """Run one job or a sweep and return the exit code; an error of a single job is raised."""
    import hydra

    raised: list[Exception] = []

    @hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name="config")
    def job(config: Any) -> float | None:
        from hydra.core.hydra_config import HydraConfig
        from hydra.types import RunMode
        from omegaconf import OmegaConf

        here = HydraConfig.get()
        # hydra.job.chdir=true has left it, but all relative paths begin there: of data, stores, outputs
        os.chdir(here.runtime.cwd)
        if here.mode == RunMode.MULTIRUN:
            typed: Any = OmegaConf.to_container(here.overrides.task)
            title = ", ".join(typed)
            kind = OmegaConf.select(config, "executor.name")
            if kind != "serial" and "basic_launcher" not in here.launcher._target_:
                _warn_of_two_levels(int(here.job.num))
            return _swept(config, here, title)
        try:
            _single(config)
        except Exception as error:
            log.debug("the run ended early", exc_info=True)
            raised.append(error)  # raised below: Hydra would print lines of its own
        return None

    words = prepared(words)
    # Hydra makes the folder of a sweep of what it finds there
    for name in ("NTKRUN_OUTPUT_DIR", "NTKRUN_DATA_DIR"):
        if name in os.environ:
            os.environ[name] = home(os.environ[name])
    for word, value in itertools.pairwise([*words, ""]):
        option, _, joined = word.partition("=")
        if option in ("--config-dir", "-cd"):
            from ntkrun.yamlcheck import check_folder

            check_folder(as_path(joined or value))
    # loky replaces a worker that has grown too large, between two tasks: nothing for people to act on
    warnings.filterwarnings("ignore", message="A worker stopped while some jobs were given")
    mine, sys.argv = sys.argv, ["ntkrun", *words]  # where Hydra looks
    mask = umask()
    try:
        return _ended(job, raised)
    finally:
        sys.argv = mine
        os.umask(mask)


def _ended(job: Callable[[], None], raised: list[Exception]) -> int:
    """Let Hydra do its work, end a sweep that it has started, and return the exit code."""
    from ntkrun.sweep import NotStarted, Start

    error: Exception | None = None
    try:
        job()
    except NotStarted as stop:
        raise stop.__cause__ from None  # type: ignore[misc]
    except KeyboardInterrupt:
        if started := Start.take():
            _interrupted(started)
        raise
    except Exception as stop:  # of Hydra, its sweeper or its launcher: the jobs that are done have a table
        log.debug("Hydra has raised", exc_info=True)
        error = stop
    if started := Start.take():
        return _end(started, error and _told(error))
    if error or raised:
        raise error or raised[0]
    return 0


def _told(error: Exception) -> Exception:
    """Return the error that ended a sweep as one that is told in a line, whichever library it is of."""
    ours = isinstance(error, NtkrunError | OSError | MemoryError)
    if ours or type(error).__module__.split(".")[0] in ("hydra", "omegaconf"):
        return error
    told = SweepError(f"the sweep has ended early: {type(error).__name__}: {error}")
    told.__cause__ = error
    return told


def _single(config: Any) -> None:
    def show(text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()

    checked = _checked(config)
    result = _result(checked, lambda result: show(summary(result)))
    if result.get("skipped"):
        log.info("skipped    the same configuration has finished in %s", result["run_folder"])
        show(summary(result))
    show(published(result, str(checked.output_dir), checked.tracker.uri))


def _swept(config: Any, here: Any, title: str) -> float:
    """Do one job of a sweep, perhaps in a worker process; return a number for an optimiser."""
    start_logging()
    from ntkrun import optimiser, sweep

    number, folder = int(here.job.num), Path(here.sweep.dir)
    if not (folder / "sweep.json").is_file():
        raise ConfigError(f"{folder} holds no sweep.json. Leave hydra.callbacks.sweep as it is.")
    log.info("\njob %d    %s", number, redacted(title))
    outcome = sweep.attempt(folder, number, title, lambda: _result(_checked(config, folder)))
    value = f"{outcome['metric']} {outcome['value']:.4f}, " if "value" in outcome else ""
    log.info("job %d %s: %s%.1f s", number, outcome["status"], value, outcome["seconds"])
    return optimiser.number(outcome, optimiser.direction_of(here.sweeper) or "minimize")


def _warn_of_two_levels(number: int) -> None:
    if number == 0:
        start_logging()
        log.warning(
            "both the launcher and the executor start processes: jobs x workers of them. "
            "Take executor=serial, or hydra/launcher=basic."
        )


def _result(checked: Any, finished: Callable[[dict[str, Any]], None] | None = None) -> dict[str, Any]:
    from ntkrun import pipeline

    return pipeline.run(checked, finished)


def _checked(config: Any, sweep: Path | None = None) -> Any:
    from omegaconf import OmegaConf

    record = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    assert isinstance(record, dict)

    from ntkrun import machine
    from ntkrun.config import build

    machine.tune()
    return build({str(k): v for k, v in record.items()}, sweep)


def _end(started: Started, error: Exception | None) -> int:
    """End a sweep: its table, its MLflow run, the exit code. `error` is of Hydra, not of a job."""
    from ntkrun import optimiser, sweep
    from ntkrun.report import collect, page
    from ntkrun.stages import parent

    folder = started.folder
    jobs = sweep.outcomes(folder)
    if not jobs:
        sweep.discard(started)
        raise error or ConfigError(
            f"a sweep of ntkrun must have jobs. None has written to {folder / 'jobs'}. "
            "Look for an empty range(...), or for machines that do not share the folder."
        )
    sys.stdout.write(sweep.table(folder))
    sys.stdout.flush()
    record = sweep.finish(folder, "KILLED" if error else "FINISHED")
    parent.attempt(folder, started.uri)
    try:
        page.write(collect.runs_of(folder), f"ntkrun: sweep {folder.name}", folder / "report.html")
        sys.stdout.write(f"report        {folder / 'report.html'}\n")
    except DataError:  # no job has finished: the table has said it all
        log.debug("no report", exc_info=True)
    sys.stdout.flush()
    if error:
        raise error
    if record["failed"] == len(jobs):
        (folder / optimiser.RESULTS).unlink(missing_ok=True)  # its best would be a job that failed
    if record["failed"]:
        which = f"{'all ' if record['failed'] == len(jobs) else ''}{record['failed']} jobs"
        log.error("%s failed; their tracebacks are in %s", which, folder / "jobs")
        return SweepError.exit_code
    return 0


def _interrupted(started: Started) -> None:
    """End the MLflow run of a sweep that was stopped."""
    from ntkrun import sweep
    from ntkrun.stages import parent

    sweep.finish(started.folder, "KILLED")
    parent.attempt(started.folder, started.uri)


def summary(result: dict[str, Any]) -> str:
    """Return the lines that end a run."""
    from ntkrun.store.runs import metric_of

    metric = metric_of(result) or ""
    lines = [("study", f"{result['method']} in {result['time/wall_s']:.0f} s")]
    if metric:
        lines = [("test " + metric, f"{result['test/' + metric]:.4f}")]
        lines.append(("time", f"{result['time/total_s']:.2f} s   featurize + solve + predict"))
    if f"exact/{metric}" in result:
        lines[0] = (lines[0][0], f"{lines[0][1]}   (exact kernel: {result['exact/' + metric]:.4f})")
    if "speedup" in result:
        from ntkrun.stages.baseline import human

        exact = human(result["exact/time_s"])
        lines.append(
            (
                "speed-up",
                f"{result['speedup']:.3g} x   over the exact kernel, {exact} {result['exact/time_kind']}",
            )
        )
    whose = "" if result.get("memory/peak_of") == "run" else ", of all that this process has done"
    lines.append(("memory", f"{result['memory/peak_rss_mb']:.0f} MiB   peak resident{whose}"))
    lines.append(("report", result["run_folder"]))
    return "\n" + "".join(f"{name:<14}{text}\n" for name, text in lines)


def published(result: dict[str, Any], output_dir: str, uri: str) -> str:
    """Return the lines that say where MLflow shows a run; none if it does not."""
    if not result.get("mlflow/run_id"):
        return ""
    lines = [("MLflow", f"run {result['mlflow/run_id']} in {redacted(uri)}")]
    if sqlite_file(uri) == Path(output_dir) / "mlflow.db":
        lines.append(("compare", f"ntkrun ui {output_dir}   (or: make ui)"))
    return "".join(f"{name:<14}{text}\n" for name, text in lines)


def start_logging() -> None:
    """Send the package's messages to stderr; a second call in one process may find another stderr."""
    logger = logging.getLogger("ntkrun")
    logger.setLevel(logging.DEBUG)
    logging.raiseExceptions = False  # a log file on a full disk must not end a run, nor fill the terminal
    logger.propagate = False
    for old in [h for h in logger.handlers if getattr(h, "ntkrun_terminal", False)]:
        logger.removeHandler(old)
    handler = logging.StreamHandler(sys.stderr)
    handler.ntkrun_terminal = True  # type: ignore[attr-defined]
    handler.setLevel(logging.INFO)
    handler.setFormatter(Formatter())
    logger.addHandler(handler)


def hydra_message(error: Exception) -> str:
    """Return the first telling line of a Hydra or OmegaConf error, with the nearest valid name."""
    import difflib
    import re
    import shlex

    if isinstance(error.__cause__, NtkrunError):
        return str(error.__cause__)
    text = " ".join(str(error).split())
    if several := re.search(r"Ambiguous value for argument '(.*?)'(?= 1\.|$)", text):
        key, _, value = several[1].partition("=")
        one = shlex.quote(f"{key}={quoted(value)}")
        return f"{several[1]} holds several values. Add -m for a sweep over them, or type {one} for one text."
    if unset := re.search(r"Missing mandatory value: .*full_key: (\S+)", text):
        return f"{unset[1]} has no value. Type {unset[1]}=VALUE."
    if type(error).__module__.startswith("yaml"):
        return f"a configuration file cannot be read: {text}"
    missing = re.search(r"Could not (?:find|load) '?([\w/]+)/([^' /]+)'?", text)
    if missing:
        group, name = missing.groups()
        names = sorted(
            getattr(error, "options", None) or (p.stem for p in (conf_dir() / group).glob("*.yaml"))
        )
        near = difflib.get_close_matches(name, names, 1)
        hint = f" Did you mean {group}={near[0]}?" if near else ""
        if plugin := PLUGINS.get(f"{group}={name}"):
            hint = f' Install its plugin first: pip install "{plugin}".'
        return f"{group} of ntkrun must be one of {', '.join(names)}. Got {name!r} instead.{hint}"
    key = re.search(r"(?:Could not override '([^']+)'|Key '([^']+)' is not in struct)", text)
    if key:
        name = key.group(1) or key.group(2)
        shown = "hydra" if name.startswith("hydra.") else "job"
        return f"{name!r} is not a key of the configuration. All keys: ntkrun --cfg {shown}."
    if "does not support sweep type" in text:
        return (
            "interval(...) of ntkrun must be beside an optimiser. Add hydra/sweeper=optuna, or list values."
        )
    return text[:400]
