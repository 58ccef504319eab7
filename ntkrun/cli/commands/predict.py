"""ntkrun predict: labels or values of new rows from the model of a run."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ntkrun.cli.commands import add_run, named
from ntkrun.errors import DataError, must_be
from ntkrun.progress import progress
from ntkrun.store.paths import as_path
from ntkrun.store.runs import Run, find

if TYPE_CHECKING:
    from ntkrun.datasets.new import New
    from ntkrun.model import Model

ROWS = 1024  # per batch
ENDINGS = (".csv", ".parquet")
SHOWN = 20  # most classes of a confusion matrix on the terminal

EXAMPLE = "ntkrun predict latest new.csv   # labels, probabilities or intervals, in new-predictions.csv"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_run(parser)
    parser.add_argument(
        "data", help="table, .npz, .npy, .h5, svmlight text or folder of images; labels may be absent"
    )
    parser.add_argument("--output", help=".csv or .parquet to write; default: DATA-predictions.csv")


def run(options: argparse.Namespace) -> int:
    """Write the predictions, print where they are, and the scores if the data have labels."""
    data = as_path(options.data)
    output = as_path(options.output) if options.output else Path.cwd() / f"{data.stem}-predictions.csv"
    if output.suffix not in ENDINGS:
        raise DataError(must_be("output", "predict", "a .csv or .parquet file", str(output)))
    found = find(named(options.output_dir), options.run)

    from ntkrun import machine
    from ntkrun.model import Model

    machine.tune()
    model = Model.load(found.folder / "model")
    new = _source(found).new(data, model.inputs)
    values = _values(model, new.x)
    table = _table(model, new, values)
    _write(table, output)
    sys.stdout.write(f"model       {found.folder.name}: {model}\n")
    sys.stdout.write(f"predicted   {len(table)} rows\noutput      {output}\n")
    if new.y is not None:
        sys.stdout.write(_scored(model, new.y, values))
    return 0


def _source(found: Run) -> Any:
    """Return the data set of a run."""
    from ntkrun.datasets import DATASETS

    config = {k: v for k, v in found.config["dataset"].items() if k != "name"}
    return DATASETS.get(str(found.config["dataset"]["name"]))(**config)


def _values(model: Model, x: Any) -> np.ndarray:
    """Return the numbers behind the predictions, (n, k), batch by batch."""
    parts = []
    cut = x.iloc if hasattr(x, "iloc") else x
    with progress("predict", x.shape[0], "rows") as done:
        for start in range(0, x.shape[0], ROWS):
            parts.append(model.values(cut[start : start + ROWS]))
            done(len(parts[-1]))
    return np.concatenate(parts) if parts else model.values(x)


def _table(model: Model, new: New, values: np.ndarray) -> Any:
    """Return one row per input: its name or number, its prediction, and how sure that is."""
    import pandas as pd
    import torch

    key = "row" if new.names is None else "file"
    columns: dict[str, Any] = {key: range(1, len(values) + 1) if new.names is None else new.names}
    targets = model.inputs.targets or []
    several = model.class_names is None and values.shape[1] > 1
    ends = [f"_{name}" for name in targets] if several else [""]
    shown = model.named(values).reshape(len(values), -1)
    columns |= {f"prediction{end}": column for end, column in zip(ends, shown.T, strict=True)}
    if sure := model.confidence:
        known = torch.from_numpy(values)
        if model.class_names is None:
            share = f"{100 * sure.level:g}"
            for end, interval in zip(ends, sure.intervals(known).transpose(0, 1).numpy(), strict=True):
                columns |= {f"low_{share}{end}": interval[:, 0], f"high_{share}{end}": interval[:, 1]}
        else:
            shares = sure.probabilities(known).numpy()
            columns |= {f"probability_{name}": shares[:, i] for i, name in enumerate(model.class_names)}
    return pd.DataFrame(columns)


def _write(table: Any, output: Path) -> None:
    import io

    from ntkrun.store.atomic import write_atomic

    buffer = io.BytesIO()
    if output.suffix == ".csv":
        table.to_csv(buffer, index=False)
    else:
        table.to_parquet(buffer, index=False)
    write_atomic(output, buffer.getvalue())


def _scored(model: Model, y: np.ndarray, values: np.ndarray) -> str:
    """Return the scores of predictions with known labels, and which classes were taken for which."""
    import pandas as pd
    import torch

    from ntkrun.maths import metrics

    names = model.class_names
    if names is None:
        metric, value = metrics.score(torch.from_numpy(values), torch.tensor(y), None)
        return f"{metric:<12}{value:.4f}   of these rows\n"
    try:
        truth = model.codes(y)
    except DataError as error:  # folders that are no classes, say
        return f"scores      none: {error}\n"
    metric, value = metrics.score(torch.from_numpy(values), torch.from_numpy(truth), len(names))
    out = f"{metric:<12}{value:.4f}   of these rows\n"
    if len(names) <= SHOWN:
        words = np.array(names)
        pairs = (pd.Categorical(words[codes], names) for codes in (truth, values.argmax(1)))
        counted = pd.crosstab(*pairs, rownames=["true"], colnames=["predicted"], dropna=False)
        out += f"{counted}\n"
    return out
