"""Commands for finished runs, `ntkrun COMMAND`: one file per command, imported when called."""

from __future__ import annotations

import argparse
import logging
import os
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from ntkrun.errors import ConfigError, DataError, MachineError, must_be
from ntkrun.progress import saying
from ntkrun.store.modes import like
from ntkrun.store.paths import as_path
from ntkrun.store.runs import Run, find, load

log = logging.getLogger(__name__)

COMMANDS = {
    "plan": (
        "ntkrun.cli.commands.plan",
        "say what a run would do: shapes, memory, disk, time, what is there",
    ),
    "list": ("ntkrun.cli.commands.list", "list the runs in a folder with scores and states"),
    "predict": ("ntkrun.cli.commands.predict", "predict new rows with the model of a run"),
    "export": ("ntkrun.cli.commands.export", "copy the model of a run, with the lines that load it"),
    "report": ("ntkrun.cli.commands.report", "write one self-contained report.html about many runs"),
    "compare": ("ntkrun.cli.commands.compare", "compare two runs on the same test rows"),
    "rerun": ("ntkrun.cli.commands.rerun", "repeat a run from its record and compare the numbers"),
    "sync": ("ntkrun.cli.commands.sync", "publish runs that could not reach their MLflow store"),
    "verify": ("ntkrun.cli.commands.verify", "check every shard and run folder against its record"),
    "clean": ("ntkrun.cli.commands.clean", "show what a folder holds, and remove features that no run needs"),
    "doctor": ("ntkrun.cli.commands.doctor", "check this machine: threads, memory, versions, folders"),
    "ui": ("ntkrun.cli.commands.ui", "serve the MLflow pages, on this machine only"),
    "help": ("ntkrun.cli.commands.help", "explain a method, a data set, a solver, an executor or a key"),
}


def command(name: str) -> Callable[[list[str]], int]:
    """Return the function that runs a command with the words after it and returns the exit code."""
    module, about = COMMANDS[name]

    def work(words: list[str]) -> int:
        code = import_module(module)
        parser = argparse.ArgumentParser(f"ntkrun {name}", description=about[0].upper() + about[1:] + ".")
        code.arguments(parser)
        if not parser.epilog:
            parser.formatter_class = argparse.RawDescriptionHelpFormatter
            parser.epilog = f"example:\n  {code.EXAMPLE}"
        options = parser.parse_intermixed_args(words)
        # a group that shares the folder also shares new files in it
        group = like(Path(getattr(options, "folder", os.curdir)).absolute())
        with group, saying(f"{name:<11}loading and reading", always=False):
            return code.run(options)

    return work


def usual() -> str:
    """Return the output folder that a command takes if none is named."""
    return os.environ.get("NTKRUN_OUTPUT_DIR", "outputs")


def add_folder(parser: argparse.ArgumentParser, what: str) -> None:
    """Add the argument for the folder."""
    parser.add_argument("folder", nargs="?", default=usual(), help=f"{what}; default: {usual()}")


def add_run(parser: argparse.ArgumentParser, *names: str) -> None:
    """Add the arguments that name one run, or one run each, and the folder of the runs."""
    for name in names or ("run",):
        parser.add_argument(name, help="a run folder, the end of its name, its MLflow id, or latest")
    parser.add_argument("--output-dir", default=usual(), help=f"folder of the runs; default: {usual()}")


def add_place(parser: argparse.ArgumentParser, what: str) -> None:
    """Add the argument for the folder, or for one run in it; see `located`."""
    add_folder(parser, f"{what}; or one run: the end of its name in {usual()}, or latest")


# folders of an output_dir that commands read
PARTS = ("runs", "features", "sweeps")
SEE = "Check its owner and permissions."


def opened(words: str) -> Path:
    """Return the absolute folder that a command works on; warn about unreadable folders inside it.

    Raises ConfigError for an empty name, DataError if the folder is missing, MachineError if it, one of its
    parts (runs, features, sweeps) or every one of its runs cannot be read.
    """
    root = named(words)
    for folder in (root, *(root / part for part in PARTS)):
        try:
            enter(folder)
        except OSError as error:
            if not isinstance(error, FileNotFoundError) or (folder.is_symlink() and folder != root):
                raise MachineError(f"{folder} cannot be read: {error.strerror}. {SEE}") from error
            if folder == root:
                remedy = "Name another folder after the command; a run makes one: ntkrun output_dir=FOLDER."
                raise DataError(f"{root} is not there. {remedy}") from error
    hidden = unreadable(root)
    if hidden and all(path in hidden or path.is_file() for path in (root / "runs").glob("*")):
        raise MachineError(next(iter(hidden.values())))
    for sentence in hidden.values():
        log.warning("%s", sentence)
    return root


def located(words: str) -> tuple[Path, Run | None]:
    """Return the folder that a command works on, and the run if the words name one.

    A run is named as in `runs.find`, in the usual output folder. The name of a sweep there is its folder.
    """
    root, known = named(words), named(usual())
    if not os.path.lexists(root) and (known / "runs").is_dir():
        if (sweep := known / "sweeps" / words).is_dir():
            return sweep, None
        if words == "latest" or any(path.name.endswith(words) for path in (known / "runs").iterdir()):
            return known, find(known, words, scored=False)
    folder = opened(words)
    if (folder / "config.json").is_file():
        return folder.parent.parent, load(folder)
    return folder, None


def named(words: str) -> Path:
    """Return the named folder as an absolute path; ConfigError for an empty name."""
    if not words:
        raise ConfigError(
            must_be("folder", "ntkrun", "the name of a folder", words, "Leave it out, or name one.")
        )
    return as_path(words)


def enter(folder: Path) -> list[str]:
    """Return the names in a folder; OSError if it cannot be listed or entered."""
    names = sorted(os.listdir(folder))
    os.stat(os.path.join(folder, "."))
    return names


def unreadable(root: Path) -> dict[Path, str]:
    """Return the unreadable folders inside runs, features and sweeps, with a sentence for each."""
    out = {}
    for part in (root / name for name in PARTS):
        for path in [part / name for name in enter(part)] if part.is_dir() else []:
            try:
                if not path.is_file():
                    enter(path)
            except OSError as error:
                out[path] = f"{path} cannot be read: {error.strerror}. {SEE}"
    return out
