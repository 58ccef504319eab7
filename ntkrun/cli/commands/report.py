"""ntkrun report: write one page about many runs."""

from __future__ import annotations

import argparse
import sys

from ntkrun.cli.commands import add_place, located
from ntkrun.store.paths import as_path

EXAMPLE = "ntkrun report   # outputs/report.html, about all runs"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_place(parser, "an output_dir, a sweep's folder or a run folder")
    parser.add_argument("--experiment", help="only runs with this tracking.experiment")
    parser.add_argument("--out", help="file to write; default: report.html in the folder")


def run(options: argparse.Namespace) -> int:
    """Write the page and print its path."""
    from ntkrun.report import page
    from ntkrun.report.collect import runs_of

    folder, one = located(options.folder)
    folder = one.folder if one else folder
    runs = runs_of(folder, options.experiment)
    path = as_path(options.out) if options.out else folder / "report.html"
    page.write(runs, options.experiment or f"ntkrun: {folder.name}", path)
    count = sum(bool(r.metric) for r in runs)
    sys.stdout.write(f"{count} run{'s' * (count != 1)} in {path}\n")
    return 0
