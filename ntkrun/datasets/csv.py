"""Data set from a table in a .csv, .csv.gz or .zip file."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ntkrun import checks
from ntkrun.datasets.arrays import classes_of, renumbering
from ntkrun.datasets.base import DataSource
from ntkrun.datasets.inputs import few
from ntkrun.datasets.split import Split, make_split
from ntkrun.datasets.table import read
from ntkrun.errors import DataError, must_be
from ntkrun.store.paths import as_path


@dataclass(frozen=True, kw_only=True)
class Csv(DataSource):
    """Table of numbers: one column is the target, the others are inputs.

    The rows are permuted, and a share or one of several folds becomes the test part.

    Parameters
    ----------
    path : str or None
        Path of the table; None takes `file` in data_dir.
    target : str or None
        Name of the target column; None takes the last. Without a header columns are called "0", "1", ...
    task : {"regression", "classification"}
        Classification needs integer labels 0..k-1.
    test_fraction : float
        Share of the rows in the test part; ignored if `fold` is set.
    folds : int
        Number of folds for cross-validation.
    fold : int or None
        Fold, from 0, that is the test part.
    header : bool or None
        Whether the first line names the columns; None assumes so and refuses a line of numbers only.
    file : str or None
        File name inside data_dir.
    source : str or None
        Address of the file, shown if it is missing.
    """

    name = "csv"

    path: str | None = None
    target: str | None = None
    task: str = "regression"
    test_fraction: float = 0.2
    folds: int = 4
    fold: int | None = None
    header: bool | None = None
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
        if self.header is not None:
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
        columns, values = read(path, self.header)
        target = columns[-1] if self.target is None else str(self.target)
        if target not in columns or len(columns) < 2:
            constraint = f"one of at least two columns: {few(columns)}"
            raise DataError(must_be("target", "Csv", constraint, target))
        at = columns.index(target)
        x, y = np.delete(values, at, 1), values[:, at]
        classes = None
        if self.task == "classification":
            fractions = not np.array_equal(y, np.round(y))
            if fractions or y.min() < 0:
                got = f"{'fractions' if fractions else f'{y.min():g}'} in column {target}"
                remedy = "dataset.task=regression fits numbers." if fractions else renumbering(y)
                raise DataError(must_be("target", "Csv", "labels 0..k-1 for classification", got, remedy))
            classes = classes_of(y, "target", "Csv")
        # not the permutation that make_split applies to train
        order = np.random.default_rng(self.split_seed + 1).permutation(len(y))
        start, stop = round((1 - self.test_fraction) * len(y)), len(y)
        if self.fold is not None:
            start, stop = (k * len(y) // self.folds for k in (self.fold, self.fold + 1))
        test, train = order[start:stop], np.delete(order, slice(start, stop))
        name = path.name
        for suffix in (".gz", ".zip", ".csv", ".txt"):
            name = name.removesuffix(suffix)
        names = [c for c in columns if c != target] if self.header is not False else None
        parts = (x[train], y[train]), (x[test], y[test])
        return make_split(name, *parts, classes=classes, columns=names, **self.subset())
