"""Sources of rows: arrays in memory, or slices of a file.

A source has `shape` (n, ...), `dtype` and `ndim`, and `x[index]` with a slice or an array of integers (k,)
returns those rows in memory. An ndarray is one, and for sparse rows a csr_array of scipy. The functions below
dispatch on the type of the source, so that nothing else needs to know it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from functools import singledispatch
from typing import Any, Protocol

import numpy as np
import scipy.sparse as sp

from ntkrun.maths.layout import channels_last

BLOCK_BYTES = 1 << 20  # rows in memory at a time


class Rows(Protocol):
    """Source of rows."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, ...)."""

    @property
    def dtype(self) -> Any:
        """Number type of the rows."""

    @property
    def ndim(self) -> int:
        """Length of the shape."""

    def __getitem__(self, index: Any) -> Any:
        """Return rows in memory, given a slice or an array of integers (k,)."""


def blocks(x: Rows, index: np.ndarray | None = None, rows: int | None = None) -> Iterator[Any]:
    """Yield rows of x in memory, in order: all, or those of `index` (k,).

    There are `rows` rows in a block, or as many as BLOCK_BYTES hold.
    """
    count = x.shape[0] if index is None else len(index)
    step = rows or max(1, BLOCK_BYTES // row_bytes(x))
    for start in range(0, count, step):
        part = slice(start, min(start + step, count))
        yield x[part] if index is None else x[index[part]]


@singledispatch
def row_bytes(x: Any) -> int:
    """Return the bytes of one row in memory."""
    return max(1, math.prod(x.shape[1:]) * x.dtype.itemsize)


@singledispatch
def subset(x: Any, index: Any) -> Any:
    """Return a source of the rows `index` of x: a slice or integers (k,), ascending."""
    raise TypeError(f"{type(x).__name__} is not a source of rows")


@singledispatch
def cast(x: Any, dtype: Any) -> Any:
    """Return a source of the rows of x as numbers of another type; x itself if it has that type."""
    raise TypeError(f"{type(x).__name__} is not a source of rows")


@singledispatch
def arranged(x: Any, layout: str | None) -> Any:
    """Return a source of images (n, H, W, C), given (n, H, W) or images in `layout`."""
    raise TypeError(f"{type(x).__name__} is not a source of rows")


@singledispatch
def memory(x: Any) -> int:
    """Return the bytes that x holds in memory."""
    raise TypeError(f"{type(x).__name__} is not a source of rows")


def update(digest: Any, x: Any) -> None:
    """Feed the shape, the type and the numbers of x, a source of rows, to a hash.

    Sources of equal rows give equal hashes, wherever the rows are.
    """
    if sp.issparse(x):
        _update_sparse(digest, x)
        return
    digest.update(repr((x.shape, x.dtype.str)).encode())
    for block in blocks(x):
        digest.update(np.ascontiguousarray(block).data)


def _update_sparse(digest: Any, x: sp.csr_array) -> None:
    digest.update(repr(("csr", x.shape, x.dtype.str)).encode())
    for array, kind in ((x.indptr, np.int64), (x.indices, np.int64), (x.data, x.dtype)):
        for start in range(0, len(array), BLOCK_BYTES):
            digest.update(np.ascontiguousarray(array[start : start + BLOCK_BYTES], kind).data)


@singledispatch
def joined(first: Any, *others: Any) -> Any:
    """Return rows in memory one below the other."""
    return np.concatenate([first, *others])


@singledispatch
def largest(x: Any) -> np.ndarray:
    """Return the largest absolute entry of each row in memory, x (k, ...), as (k,) float64."""
    flat = x.reshape(len(x), -1)
    flat = flat if flat.dtype.kind == "f" else flat.astype(np.float64)  # -128 has no absolute value in int8
    return np.abs(flat).max(1).astype(np.float64)


@singledispatch
def hashes(x: Any) -> np.ndarray:
    """Return a hash of the bytes of each row in memory, x (k, ...), as (k,) int64.

    Python's own: the same only within one process.
    """
    flat = np.ascontiguousarray(x).reshape(len(x), -1)
    rows = flat.view(np.dtype((np.void, flat.shape[1] * flat.itemsize)))[:, 0].tolist()
    return np.fromiter(map(hash, rows), np.int64, len(rows))


@subset.register
def _(x: np.ndarray, index: Any) -> np.ndarray:
    return x[index]


@cast.register
def _(x: np.ndarray, dtype: Any) -> np.ndarray:
    with np.errstate(over="ignore"):  # numbers too large for the type become infinite
        return x.astype(dtype, copy=False)


@arranged.register
def _(x: np.ndarray, layout: str | None) -> np.ndarray:
    return x if x.ndim == 4 and layout != "channels_first" else np.ascontiguousarray(channels_last(x, layout))


@memory.register
def _(x: np.ndarray) -> int:
    return x.nbytes


@row_bytes.register
def _(x: sp.csr_array) -> int:
    return max(1, memory(x) // max(1, x.shape[0]))


@subset.register
def _(x: sp.csr_array, index: Any) -> sp.csr_array:
    return x[index]


@cast.register
def _(x: sp.csr_array, dtype: Any) -> sp.csr_array:
    return x.astype(dtype, copy=False)


@memory.register
def _(x: sp.csr_array) -> int:
    return x.data.nbytes + x.indices.nbytes + x.indptr.nbytes


@largest.register
def _(x: sp.csr_array) -> np.ndarray:
    out, sizes = np.zeros(x.shape[0]), np.abs(x.data.astype(np.float64))
    with np.errstate(invalid="ignore"):  # the largest beside nan is nan
        np.maximum.at(out, np.repeat(np.arange(len(out)), np.diff(x.indptr)), sizes)
    return out


@hashes.register
def _(x: sp.csr_array) -> np.ndarray:
    ends, columns = x.indptr.tolist(), x.indices.astype(np.int64)
    parts = (slice(a, b) for a, b in itertools.pairwise(ends))
    rows = (hash(columns[part].tobytes() + x.data[part].tobytes()) for part in parts)
    return np.fromiter(rows, np.int64, x.shape[0])


@joined.register
def _(first: sp.csr_array, *others: sp.csr_array) -> sp.csr_array:
    return sp.csr_array(sp.vstack([first, *others], format="csr"))
