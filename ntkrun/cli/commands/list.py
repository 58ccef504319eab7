"""ntkrun list: list the runs in a folder."""

from __future__ import annotations

import argparse
import sys
import time

from ntkrun.cli.commands import add_folder, opened
from ntkrun.errors import DataError
from ntkrun.progress import ratio
from ntkrun.store.runs import Run, scan, when


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_folder(parser, "output_dir of the runs")
    parser.add_argument("--failed", action="store_true", help="only runs that did not finish")


def run(options: argparse.Namespace) -> int:
    """Print one line per run."""
    root = opened(options.folder)
    runs = list(scan(root))
    if not runs:
        raise DataError(f"{root / 'runs'} holds no run. Start one with ntkrun, or name its folder.")
    if options.failed:
        runs = [r for r in runs if r.state != "FINISHED"]
    lines = [f"{'started':<17}{'state':<10}{'score':<17}{'time':>9}{'speed-up':>10}  run folder"]
    lines += [line(r) for r in runs]
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


def line(run: Run) -> str:
    """Return the line of a run."""
    started = time.strftime("%Y-%m-%d %H:%M", time.localtime(when(run.status, "started")))
    score = f"{run.metric} {run.result[f'test/{run.metric}']:.4f}" if run.metric else "-"
    seconds = run.result.get("time/total_s", run.result.get("time/wall_s"))
    took = "-" if seconds is None else f"{seconds:.1f} s"
    speed = ratio(run.result["speedup"]) if "speedup" in run.result else "-"
    return f"{started:<17}{run.state:<10}{score:<17}{took:>9}{speed:>10}  {run.folder.name}"
