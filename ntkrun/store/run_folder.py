"""Write the folder of a run while it goes on: log, configuration, status."""

from __future__ import annotations

import contextlib
import logging
import logging.handlers
import secrets
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from ntkrun import machine
from ntkrun.errors import MachineError
from ntkrun.log import Formatter, redacted
from ntkrun.store.atomic import make_folder, write_json
from ntkrun.store.runs import whose

log = logging.getLogger(__name__)


class RunFolder:
    """Context of a run that keeps early log lines in memory until `open` makes the folder.

    Nothing is written before the data are checked. Leaving with an exception marks an open folder
    FAILED, or KILLED for Ctrl-C; a finished one stays FINISHED.

    Parameters
    ----------
    output_dir : Path
        The folder is made in <output_dir>/runs.
    sweep : Path or None
        Folder of the sweep that the run belongs to.
    command : str or None
        Command line that gives this run, for the record.
    """

    path: Path

    def __init__(self, output_dir: Path, sweep: Path | None = None, command: str | None = None):
        self.output_dir, self.sweep, self.command = output_dir, sweep, command
        self.started, self.opened, self.finished = time.time(), False, False
        self.key = secrets.token_hex(16)  # identifies the run to the tracker, also after its folder moves

    def __enter__(self) -> RunFolder:
        self._early = logging.handlers.MemoryHandler(10_000, flushLevel=logging.CRITICAL + 1)
        self._handlers: list[logging.Handler] = [self._early]
        logging.getLogger("ntkrun").addHandler(self._early)
        return self

    def open(self, name: str, record: dict[str, Any], features_key: str | None = None) -> Path:
        """Make and return <output_dir>/runs/<time>_<name>_<random>, with configuration and environment.

        `features_key` is the key of the features that the run is about to compute.
        """
        self._features_key = features_key
        stamp = time.strftime("%Y-%m-%d_%H-%M-%S")
        self.path = self.output_dir / "runs" / f"{stamp}_{name}_{secrets.token_hex(2)}"
        make_folder(self.path)
        file = logging.FileHandler(self.path / "run.log", encoding="utf-8", errors="backslashreplace")
        self.opened = True
        file.setFormatter(Formatter("%(asctime)s %(levelname)s %(message)s"))
        self._early.setTarget(file)
        self._early.flush()
        self._handlers.append(file)
        logging.getLogger("ntkrun").removeHandler(self._early)
        logging.getLogger("ntkrun").addHandler(file)
        self.write("config.json", record)
        self.write("environment.json", {"command": self.command, **machine.describe()})
        self._status("RUNNING")
        return self.path

    def write(self, name: str, document: Any) -> None:
        """Write a JSON document into the folder, atomically."""
        write_json(self.path / name, document)

    def finish(self, result: dict[str, Any]) -> None:
        """Write the result and mark the folder FINISHED."""
        self.write("result.json", result)
        self._status("FINISHED", finished=time.time())
        self.finished = True

    def _status(self, status: str, **more: Any) -> None:
        process: dict[str, Any] = {**whose(), "user": machine.user(), "key": self.key}
        if self._features_key:
            process["features_key"] = self._features_key
        sweep = self.sweep and str(self.sweep)
        self.write(
            "status.json", {"status": status, "started": self.started, "sweep": sweep, **process, **more}
        )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None and self.opened and not self.finished:
            log.debug("the run ended early", exc_info=(type(error), error, trace))
            error.add_note(f"run folder: {self.path}")
            try:
                status = "KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED"
                self._status(status, finished=time.time(), error=redacted(str(error)))
            except MachineError:  # the disk that ended the run may be full
                log.warning("the status of %s could not be written", self.path)
        for handler in self._handlers:
            logging.getLogger("ntkrun").removeHandler(handler)
            with contextlib.suppress(OSError):  # its last lines may not fit on a full disk
                handler.close()
