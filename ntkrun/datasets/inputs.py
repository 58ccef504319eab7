"""Describe the rows of a data set, and bring a model's inputs to the form of training."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from ntkrun.datasets.arrays import finite
from ntkrun.datasets.table.prepare import Prepare
from ntkrun.errors import DataError, few, must_be
from ntkrun.maths.layout import channels_last, image_shape
from ntkrun.maths.sparse import canonical, is_sparse


@dataclass(frozen=True)
class Inputs:
    """Original form of a row, before it is brought to the form of training.

    Attributes
    ----------
    shape : tuple of int
        (d,), (H, W) for grey images, (H, W, C) or (C, H, W).
    dtype : numpy.dtype
        Number type of the training rows.
    layout : {"channels_last", "channels_first"} or None
        Position of the channels; None means last.
    columns : list of str or None
        Names of the d numbers, or of the columns of a table; None for arrays.
    table : Prepare or None
        Turns the columns of a table into numbers; None if they are numbers.
    example : list or None
        The first training row of such a table.
    targets : list of str or None
        Names of the columns that are predicted.
    sparse : bool
        Whether rows are sparse.
    first : int
        Number of the first column in svmlight files, 0 or 1.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    layout: str | None = None
    columns: list[str] | None = None
    table: Prepare | None = None
    example: list[Any] | None = None
    targets: list[str] | None = None
    sparse: bool = False
    first: int = 0

    @classmethod
    def of_table(cls, table: Prepare, first: Any, targets: list[str] | None) -> Inputs:
        """Return the form of a table whose first training row is the DataFrame `first`."""
        names, row = table.used, first[table.used].iloc[0]
        values = [None if absent else value for value, absent in zip(row, row.isna(), strict=True)]
        values = [value.item() if isinstance(value, np.generic) else value for value in values]
        example = [v if isinstance(v, int | float | str | bool | None) else str(v) for v in values]
        return cls((len(names),), np.dtype(np.float64), None, names, table, example, targets)

    def record(self) -> dict[str, Any]:
        """Return all attributes for a file except dtype, which the arrays beside it have."""
        out: dict[str, Any] = {"shape": self.shape, "layout": self.layout, "columns": self.columns}
        out |= {"targets": self.targets} if self.targets else {}
        out |= {"sparse": True, "first": self.first} if self.sparse else {}
        return out | ({"table": self.table.record(), "example": self.example} if self.table else {})

    @classmethod
    def restored(cls, record: dict[str, Any], sample: np.ndarray) -> Inputs:
        """Return the object of a record and training rows; ValueError unless they fit."""
        table = record.pop("table", None)
        prepare = None if table is None else Prepare.restored(table)
        inputs = cls(tuple(record.pop("shape")), sample.dtype, **record, table=prepare)
        if prepare:
            if inputs.array([inputs.example]).shape != sample[:1].shape:
                raise ValueError("its record of inputs does not fit its arrays")
            return inputs
        row = inputs.of(sample[:1])
        if inputs.sparse != is_sparse(sample):
            raise ValueError("its record of inputs does not fit its arrays")
        if inputs.array(row).shape != sample[:1].shape or len(inputs.columns or row.flat) != row.size:
            raise ValueError("its record of inputs does not fit its arrays")
        return inputs

    @property
    def image(self) -> tuple[int, int, int] | None:
        """Height, width and channels; None for rows."""
        if len(self.shape) == 1:
            return None
        return image_shape(self.shape, self.layout or "channels_last", "Model", "x")

    def of(self, x: Any) -> np.ndarray:
        """Return rows in their original form, given that of training, (n, d) or (n, H, W, C).

        Sparse rows become dense. Of a table with words it is the first training row, whatever x is.
        """
        if self.table:
            return np.array([self.example], object)
        if self.sparse:
            return x.toarray()
        first = len(self.shape) == 3 and self.layout == "channels_first"
        return (np.moveaxis(x, -1, 1) if first else x).reshape(len(x), *self.shape)

    def array(self, x: Any) -> Any:
        """Return inputs in the form of training: (n, d) or (n, H, W, C), of any type of number.

        A model of sparse rows takes a sparse matrix of scipy, or dense rows, and computes with the former.

        Rows with names may be a DataFrame, a dict of columns or a list of dicts, in any order of the names,
        or an array in the order of training. Images have the shape of training or are rows of their pixels
        in the same order; grey ones may also be (n, H, W). Raises DataError for anything else, for nan and
        infinity, and, if training had whole numbers, for fractions and numbers out of their type's range.
        """
        if self.table:
            return self.table(self._frame(x))
        if sp.issparse(x):
            return self._sparse(x)
        if isinstance(x, Mapping) or _of_dicts(x) or (self.columns and hasattr(x, "columns")):
            x = _numbers(_frame(x, self.columns), self.columns or [])
        else:
            try:
                x = np.asarray(x)
            except (TypeError, ValueError) as error:  # lists of unequal length; a tensor on a GPU
                raise DataError(f"x of Model is not an array: {error}.") from error
        form, layout, forms = self.shape, self.layout, {self.shape, (math.prod(self.shape),)}
        if self.image and self.image[2] == 1:  # all forms of a grey image have the same pixel order
            form, layout = self.image, None
            forms |= {self.image, self.image[:2]}
        if x.shape[1:] not in forms or x.dtype.kind not in "buif":
            expected = f"numbers of shape (n, {', '.join(map(str, self.shape))})"
            raise DataError(must_be("x", "Model", expected, f"{x.dtype} of shape {x.shape}"))
        x = channels_last(self._checked(x).reshape(len(x), *form), layout)
        return sp.csr_array(x) if self.sparse else x

    def _sparse(self, x: Any) -> Any:
        if not self.sparse or x.shape[1:] != self.shape or x.dtype.kind not in "buif":
            expected = (
                f"{'' if self.sparse else 'dense '}numbers of shape (n, {', '.join(map(str, self.shape))})"
            )
            raise DataError(must_be("x", "Model", expected, f"sparse {x.dtype} of shape {x.shape}"))
        x = sp.csr_array(canonical(x))
        if len(x.data):
            self._checked(x.data)
        return finite("x", "Model", x)

    def _frame(self, x: Any) -> Any:
        """Return a table with words as a DataFrame; its rows may also be lists in the order of training."""
        import pandas as pd

        if isinstance(x, Mapping) or _of_dicts(x) or hasattr(x, "columns"):
            return _frame(x, self.columns, self.table.kinds.keys() if self.table else ())
        rows = np.asarray(x, object)
        if rows.ndim != 2 or rows.shape[1] != self.shape[0]:
            raise DataError(must_be("x", "Model", f"rows of {few(self.columns or [])}", rows.shape))
        return pd.DataFrame(rows, columns=self.columns).infer_objects()

    def _checked(self, x: np.ndarray) -> np.ndarray:
        """Return x in a type torch supports; DataError for numbers that the type of training cannot hold."""
        if x.dtype.kind == "f":
            x = finite("x", "Model", x)
        if self.dtype.kind not in "ui":
            return x
        low, high = int(np.iinfo(self.dtype).min), int(np.iinfo(self.dtype).max)
        bad = (x < low) | (x > high)
        if x.dtype.kind == "f":
            bad |= x != np.round(x)
        if bad.any():
            pixels = high == 255 and x.min() >= 0 and x.max() <= 1
            remedy = "If training had pixels of 0..255: multiply them by 255 and round." if pixels else ""
            constraint = f"whole numbers in {low}..{high}, as in training"
            raise DataError(must_be("x", "Model", constraint, x[bad][0].item(), remedy))
        return x


