"""ntkrun sync: publish runs that their MLflow store lacks."""

from __future__ import annotations

import argparse
import logging
import shutil
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from ntkrun.cli.commands import add_place, located, unreadable
from ntkrun.errors import DataError, IntegrityError, MachineError
from ntkrun.log import redacted
from ntkrun.store import sweep_folder
from ntkrun.store.atomic import write_json
from ntkrun.store.runs import Run, died, read_json, scan
from ntkrun.tracking import database, parent, publish
from ntkrun.tracking.causes import Unpublished
from ntkrun.tracking.database import Cause
from ntkrun.tracking.tracker import Tracker, relocated

log = logging.getLogger(__name__)

EXAMPLE = "ntkrun sync --uri http://HOST:5000   # to another MLflow store"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_place(parser, "output_dir of the runs")
    parser.add_argument("--uri", help="MLflow store; default: that of each run")
    parser.add_argument("--experiment", help="tracking.experiment; default: that of each run")


def run(options: argparse.Namespace) -> int:
    """Publish every finished run that has no MLflow run, and end the MLflow runs of ended sweeps.

    Continue after a failure; print one line per cause at the end, and return the exit code of the first.
    """
    root, only = located(options.folder)
    if only and not only.result:
        raise DataError(f"{only.folder} has not finished ({only.state}); there is nothing to publish.")
    if not (root / "runs").is_dir():
        sys.stdout.write(f"{root} holds no run: there is nothing to publish\n")
        return 0
    database.settle(root)
    failed: Counter[Cause] = Counter()

    def tried(work: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return work(*arguments)
        except Unpublished as error:
            log.debug("tracking failed", exc_info=True)
            failed[error.cause] += 1
            return None

    among = [only] if only else scan(root)
    done, todo = 0, [r for r in among if r.result and not r.result.get("mlflow/run_id")]
    for one in todo:
        tracker = _tracker(one, root, options)
        if run_id := tried(publish.publish, one.folder, tracker):
            done += 1
            write_json(one.folder / "result.json", {**one.result, "mlflow/run_id": run_id})
            sys.stdout.write(f"published {one.folder.name} as {run_id} in {redacted(tracker.uri)}\n")
    for path in [] if only else sorted((root / "sweeps").glob("*/sweep.json")):
        if tried(_end, path.parent, root, options.uri):
            sys.stdout.write(f"ended {path.parent.name}: its process is gone\n")
    _restore(root)
    if failed:
        lines = [
            cause.error(f"; {done} of {len(todo)} runs are published") for cause, _ in failed.most_common()
        ]
        for error in lines[1:]:
            log.error("%s", error)
        raise lines[0]
    hidden = len(unreadable(root))
    but = f", except {hidden} folders that cannot be read" if hidden else ""
    every = f"{only.folder.name}" if only else f"every finished run in {root}"
    sys.stdout.write(f"{len(todo)} runs published; {every} is in its MLflow store{but}\n")
    return MachineError.exit_code if hidden else 0


def _tracker(run: Run, root: Path, options: argparse.Namespace) -> Tracker:
    section = run.config.get("tracking") or {}
    before = Path(run.result.get("run_folder", run.folder)).parent.parent
    uri = relocated(section.get("uri"), before, root)
    tracker = Tracker.of({"tracking": {**section, "uri": uri}}, root)
    if options.uri:
        tracker = replace(tracker, uri=options.uri)
    return replace(tracker, experiment=options.experiment) if options.experiment else tracker


def _end(folder: Path, root: Path, uri: str | None) -> bool:
    """End the MLflow run of an ended sweep; return whether its process had died."""
    record = read_json(folder / "sweep.json")
    gone = died(record)
    if gone:
        sweep_folder.finish(folder, "KILLED")
    if gone or record.get("status") in ("FINISHED", "KILLED"):
        parent.close_run(folder, root, uri)
    return gone


def _restore(root: Path) -> None:
    """Copy run folders to where this folder's database expects missing artifacts."""
    try:
        for one in database.lost(root):
            if one.place.is_relative_to(root) and one.folder.is_relative_to(root) and one.folder.is_dir():
                shutil.copytree(one.folder, one.place)
                sys.stdout.write(f"copied {one.folder.name} to {one.place}\n")
    except IntegrityError as error:  # already reported by the step that wrote there
        log.debug("%s", error)
    except OSError as error:
        raise MachineError(f"{error.filename} cannot be written: {error.strerror}. Free space.") from error
