"""ntkrun ui: serve MLflow's pages about the runs in a folder."""

from __future__ import annotations

import argparse
import os
import sys

from ntkrun.cli.commands import add_folder, opened
from ntkrun.errors import DataError
from ntkrun.store.paths import sqlite_url

EXAMPLE = "ntkrun ui --port 5001"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_folder(parser, "output_dir of the runs")
    parser.add_argument("--port", type=int, default=int(os.environ.get("PORT", "5000")), help="default: 5000")


def run(options: argparse.Namespace) -> int:
    """Replace this process with the server, which listens on this machine only, until Ctrl-C."""
    database = opened(options.folder) / "mlflow.db"
    if not database.is_file():
        raise DataError(
            f"{database} is not there: no run of {options.folder} has been published. See ntkrun list."
        )
    from ntkrun.tracking.database import settle

    settle(database.parent)
    sys.stderr.write(f"MLflow starts; then open http://127.0.0.1:{options.port}. Ctrl-C ends it.\n")
    sys.stderr.flush()
    words = [
        "--host",
        "127.0.0.1",
        "--port",
        str(options.port),
        "--backend-store-uri",
        sqlite_url(database),
    ]
    os.execv(sys.executable, [sys.executable, "-m", "mlflow", "ui", *words])
