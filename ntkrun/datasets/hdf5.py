"""Data set from an HDF5 file, read by the slice."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import h5py

from ntkrun import checks
from ntkrun.datasets.base import ArraySource
from ntkrun.datasets.sliced.file_rows import FileRows
from ntkrun.datasets.sliced.hdf5 import Hdf5Array, labels, names, opened
from ntkrun.datasets.split import Split
from ntkrun.errors import DataError, few, must_be
from ntkrun.store.paths import as_path


@dataclass(frozen=True, kw_only=True)
class Hdf5(ArraySource):
    """Arrays of an HDF5 file: rows (n, d) or images, see `layout`, and labels (n,).

    Inputs stay in the file. Every worker opens it by its path and reads the blocks of rows that it needs;
    labels are read whole.

    Parameters
    ----------
    path : str
    x, y : str or None
        Datasets of the inputs and labels, "group/x" in a group; None takes x_train and y_train, or x and y.
    test_x, test_y : str or None
        Those of the test part; None takes x_test and y_test. Without these a share of the rows is the test
        part.
    test_fraction : float
        That share, stratified by class and drawn by split_seed.
    """

    name = "hdf5"

    path: str | None = None
    x: str | None = None
    y: str | None = None
    test_x: str | None = None
    test_y: str | None = None
    test_fraction: float = 0.2

    def problems(self) -> list[str]:
        """Return one sentence for every wrong parameter."""
        out = super().problems() + checks.real("Hdf5", "test_fraction", self.test_fraction, 0, 0.9)
        if not self.path:
            out.append(must_be("path", "Hdf5", "an HDF5 file", self.path, "Set dataset.path=FILE."))
        if bool(self.test_x) != bool(self.test_y):
            one, other = ("test_y", "test_x") if self.test_x else ("test_x", "test_y")
            remedy = f"Set dataset.{one}=NAME."
            out.append(must_be(one, "Hdf5", f"a dataset, as {other} is", getattr(self, one), remedy))
        return out

    def load(self) -> Split:
        """Return the split; DataError for a file that lacks the datasets or has others than these."""
        path = as_path(str(self.path))
        if not path.is_file():
            raise DataError(must_be("path", "Hdf5", "an existing file", str(path)))
        with opened(path) as file:
            train, test = self._names(file, path)
        x, y = FileRows.of(Hdf5Array(path, train[0])), labels(path, train[1])
        if test is None:
            return self.divided(path.stem, x, y, self.test_fraction)
        return self.split(path.stem, x, y, FileRows.of(Hdf5Array(path, test[0])), labels(path, test[1]))

    def _names(self, file: h5py.File, path: Path) -> tuple[tuple[str, str], tuple[str, str] | None]:
        """Return the names of inputs and labels in training and in the test part, None without one."""
        pairs = [("x_train", "y_train"), ("x", "y")]
        usual = next((pair for pair in pairs if all(name in file for name in pair)), pairs[0])
        train = self.x or usual[0], self.y or usual[1]
        test = self.test_x or "x_test", self.test_y or "y_test"
        absent = [name for name in train if name not in file]
        some = bool(self.test_x) or any(name in file for name in test)
        absent += [name for name in test if some and name not in file]
        if absent:
            wanted = "x_train and y_train, or x and y" if not (self.x or self.y) else few(absent)
            wanted = few(absent) if some and set(absent) <= set(test) else wanted
            remedy = "Set dataset.x=NAME dataset.y=NAME, and dataset.test_x, dataset.test_y."
            got = few(names(file)) or "no arrays"
            raise DataError(must_be("path", "Hdf5", f"a file with {wanted}", got, remedy))
        return train, test if some else None
