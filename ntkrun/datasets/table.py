"""Read a table of numbers with pandas, and refuse it if pandas would guess."""

from __future__ import annotations

import csv
import gzip
import io
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np

from ntkrun.datasets.fetch import DAMAGED
from ntkrun.datasets.inputs import few
from ntkrun.errors import DataError, must_be

OTHER = ";\t|"  # separators of other tables
WIDEST = 100_000  # columns; pandas takes minutes for a million
LINE = 1 << 22  # most bytes read of a line
# fields that stand for a missing number
MISSING = ("", "?", "na", "n/a", "null", "none", "-", ".")


def read(path: Path, header: bool | None) -> tuple[list[str], np.ndarray]:
    """Return column names and the numbers (rows, columns), float64.

    Without a header the columns are called "0", "1", ... Raises DataError for a file that is not a table of
    finite numbers, for rows of another length than the first line, for missing or repeated names, and, if
    `header` is None, for a first line of numbers only.
    """
    import pandas as pd

    try:
        with _opened(path) as file:
            width = file.readline(LINE).count(b",") + 1
        if width > WIDEST:
            raise ValueError(f"its first line has {width:,} columns, more than {WIDEST:,}")
        text = {"header": None, "dtype": str, "keep_default_na": False}
        first = pd.read_csv(path, nrows=1, **text)
        names = [str(name) for name in first.iloc[0]]
        if header is None and _numbers(names):
            remedy = "If it is a row: dataset.header=false. If it names the columns: dataset.header=true."
            constraint = f"true or false: the first line of {path} is all numbers"
            raise DataError(must_be("header", "Csv", constraint, None, remedy))
        if header is False:
            names = [str(i) for i in range(len(names))]
        _check_names(path, names)
        # with a header pandas takes the first fields of a longer row as its name, which shifts the columns;
        # without one it raises an error for a longer row
        pd.read_csv(path, nrows=2, **text)
        table = pd.read_csv(path, header=None if header is False else 0)
        values = table.to_numpy(dtype=np.float64)
        if not len(values):
            raise ValueError("it has no rows")
    except DataError:
        raise
    except DAMAGED as error:
        kind = "a table of numbers" + ("" if header is False else " with a header")
        reason = _uneven(path, header) or str(error).splitlines()[0]
        raise DataError(f"{path} is not {kind}: {reason}") from error
    if not np.isfinite(values).all():
        if reason := _uneven(path, header):
            raise DataError(f"{path} is not a table of numbers: {reason}")
        row, column = np.argwhere(~np.isfinite(values))[0]
        raise DataError(f"{path}: row {row + 1}, column {names[column]} is not a finite number.")
    return names, values


def _check_names(path: Path, names: list[str]) -> None:
    if len(names) == 1 and set(names[0]) & set(OTHER):
        remedy = "Write commas between columns, and points in decimals."
        raise DataError(
            must_be("path", "Csv", f"a table with commas between columns ({path})", names[0], remedy)
        )
    if absent := [i + 1 for i, name in enumerate(names) if not name.strip()]:
        constraint = f"a table with a name for every column ({path})"
        remedy = "If it counts the rows, or is a comma at the end of every line, remove it."
        raise DataError(must_be("path", "Csv", constraint, f"no name for column {absent[0]}", remedy))
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        constraint, remedy = f"a table without equal column names ({path})", "Rename or remove one."
        raise DataError(must_be("path", "Csv", constraint, f"more than one column {few(twice)}", remedy))


def _numbers(fields: list[str]) -> bool:
    """Return whether a line holds only numbers, some of which may be missing."""
    present = [field.strip() for field in fields if field.strip().lower() not in MISSING]
    try:
        return bool([float(field) for field in present])
    except ValueError:
        return False


def _uneven(path: Path, header: bool | None) -> str:
    """Return a sentence for the first row that is longer or shorter than the first line; "" for none."""
    try:
        with _opened(path) as file:
            rows = _rows(file)
            width = len(next(rows))
            for number, row in enumerate(rows, 2 if header is False else 1):
                if len(row) != width:
                    first = "row 1" if header is False else "the header"
                    remedy = "Name every column in it." if len(row) > width and header is not False else ""
                    remedy += " Let no row end in a comma." if len(row) > width and not row[-1] else ""
                    return f"row {number} has {len(row)} fields, {first} {width}. {remedy.strip()}".strip()
    except (*DAMAGED, csv.Error, StopIteration):
        pass
    return ""


def _rows(file: IO[bytes]) -> Iterator[list[str]]:
    """Yield the fields of every line that is not blank."""
    text = io.TextIOWrapper(file, encoding="utf-8-sig", errors="replace", newline="")
    lines = iter(lambda: text.readline(LINE), "")
    return (row for row in csv.reader(lines) if row and (len(row) > 1 or row[0].strip()))


def _opened(path: Path) -> IO[bytes]:
    """Return the table's bytes as a file."""
    if path.suffix == ".zip":
        archive = zipfile.ZipFile(path)
        return archive.open(archive.infolist()[0])
    return gzip.open(path) if path.suffix == ".gz" else path.open("rb")  # type: ignore[return-value]
