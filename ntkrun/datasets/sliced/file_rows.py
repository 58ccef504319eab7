"""Rows of an array in a file as a source of rows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from ntkrun.datasets import rows
from ntkrun.datasets.sliced.chosen import Chosen
from ntkrun.datasets.sliced.stored import Stored


@dataclass(frozen=True)
class FileRows:
    """Source of rows of an array in a file; see `rows`.

    Whole blocks are read and rows picked from them, so neighbouring rows are cheap.

    Parameters
    ----------
    stored : Stored
    chosen : Chosen or None
        Rows of the array that this source has; None for all.
    dtype : numpy.dtype
        Number type of the rows that it returns.
    images : bool
        Whether it returns images (n, H, W, C).
    layout : {"channels_last", "channels_first"} or None
        Position of the channels in the file; None means last.
    """

    stored: Stored
    chosen: Chosen | None
    dtype: np.dtype
    images: bool = False
    layout: str | None = None

    @classmethod
    def of(cls, stored: Stored) -> FileRows:
        """Return the source of all rows."""
        return cls(stored, None, stored.dtype)

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """(n, ...), as returned."""
        n = self.stored.shape[0] if self.chosen is None else len(self.chosen)
        return n, *self._formed(np.empty((0, *self.stored.shape[1:]), np.uint8)).shape[1:]

    @property
    def ndim(self) -> int:
        """Length of the shape."""
        return len(self.shape)

    def __getitem__(self, index: Any) -> np.ndarray:
        """Return rows in memory, given a slice or integers (k,); see Stored.block for the errors."""
        where = self.numbers(index)
        number = where // self.stored.rows
        out = np.empty((len(where), *self.stored.shape[1:]), self.stored.dtype)
        order = np.argsort(number, kind="stable")
        cuts = np.flatnonzero(np.diff(number[order])) + 1
        for here in np.split(order, cuts) if len(order) else []:
            block = int(number[here[0]])
            out[here] = self.stored.block(block)[where[here] - block * self.stored.rows]
        return self._formed(rows.cast(out, self.dtype))

    def numbers(self, index: Any) -> np.ndarray:
        """Return the numbers in the file, (k,) int64, of the rows in `index`."""
        n = self.shape[0]
        if isinstance(index, slice):
            start, stop, step = index.indices(n)
            if step == 1:
                stop = max(start, stop)
                return np.arange(start, stop) if self.chosen is None else self.chosen.between(start, stop)
            index = np.arange(start, stop, step)
        index = np.flatnonzero(index) if np.asarray(index).dtype == bool else np.asarray(index, np.int64)
        if len(index) and not 0 <= index.min() <= index.max() < n:
            raise IndexError(f"rows must be in 0..{n - 1}")
        return index if self.chosen is None else self.chosen.at(index)

    def _formed(self, x: np.ndarray) -> np.ndarray:
        return rows.arranged(x, self.layout) if self.images else x


@rows.subset.register
def _(x: FileRows, index: Any) -> FileRows:
    return replace(x, chosen=Chosen(x.numbers(index), x.stored.shape[0]))


@rows.cast.register
def _(x: FileRows, dtype: Any) -> FileRows:
    return replace(x, dtype=np.dtype(dtype))


@rows.arranged.register
def _(x: FileRows, layout: str | None) -> FileRows:
    return replace(x, images=True, layout=layout)


@rows.memory.register
def _(x: FileRows) -> int:
    return len(x.stored.hashes) + (0 if x.chosen is None else x.chosen.bits.nbytes)
