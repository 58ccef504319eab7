"""Sparse rows in files of arrays, without trust in what the files say."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from ntkrun.datasets.array_files import UNREADABLE, read_npz
from ntkrun.errors import DataError

# arrays that scipy.sparse.save_npz writes
KEYS = ("format", "shape", "indptr", "indices", "data")
PARTS = ("shape", "indptr", "indices", "data")


def checked_csr(shape: Any, indptr: Any, indices: Any, data: Any) -> sp.csr_array:
    """Return the canonical matrix of these arrays, without zeros; ValueError unless they describe one.

    Repeated columns of a row are summed, as scipy reads them. Wrong arrays would let compiled code read
    beyond their end.
    """
    shape, indptr, indices, data = (np.asarray(a) for a in (shape, indptr, indices, data))
    if shape.shape != (2,) or shape.dtype.kind not in "iu" or min(shape) < 0:
        raise ValueError(f"its shape must be two numbers, not {shape.tolist()}")
    rows, columns = (int(n) for n in shape)
    if any(a.ndim != 1 for a in (indptr, indices, data)) or data.dtype.kind not in "buif":
        raise ValueError("its data, indices and indptr must be lists of numbers")
    if indptr.dtype.kind not in "iu" or indices.dtype.kind not in "iu":
        raise ValueError("its indices and indptr must be whole numbers")
    if len(indptr) != rows + 1 or indptr[0] != 0 or int(indptr[-1]) != len(data) or len(indices) != len(data):
        raise ValueError("its indptr does not fit its shape and data")
    indptr = indptr.astype(np.int64)
    if len(falls := np.flatnonzero(np.diff(indptr) < 0)):
        raise ValueError(f"its indptr falls at row {falls[0]}")
    outside = np.flatnonzero((indices < 0) | (indices >= columns))
    if len(outside):
        row = int(np.searchsorted(indptr, outside[0], "right")) - 1
        raise ValueError(f"row {row} has the column {indices[outside[0]]}, but columns are 0..{columns - 1}")
    kind = {"b": np.uint8, "f": np.float64}.get(data.dtype.kind, data.dtype.newbyteorder("="))
    if data.dtype.kind == "f" and data.dtype.itemsize == 4:
        kind = np.dtype(np.float32)
    x = sp.csr_array((data.astype(kind), indices.astype(np.int64), indptr), shape=(rows, columns))
    x.sum_duplicates()
    x.eliminate_zeros()
    return x


def read_csr(path: Path) -> sp.csr_array:
    """Return the matrix of a file that scipy.sparse.save_npz wrote; DataError for anything else."""
    try:
        arrays, _ = read_npz(path, KEYS)
        if len(arrays) < len(KEYS):
            raise ValueError(f"it lacks {', '.join(sorted(set(KEYS) - arrays.keys()))}")
        kind = arrays["format"].item()
        kind = kind.decode("latin-1") if isinstance(kind, bytes) else str(kind)
        if kind != "csr":
            raise ValueError(f"it has the format {kind[:20]}; save x.tocsr()")
        return checked_csr(*(arrays[key] for key in PARTS))
    except UNREADABLE as error:
        reason = "".join(str(error).splitlines()[:1])
        raise DataError(f"{path} is not a CSR matrix of scipy.sparse.save_npz: {reason}.") from error


def packed(name: str, x: Any) -> dict[str, np.ndarray]:
    """Return the arrays of rows x, an array or a csr_array, under names that begin with `name`."""
    if isinstance(x, np.ndarray):
        return {name: x}
    parts = {"shape": np.array(x.shape), "indptr": x.indptr, "indices": x.indices, "data": x.data}
    return {f"{name}_{key}": array for key, array in parts.items()}


def unpacked(name: str, arrays: Mapping[str, np.ndarray]) -> Any:
    """Return the rows that `packed` took apart; ValueError or KeyError if there are none."""
    if name in arrays:
        return arrays[name]
    return checked_csr(*(arrays[f"{name}_{key}"] for key in PARTS))
