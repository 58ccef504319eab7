"""ntkrun export: the model of a run in a folder of its own."""

from __future__ import annotations

import argparse
import shutil
import sys

from ntkrun import __version__
from ntkrun.cli.commands import add_run, named
from ntkrun.errors import ConfigError, DataError, must_be
from ntkrun.store.atomic import write_atomic
from ntkrun.store.runs import find

TEXT = """# Model of the run {name}

    from pathlib import Path
    from ntkrun.model import Model
    model = Model.load(Path("{folder}"))

`model.predict(x)` gives {output}. x is {inputs}; see `input_example.json`.
{sure}
The files are arrays and JSON; nothing in them is run. ntkrun {version} wrote them and has to be installed.
`mlflow models serve -m {folder} --env-manager local` serves the model.
"""

EXAMPLE = "ntkrun export 3f2a model   # the model of run 3f2a, in the new folder called model"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_run(parser)
    parser.add_argument("folder", help="folder to make")


def run(options: argparse.Namespace) -> int:
    """Copy the model, with a README of three lines of Python, and print them."""
    found = find(named(options.output_dir), options.run)
    target = named(options.folder)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ConfigError(must_be("folder", "export", "new or empty", str(target), "Name another one."))

    from ntkrun.model import Model

    model = Model.load(found.folder / "model")  # checks it
    try:
        shutil.copytree(found.folder / "model", target, dirs_exist_ok=True)
    except shutil.Error as error:
        raise DataError(f"{target} cannot be written: {error}.") from error
    columns = model.inputs.columns
    rows = " x ".join(map(str, model.inputs.shape))
    classes = model.class_names is not None
    text = TEXT.format(
        name=found.folder.name,
        folder=target,
        output="one label per row" if classes else "one number per row",
        inputs=f"a table with the columns {', '.join(columns)}" if columns else f"an array (n, {rows})",
        sure="`model.probabilities(x)` gives one number per class."
        if classes
        else "`model.intervals(x)` gives the lower and upper end of an interval per row.",
        version=__version__,
    )
    write_atomic(target / "README.md", text.encode())
    sys.stdout.write(text)
    return 0