def _of_dicts(x: Any) -> bool:
    return isinstance(x, list) and bool(x) and all(isinstance(row, Mapping) for row in x)


def _frame(x: Any, columns: list[str] | None, idle: Collection[str] = ()) -> Any:
    """Return a DataFrame, a dict of columns, a dict, or a list of dicts as a DataFrame with these columns.

    The columns `idle` may be there too.
    """
    import pandas as pd

    if columns is None:
        raise DataError(must_be("x", "Model", "an array, as its training data had no names", "names"))
    if isinstance(x, Mapping) and not any(np.ndim(value) for value in x.values()):
        x = [x]
    try:
        table = pd.DataFrame(x)
    except ValueError as error:  # columns of unequal length
        raise DataError(f"x of Model is not a table: {error}.") from error
    have = [str(name) for name in table.columns]
    rows = [{str(name) for name in row} for row in x] if isinstance(x, list) else [set(have)]
    faults = {
        "lacks": [name for name in columns if not all(name in row for row in rows)],
        "has the unknown": [name for name in have if name not in columns and name not in idle],
        "has more than one": [name for name, count in Counter(have).items() if count > 1],
    }
    found = "; ".join(f"{fault} {few(names)}" for fault, names in faults.items() if names)
    if found:
        raise DataError(must_be("x", "Model", f"a table of {few(columns)}", f"one that {found}"))
    table.columns = pd.Index(have)
    return table


def _numbers(table: Any, columns: list[str]) -> np.ndarray:
    """Return the numbers (n, d), float64, of these columns of a DataFrame."""
    import pandas as pd

    for name in columns:
        if not pd.api.types.is_numeric_dtype(table[name]) or table[name].dtype.kind == "c":
            raise DataError(must_be(f"column {name} of x", "Model", "numbers", str(table[name].dtype)))
    return np.stack([table[name].to_numpy(np.float64, na_value=np.nan) for name in columns], 1)
