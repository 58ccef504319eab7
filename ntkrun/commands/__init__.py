"""What `ntkrun COMMAND` does with runs that are there already; a file each, imported only when called."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from ntkrun.store.modes import like

COMMANDS = {
    "list": ("ntkrun.commands.list", "the runs in a folder, with scores and states"),
    "report": ("ntkrun.commands.report", "one self-contained report.html of many runs"),
    "rerun": ("ntkrun.commands.rerun", "a run again from its record, compared with it"),
    "sync": ("ntkrun.commands.sync", "publish runs that could not reach their MLflow store"),
    "verify": ("ntkrun.commands.verify", "check every shard and run folder against its record"),
    "doctor": ("ntkrun.commands.doctor", "this machine: threads, memory, versions, folders"),
    "ui": ("ntkrun.commands.ui", "the MLflow pages, on this machine only"),
}


def command(name: str) -> Callable[[list[str]], int]:
    """Return a function from the words behind a command to its exit code."""
    module, about = COMMANDS[name]

    def work(words: list[str]) -> int:
        code = import_module(module)
        parser = argparse.ArgumentParser(f"ntkrun {name}", description=about[0].upper() + about[1:] + ".")
        code.arguments(parser)
        options = parser.parse_args(words)
        # a group that shares a folder shares what a command makes there
        with like(Path(getattr(options, "folder", os.curdir)).absolute()):
            return code.run(options)

    return work


def add_folder(parser: argparse.ArgumentParser, what: str) -> None:
    """Add the folder that most commands work on."""
    default = os.environ.get("NTKRUN_OUTPUT_DIR", "outputs")
    parser.add_argument("folder", nargs="?", default=default, help=f"{what}; default: {default}")
