"""Rows to predict, from files of arrays."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ntkrun.datasets.array_files import UNREADABLE, read_npz
from ntkrun.datasets.csr_files import KEYS, read_csr
from ntkrun.datasets.inputs import Inputs
from ntkrun.datasets.svmlight_files import read_svmlight
from ntkrun.errors import DataError, few, must_be

# names of inputs and labels in an .npz or HDF5 file, the first that is there
X, Y = ("x", "x_new", "x_test", "X"), ("y", "y_new", "y_test")
HDF5 = (".h5", ".hdf5")


@dataclass(frozen=True)
class New:
    """Rows to predict.

    Attributes
    ----------
    x : DataFrame, ndarray or FileRows
        As `Model.values` takes them, or slices of it.
    y : ndarray (n,) or None
        Labels or targets as they came, if there are any.
    names : list of str or None
        Names of the rows; None for their numbers.
    """

    x: Any
    y: np.ndarray | None = None
    names: list[str] | None = None


def new_svmlight(path: Path, inputs: Inputs) -> New:
    """Return the rows and labels of a text file, with the columns of training; see `read_svmlight`."""
    ((x, y),), _ = read_svmlight([path], inputs.shape[0], inputs.first == 0)
    return New(x, y)


def new_rows(path: Path) -> New:
    """Return the rows in an .npy, or those called x in an .npz or HDF5 file, with y if it is there.

    They may also be called x_new or x_test. An .npz of scipy.sparse.save_npz holds rows alone. DataError for
    any other file, or one of objects.
    """
    kind = ".npy, .npz or .h5 with x, or folder of images"
    if path.suffix not in (".npy", ".npz", *HDF5) or not path.is_file():
        raise DataError(must_be("data", "predict", f"an existing {kind}", str(path)))
    if path.suffix in HDF5:
        return _from_hdf5(path)
    try:
        if path.suffix == ".npy":
            return New(np.load(path, allow_pickle=False))
        arrays, names = read_npz(path, (*X, *Y))
        if not arrays and set(KEYS) <= set(names):
            return New(read_csr(path))
    except UNREADABLE as error:
        raise DataError(f"{path} is not a readable {kind}: {error}".splitlines()[0]) from error
    x, y = (next((arrays[name] for name in known if name in arrays), None) for known in (X, Y))
    if x is None:
        raise DataError(must_be("data", "predict", "an .npz with x", names))
    return New(x, y)


def _from_hdf5(path: Path) -> New:
    from ntkrun.datasets.sliced.file_rows import FileRows
    from ntkrun.datasets.sliced.hdf5 import Hdf5Array, labels, names, opened

    with opened(path) as file:
        x, y = (next((name for name in known if name in file), None) for known in (X, Y))
        if x is None:
            raise DataError(must_be("data", "predict", "an HDF5 file with x", few(names(file)) or "none"))
    rows = FileRows.of(Hdf5Array(path, x))
    y_new = None if y is None else labels(path, y)
    if y_new is not None and len(y_new) != rows.shape[0]:
        raise DataError(
            must_be(str(y), path.name, f"one label for each of {rows.shape[0]} rows", y_new.shape)
        )
    return New(rows, y_new)
