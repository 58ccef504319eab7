"""Start a run or a sweep through Hydra and report how it ended."""

from __future__ import annotations

import itertools
import logging
import os
import shlex
import sys
import warnings
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ntkrun.cli.help import conf_dir
from ntkrun.cli.words import prepared
from ntkrun.errors import NtkrunError, SweepError
from ntkrun.log import note_line, redacted
from ntkrun.progress import saying
from ntkrun.store.modes import umask
from ntkrun.store.paths import as_path, home

if TYPE_CHECKING:
    from ntkrun.config import RunConfig

log = logging.getLogger(__name__)
_starting = ExitStack()  # until the first job begins


def launch(words: list[str], single: Callable[[Any], None] | None = None) -> int:
    """Run one job or a sweep and return the exit code; raise the error of a single job.

    `single` is called with the composed configuration of a single job, in place of running it.
    """
    with _starting:
        _starting.enter_context(saying("start      loading libraries", always=False))
        return _launched(words, single)


def _launched(words: list[str], single: Callable[[Any], None] | None) -> int:
    from hydra import main

    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises errors, and we print them
    raised: list[Exception] = []

    @main(version_base="1.3", config_path=str(conf_dir()), config_name="config")
    def job(config: Any) -> float | None:
        _started()
        from hydra.core.hydra_config import HydraConfig
        from hydra.types import RunMode
        from omegaconf import OmegaConf

        hydra = HydraConfig.get()
        # undo hydra.job.chdir=true: all relative paths start here
        os.chdir(hydra.runtime.cwd)
        if hydra.mode == RunMode.MULTIRUN:
            from ntkrun.cli import sweep

            overrides: Any = OmegaConf.to_container(hydra.overrides.task)
            sweep.warn_of_two_levels(hydra, OmegaConf.select(config, "executor.name"))
            return sweep.job(lambda folder: _run(checked(config, folder)), hydra, overrides)
        try:
            (single or _single)(config)
        except Exception as error:
            log.debug("the run ended early", exc_info=True)
            raised.append(error)  # raised later: Hydra would add lines of its own
        return None

    words = prepared(words)
    # Hydra derives the folder of a sweep from these
    for name in ("NTKRUN_OUTPUT_DIR", "NTKRUN_DATA_DIR"):
        if name in os.environ:
            os.environ[name] = home(os.environ[name])
    for word, value in itertools.pairwise([*words, ""]):
        option, _, joined = word.partition("=")
        if option in ("--config-dir", "-cd"):
            from ntkrun.cli.yamlcheck import check_folder

            check_folder(as_path(joined or value))
    # loky replaces a worker that has grown too large between tasks; users need not act
    warnings.filterwarnings("ignore", message="A worker stopped while some jobs were given")
    mine, sys.argv = sys.argv, ["ntkrun", *words]  # Hydra reads sys.argv
    mask = umask()
    try:
        return _ended(job, raised)
    finally:
        sys.argv = mine
        os.umask(mask)


def _started() -> None:
    _starting.close()


def _ended(job: Callable[[], None], raised: list[Exception]) -> int:
    """Run Hydra, end the sweep if it started one, and return the exit code."""
    from ntkrun.cli.sweep import NotStarted, Start, end, interrupted

    error: Exception | None = None
    try:
        job()
    except NotStarted as stop:
        raise stop.__cause__ from None  # type: ignore[misc]
    except KeyboardInterrupt:
        if started := Start.take():
            interrupted(started)
        raise
    except Exception as stop:  # from Hydra, its sweeper or launcher: finished jobs still get a table
        log.debug("Hydra has raised", exc_info=True)
        error = stop
    if started := Start.take():
        return end(started, error and _told(error))
    if error or raised:
        raise error or raised[0]
    return 0


def _told(error: Exception) -> Exception:
    """Return the error that ended a sweep, as a SweepError unless we or Hydra raised it."""
    ours = isinstance(error, NtkrunError | OSError | MemoryError)
    if ours or type(error).__module__.split(".")[0] in ("hydra", "omegaconf"):
        return error
    told = SweepError(f"the sweep has ended early: {type(error).__name__}: {error}")
    told.__cause__ = error
    return told


def _single(config: Any) -> None:
    from ntkrun.cli.summary import compared, published, scored, summary

    def show(text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()
        note_line()

    built = checked(config)
    study = built.study is not None
    result = _run(
        built,
        lambda found: show(scored(found)),
        lambda found: show((summary if study else compared)(found)),
    )
    if result.get("skipped"):
        log.info("skipped    the same run has finished in %s", result["run_folder"])
        show(summary(result))
    show(published(result, str(built.output_dir), built.tracker.uri))


def _run(
    config: RunConfig,
    scored: Callable[[dict[str, Any]], None] | None = None,
    finished: Callable[[dict[str, Any]], None] | None = None,
) -> dict[str, Any]:
    with saying("start      loading libraries", always=False):
        from ntkrun import pipeline

    return pipeline.run(config, scored, finished)


def checked(config: Any, sweep: Path | None = None) -> RunConfig:
    """Return the checked objects of a composed configuration; ConfigError with every problem found."""
    from hydra.core.hydra_config import HydraConfig
    from omegaconf import OmegaConf

    record = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    assert isinstance(record, dict)

    with saying("start      loading libraries", always=False):
        from ntkrun import machine
        from ntkrun.config import build

        machine.tune()
        words = sys.argv[1:] if sweep is None else HydraConfig.get().overrides.task
        command = shlex.join(["ntkrun", *map(redacted, words)])
        return build({str(k): v for k, v in record.items()}, sweep, command)
