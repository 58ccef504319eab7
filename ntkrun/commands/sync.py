"""ntkrun sync: publish what could not be published."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace

from ntkrun.commands import add_folder, opened, unreadable
from ntkrun.errors import MachineError, NetworkError
from ntkrun.redact import redacted
from ntkrun.stages import track
from ntkrun.store.atomic import write_json
from ntkrun.store.runs import read_json, scan


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_folder(parser, "output_dir of the runs")
    parser.add_argument("--uri", help="MLflow store; default: the one that each run names")


def run(options: argparse.Namespace) -> int:
    """Publish every finished run that has no MLflow run; exit code 6 where the store cannot be reached."""
    root = opened(options.folder)
    if not (root / "runs").is_dir():
        sys.stdout.write(f"{root} holds no run: there is nothing to publish\n")
        return 0
    todo = [r for r in scan(root) if r.result and not r.result.get("mlflow/run_id")]
    for done, one in enumerate(todo):
        tracker = track.Tracker.of(one.config, root)
        if options.uri:
            tracker = replace(tracker, uri=options.uri)
        run_id = track.publish(one.folder, tracker)
        if run_id is None:
            store, left = redacted(tracker.uri), f"{done} of {len(todo)} runs are published"
            raise NetworkError(f"{store} cannot be reached; {left}. Try again later.")
        write_json(one.folder / "result.json", {**one.result, "mlflow/run_id": run_id})
        sys.stdout.write(f"published {one.folder.name} as {run_id} in {redacted(tracker.uri)}\n")
    records = sorted((root / "sweeps").glob("*/sweep.json"))
    ended = [p.parent for p in records if read_json(p).get("status") == "FINISHED"]
    if not all(list(map(track.close_sweep, ended))):
        raise NetworkError("the store of a sweep cannot be reached. Try again later.")
    hidden = len(unreadable(root))
    but = f", but for {hidden} folders that cannot be read" if hidden else ""
    sys.stdout.write(
        f"{len(todo)} runs published; every finished run in {root} is in its MLflow store{but}\n"
    )
    return MachineError.exit_code if hidden else 0
