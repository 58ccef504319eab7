"""Labels of any sort as classes 0..k-1, and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ntkrun.errors import DataError, must_be

Label = str | int | float | bool
# more classes than this in a column of numbers are taken for an error
MOST = 10_000
LARGEST = 2**62
ROWS = 1 << 20  # that are examined together


@dataclass(frozen=True)
class Labels:
    """The classes in their order, in the words they came in."""

    values: list[Label]

    @property
    def names(self) -> list[str]:
        """Return the classes as text."""
        return [str(value) for value in self.values]

    def codes(self, y: Any, parameter: str, owner: str) -> np.ndarray:
        """Return labels (n,) as numbers 0..k-1, int64; DataError for a label that is none of these."""
        at, y = {value: i for i, value in enumerate(self.values)}, np.asarray(y)
        found = np.empty(len(y), np.int64)
        for start in range(0, len(y), ROWS):
            some = y[start : start + ROWS]
            # words of unlike types have no order
            distinct, which = (some, np.arange(len(some))) if some.dtype == object else _distinct(some)
            codes = np.array([at.get(label, -1) for label in plain(distinct)], np.int64)
            found[start : start + ROWS] = codes[which]
        if len(bad := np.flatnonzero(found < 0)):
            row = int(bad[0])
            shown = ", ".join(self.names[:10]) + (", ..." if len(self.names) > 10 else "")
            constraint = f"one of the training labels {shown} (row {row} is not)"
            raise DataError(must_be(parameter, owner, constraint, plain(y[row : row + 1])[0]))
        return found

    def words(self, codes: np.ndarray) -> np.ndarray:
        """Return the labels of numbers 0..k-1, (n,), as int64, float64, bool or text."""
        return np.array(self.values)[codes]


def plain(y: Any) -> list[Label]:
    """Return labels (n,) as Python values; floats without a fraction become integers."""
    y = np.asarray(y)
    values = (y.astype(np.float64) if y.dtype.kind == "f" else y).tolist()
    if all(isinstance(v, float) and v.is_integer() for v in values):
        return [int(v) for v in values]
    return [v.decode("utf-8", "replace") if isinstance(v, bytes) else v for v in values]


def _distinct(y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.unique(y, return_inverse=True)


def flat(y: np.ndarray, parameter: str, owner: str) -> np.ndarray:
    """Return labels (n,) of labels (n,), (n, 1) or one-hot (n, k); DataError for other shapes."""
    if y.ndim == 2 and y.shape[1] == 1:
        return y[:, 0]
    ones = y.ndim == 2 and y.dtype.kind in "buif" and np.isin(y, (0, 1)).all()
    if ones and (y.astype(np.int64).sum(1) == 1).all():
        return y.argmax(1)
    if y.dtype.kind not in "biufUS":
        raise DataError(must_be(parameter, owner, "of numbers or words", y.dtype))
    if y.ndim != 1:
        remedy = "One-hot rows hold one 1 each." if y.ndim == 2 else ""
        raise DataError(must_be(parameter, owner, "one label per row, or one-hot rows", y.shape, remedy))
    return y


def labels_of(y: Any, parameter: str, owner: str) -> Labels | None:
    """Return the classes among labels y (n,); None if they are 0..k-1 already, or none.

    Raises DataError for a single class, for fractions, and for more than MOST classes.
    """
    distinct = sorted(set(plain(np.unique(y))))
    fractions = [v for v in distinct if isinstance(v, float) and not v.is_integer()]
    if fractions:
        shown, remedy = fractions[0], "dataset.task=regression fits numbers."
        raise DataError(must_be(parameter, owner, "labels for classification", shown, remedy))
    large = [v for v in distinct if isinstance(v, int) and abs(v) > LARGEST]
    if large:
        raise DataError(must_be(parameter, owner, "labels below 2^62 in size", f"{large[0]:.3g}"))
    if not distinct:
        return None
    if len(distinct) < 2:
        raise DataError(
            must_be(parameter, owner, "of at least two classes", distinct[0] if distinct else None)
        )
    if len(distinct) > MOST:
        remedy = "dataset.task=regression fits numbers."
        raise DataError(must_be(parameter, owner, f"of at most {MOST} classes", len(distinct), remedy))
    numbered = not any(isinstance(v, str | bool) for v in distinct)
    return None if numbered and distinct == list(range(len(distinct))) else Labels(distinct)
