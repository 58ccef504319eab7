"""A table in a .csv, .csv.gz or .zip file: the user's own, or a public regression set."""

from __future__ import annotations

import gzip
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from ntkrun import checks
from ntkrun.datasets.base import DataSource
from ntkrun.datasets.split import Split, classes_of, make_split
from ntkrun.errors import DataError, must_be
from ntkrun.paths import as_path

# what pandas and a rotten .gz or .zip raise
DAMAGED = (ValueError, OSError, EOFError, LookupError, RuntimeError, zlib.error, zipfile.BadZipFile)
WIDEST = 100_000  # columns; pandas takes minutes over a million


@dataclass(frozen=True, kw_only=True)
class Csv(DataSource):
    """Numbers, mostly with a header line; one column is the target, the others are inputs.

    The rows are permuted, and a share or one of several folds is set aside as the test part.

    Parameters
    ----------
    path : str
        A file name; `file` of it is looked for in data_dir where path is not set.
    target : str or None
        Name of the target column; None takes the last. Without a header columns are called "0", "1", ...
    task : {"regression", "classification"}
        Classification wants integer labels 0..k-1.
    test_fraction : float
        Share of the rows that are the test part; not looked at where `fold` is set.
    folds : int
    fold : int or None
        The test part is fold number `fold` of `folds`, for cross-validation.
    header : bool
        Whether the first line names the columns.
    file : str or None
        File name inside data_dir.
    source : str or None
        Where to get the file, for the message that it is not there.
    """

    path: str | None = None
    target: str | None = None
    task: str = "regression"
    test_fraction: float = 0.2
    folds: int = 4
    fold: int | None = None
    header: bool = True
    file: str | None = None
    source: str | None = None

    def problems(self) -> list[str]:
        """Return one sentence for every wrong parameter."""
        out = super().problems()
        out += checks.choice("Csv", "task", self.task, ("regression", "classification"))
        out += checks.real("Csv", "test_fraction", self.test_fraction, 0, 0.9)
        out += checks.integer("Csv", "folds", self.folds, 2, 1000)
        if self.fold is not None and not out:
            out += checks.integer("Csv", "fold", self.fold, 0, self.folds - 1)
        out += checks.boolean("Csv", "header", self.header)
        if not self.path and not self.file:
            out.append(
                must_be("path", "Csv", "a .csv, .csv.gz or .zip file", self.path, "Set dataset.path=FILE.")
            )
        return out

    def load(self) -> Split:
        """Return the split; DataError for a file that is not a table of finite numbers."""
        path = as_path(self.path) if self.path else self.cache() / str(self.file)
        if not path.is_file():
            get = f"Get it from {self.source} and set" if self.source else "Set"
            remedy = f"{get} dataset.path=FILE."
            raise DataError(must_be("path", "Csv", "an existing file", str(path), remedy))
        columns, values = _read(path, self.header)
        target = columns[-1] if self.target is None else str(self.target)
        if target not in columns or len(columns) < 2:
            raise DataError(
                must_be("target", "Csv", "a column besides others: " + ", ".join(columns), target)
            )
        at = columns.index(target)
        x, y = np.delete(values, at, 1), values[:, at]
        classes = None
        if self.task == "classification":
            if not np.array_equal(y, np.round(y)) or y.min() < 0:
                raise DataError(must_be("target", "Csv", "labels 0..k-1 for classification", target))
            classes = classes_of(y, "target", "Csv")
            y = y.astype(np.int64)
        # the permutation that sets the test part aside is another than the one inside train
        order = np.random.default_rng(self.split_seed + 1).permutation(len(y))
        start, stop = round((1 - self.test_fraction) * len(y)), len(y)
        if self.fold is not None:
            start, stop = (k * len(y) // self.folds for k in (self.fold, self.fold + 1))
        test, train = order[start:stop], np.delete(order, slice(start, stop))
        name = path.name
        for suffix in (".gz", ".zip", ".csv", ".txt"):
            name = name.removesuffix(suffix)
        return make_split(name, (x[train], y[train]), (x[test], y[test]), classes=classes, **self.subset())


def _opened(path: Path) -> IO[bytes]:
    """Return the table's bytes as a file."""
    if path.suffix == ".zip":
        archive = zipfile.ZipFile(path)
        return archive.open(archive.infolist()[0])
    return gzip.open(path) if path.suffix == ".gz" else path.open("rb")  # type: ignore[return-value]


def _read(path: Path, header: bool) -> tuple[list[str], np.ndarray]:
    """Return column names and the numbers (rows, columns), float64."""
    import pandas as pd

    try:
        with _opened(path) as file:
            width = file.readline(1 << 22).count(b",") + 1
        if width > WIDEST:
            raise ValueError(f"its first line has {width:,} columns, more than {WIDEST:,}")
        table = pd.read_csv(path, header=0 if header else None)
        values = table.to_numpy(dtype=np.float64)
    # what a damaged .gz or .zip raises, and pandas
    except (
        ValueError,
        OSError,
        EOFError,
        LookupError,
        RuntimeError,
        zlib.error,
        zipfile.BadZipFile,
    ) as error:
        raise DataError(
            f"{path} is not a table of numbers with a header: {str(error).splitlines()[0]}"
        ) from error
    if not np.isfinite(values).all():
        row, column = np.argwhere(~np.isfinite(values))[0]
        raise DataError(f"{path}: row {row + 1}, column {table.columns[column]} is not a finite number.")
    return [str(c) for c in table.columns], values
