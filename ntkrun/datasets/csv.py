"""Data set from a table in a file."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ntkrun import checks
from ntkrun.datasets.base import DataSource
from ntkrun.datasets.inputs import Inputs
from ntkrun.datasets.new import New
from ntkrun.datasets.rows import subset
from ntkrun.datasets.split import Split, make_split
from ntkrun.datasets.table import large, target
from ntkrun.datasets.table.columns import known, numbers_of
from ntkrun.datasets.table.prepare import Prepare
from ntkrun.datasets.table.read import Form, Table, read
from ntkrun.errors import DataError, few, must_be
from ntkrun.store.paths import as_path

log = logging.getLogger(__name__)

SUFFIXES = (".gz", ".bz2", ".xz", ".zip", ".csv", ".tsv", ".txt", ".dat", ".data", ".arff", ".parquet")


@dataclass(frozen=True, kw_only=True)
class Csv(DataSource):
    """Table: one column is the target, the others are inputs.

    CSV and its relatives, plain or in gzip, bzip2, xz or zip; Parquet; ARFF; KEEL. Numbers stay as they are.
    Words become a column per level, dates days since 1970; missing numbers become the median and are marked
    in one more column. Medians and levels are those of training rows. The rows are permuted, and a share or
    one of several folds becomes the test part, unless `test_path` names one.

    Parameters
    ----------
    path : str or None
        Path of the table; None takes `file` in data_dir.
    test_path : str or None
        Path of a table of test rows, with the same columns.
    target : str, list of str or None
        Name of the target column, or its number from 0, or from -1 at the end; several for a regression of
        several targets. None takes the last, or the one that the file declares. Without a header columns
        are called "0", "1", ...
    task : {"auto", "regression", "classification"}
        "auto" takes words and at most 20 whole numbers for labels.
    drop, categorical : list of str or None
        Columns to leave out, "" for one without a name, and columns of numbers that are categories.
    test_fraction : float
        Share of the rows in the test part; ignored if `fold` or `test_path` is set.
    folds : int
        Number of folds for cross-validation.
    fold : int or None
        Fold, from 0, that is the test part.
    header : bool or None
        Whether the first line names the columns; None guesses, and refuses a line of numbers only unless the
        file is called .dat or .data.
    separator, decimal, encoding : str or None
        None guesses from the first lines.
    missing_values : list of str or None
        Words for a missing value, beside those that pandas knows and "?".
    file : str or None
        File name inside data_dir.
    source : str or None
        Address of the file, shown if it is missing.
    """

    name = "csv"
    holds = "rows"

    path: str | None = None
    test_path: str | None = None
    target: str | list[str] | None = None
    task: str = "auto"
    drop: list[str] | None = None
    categorical: list[str] | None = None
    test_fraction: float = 0.2
    folds: int = 4
    fold: int | None = None
    header: bool | None = None
    separator: str | None = None
    decimal: str | None = None
    encoding: str | None = None
    missing_values: list[str] | None = None
    file: str | None = None
    source: str | None = None

    def problems(self) -> list[str]:
        """Return one sentence for every wrong parameter."""
        out = super().problems()
        out += checks.choice("Csv", "task", self.task, target.TASKS)
        out += checks.real("Csv", "test_fraction", self.test_fraction, 0, 0.9)
        out += checks.integer("Csv", "folds", self.folds, 2, 1000)
        if self.fold is not None and not out:
            out += checks.integer("Csv", "fold", self.fold, 0, self.folds - 1)
        if self.header is not None:
            out += checks.boolean("Csv", "header", self.header)
        for key in ("separator", "decimal"):
            value = getattr(self, key)
            if value is not None and (not isinstance(value, str) or len(value) != 1):
                out.append(must_be(key, "Csv", "one character", value))
        if self.encoding is not None and not _codec(self.encoding):
            out.append(must_be("encoding", "Csv", "a codec of Python, such as cp1252", self.encoding))
        if not self.path and not self.file:
            out.append(must_be("path", "Csv", "the file of a table", self.path, "Set dataset.path=FILE."))
        return out

    @property
    def form(self) -> Form:
        """Return how the table is written, as far as the keys say."""
        form = self.header, self.separator, self.decimal, self.encoding, self.missing_values
        return Form(*form, unnamed="" in (self.drop or []))

    def load(self) -> Split:
        """Return the split; DataError for a file that is not a table, or has no such target."""
        path = self._found(self.path, self.file)
        if not self.test_path and not self.categorical:
            found = large.read(path, self.form, self.target, self.drop or [], self.cache() / "converted")
            if found is not None:
                return self._sliced(path, found)
        table = read(path, self.form)
        targets = target.names(list(table.frame.columns), self.target, table.target)
        frame = self._kept(table, targets, path.name)
        test = None
        if self.test_path:
            other = self._found(self.test_path, None)
            test = self._kept(read(other, self.form), targets, other.name)
            known(test, list(frame.columns), "test_path", "Csv")
            test = test[list(frame.columns)]
        columns = [name for name in frame.columns if name not in targets]
        ys = [target.values(part, targets) for part in (frame, test) if part is not None]
        classes, labels, ys = target.classed(targets, ys, self.task)
        prepare = Prepare.of(frame[columns], [*table.categorical, *(self.categorical or [])])
        x, y = frame[columns], ys[0]
        if test is None:
            train, held = self._parts(len(y))
            parts = (x.iloc[train], y[train]), (x.iloc[held], y[held])
        else:
            parts = (x, y), (test[columns], ys[1])
        names = columns if table.named else None
        return make_split(
            _plain(path),
            *parts,
            classes=classes,
            labels=labels,
            columns=names,
            table=prepare,
            targets=targets,
            **self.subset(),
        )

    def _sliced(self, path: Path, found: large.Numbers) -> Split:
        """Return the split of a large table, whose rows keep their order within a part."""
        classes, labels, (y,) = target.classed(found.targets, [found.y], self.task)
        train, held = map(np.sort, self._parts(len(y)))
        return make_split(
            _plain(path),
            (subset(found.x, train), y[train]),
            (subset(found.x, held), y[held]),
            classes=classes,
            labels=labels,
            columns=found.columns if found.named else None,
            targets=found.targets,
            **self.subset(),
        )

    def new(self, path: Path, inputs: Inputs) -> New:
        """Return the rows of a new table: columns by their names, or by their place if they have none."""
        names = inputs.columns or [str(i) for i in range(inputs.shape[0])]
        every = list(inputs.table.kinds) if inputs.table else names
        named = not all(name.isdigit() for name in every)
        table = read(path, replace(self.form, header=named if self.header is None else self.header))
        frame, y = table.frame, None
        if table.notes:
            log.info("data       %s: %s", path.name, ", ".join(table.notes))
        targets = inputs.targets or []
        if not named and len(frame.columns) == len(every):
            frame.columns = every
        elif not inputs.columns:  # the target stood among columns that have no names
            names = [str(i) for i in range(len(names) + len(targets)) if str(i) not in targets]
        if targets and all(name in frame.columns and name not in names for name in targets):
            y = target.values(frame, targets)
        lacks = [name for name in names if name not in frame.columns]
        if lacks:
            raise DataError(must_be(str(path), "predict", f"a table of {few(names)}", f"lacks {few(lacks)}"))
        rest = [name for name in frame.columns if name not in (*names, *targets)]
        if rest:
            log.info("data       %s: columns without use: %s", path.name, few(rest))
        x = frame[names]
        if not inputs.table:  # numbers, of which none is missing
            x = np.stack([numbers_of(x[name], name, "the table") for name in names], 1)
        return New(x, y)

    def _found(self, given: str | None, file: str | None) -> Path:
        path = as_path(given) if given else self.cache() / str(file)
        if not path.is_file():
            get = f"Get it from {self.source} and set" if self.source else "Set"
            remedy = f"{get} dataset.path=FILE."
            raise DataError(must_be("path", "Csv", "an existing file", str(path), remedy))
        return path

    def _kept(self, table: Table, targets: list[str], name: str) -> Any:
        """Return the frame without dropped columns and without rows that lack a target, and say so."""
        frame = table.frame
        if table.notes:
            log.info("data       %s: %s", name, ", ".join(table.notes))
        known(frame, targets, "target", "Csv")
        for key in ("drop", "categorical"):
            known(frame, getattr(self, key) or [], key, "Csv")
        if both := [name for name in targets if name in (self.drop or [])]:
            raise DataError(must_be("drop", "Csv", "columns without the target", both[0]))
        frame = frame.drop(columns=self.drop or [])
        absent = frame[targets].isna().any(axis=1)
        if absent.any():
            log.info("data       %s: %d rows without %s are left out", name, absent.sum(), few(targets))
            frame = frame[~absent]
        return frame

    def _parts(self, rows: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the rows of the training and the test part."""
        # not the permutation that make_split applies to train
        order = np.random.default_rng(self.split_seed + 1).permutation(rows)
        start, stop = round((1 - self.test_fraction) * rows), rows
        if self.fold is not None:
            start, stop = (k * rows // self.folds for k in (self.fold, self.fold + 1))
        return np.delete(order, slice(start, stop)), order[start:stop]


def _plain(path: Path) -> str:
    """Return the name of a file without the ends that say how it is written."""
    name = path.name
    for suffix in SUFFIXES:
        name = name.removesuffix(suffix)
    return name


def _codec(name: str) -> bool:
    import codecs

    try:
        codecs.lookup(name)
    except LookupError:
        return False
    return True
