"""ntkrun rerun: repeat a run from its record."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from typing import Any

from ntkrun.cli.commands import named, opened, usual
from ntkrun.errors import DataError, IntegrityError
from ntkrun.store.runs import Run, find, load

# keys that do not repeat: times, memory, paths
UNSTEADY: tuple[str, ...] = ("time/", "memory/", "machine/", "cache/", "exact/time", "exact/entries")
UNSTEADY += ("speedup", "mlflow/", "run_folder")

EXAMPLE = "ntkrun rerun 3f2a   # the same numbers, or which differ, and what has changed"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    where = f"a run folder, the end of its name in {usual()}, its MLflow id, or latest"
    parser.add_argument("run", help=where)
    parser.add_argument("--output-dir", help="output_dir of the new run; default: that of the old one")


def run(options: argparse.Namespace) -> int:
    """Repeat the run and print whether its numbers are the same; return 4 if they are not."""
    known = named(usual())
    short = (known / "runs").is_dir() and not os.path.lexists(options.run)
    old = find(known, options.run, scored=False) if short else load(opened(options.run))
    if not old.result:
        raise DataError(f"{old.folder} has not finished ({old.state}); there is nothing to compare with.")

    from ntkrun import machine, pipeline
    from ntkrun.config import build

    # the folder may have been moved: its place shows its output_dir
    home = options.output_dir or str(old.folder.parent.parent)
    machine.tune()
    command = shlex.join(["ntkrun", "rerun", str(old.folder)])
    new = pipeline.run(build({**old.config, "output_dir": home, "skip_finished": False}, command=command))
    changed = differences(old.result, new)
    lines = [f"\nrerun         of {old.folder}"]
    if new["data_sha256"] != old.result.get("data_sha256"):
        place = old.config["dataset"].get("path") or new["dataset"]
        lines.append(f"  the data have changed: {place} is not the file that the run read")
    if changed:
        lines += [f"  {key}: {a!r} then, {b!r} now" for key, a, b in changed]
        lines.append("other differences:")
        lines += [f"  {key}: {a} then, {b} now" for key, a, b in surroundings(old, machine.describe())] or [
            "  nothing"
        ]
    else:
        lines.append("  the same numbers")
    lines.append(f"report        {new['run_folder']}")
    sys.stdout.write("\n".join(lines) + "\n")
    return IntegrityError.exit_code if changed else 0


def differences(old: dict[str, Any], new: dict[str, Any]) -> list[tuple[str, Any, Any]]:
    """Return (key, then, now) of every number that should have repeated and did not."""
    keys = [k for k in old if not k.startswith(UNSTEADY)]
    return [(k, old[k], new.get(k)) for k in keys if new.get(k) != old[k]]


def surroundings(old: Run, now: dict[str, Any]) -> list[tuple[str, Any, Any]]:
    """Return (key, then, now) of every difference in machine and versions."""
    then = {k: v for k, v in old.environment.items() if k != "packages"} | old.environment.get("packages", {})
    today = {k: v for k, v in now.items() if k != "packages"} | now["packages"]
    return [(k, then.get(k), v) for k, v in today.items() if then.get(k) != v]
