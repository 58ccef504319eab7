"""Data set from the user's arrays in four .npy files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ntkrun.datasets.array_files import UNREADABLE
from ntkrun.datasets.base import ArraySource
from ntkrun.datasets.npz import KEYS
from ntkrun.datasets.sliced.file_rows import FileRows
from ntkrun.datasets.sliced.npy import NpyArray
from ntkrun.datasets.sliced.stored import IN_MEMORY
from ntkrun.datasets.split import Split
from ntkrun.errors import DataError, must_be
from ntkrun.store.paths import as_path


@dataclass(frozen=True, kw_only=True)
class Npy(ArraySource):
    """Arrays from .npy files: rows (n, d) or images, see `layout`, and labels (n,).

    Parameters
    ----------
    path : str or None
        Folder with x_train.npy, y_train.npy, x_test.npy and y_test.npy.
    x_train, y_train, x_test, y_test : str or None
        Single files, instead of those in `path`.
    """

    name = "npy"

    path: str | None = None
    x_train: str | None = None
    y_train: str | None = None
    x_test: str | None = None
    y_test: str | None = None

    def problems(self) -> list[str]:
        """Return one sentence for every wrong parameter."""
        out = super().problems()
        absent = [key for key in KEYS if not getattr(self, key)]
        if not self.path and absent:
            constraint = f"a folder with {', '.join(f'{key}.npy' for key in absent)}"
            remedy = f"Set dataset.path=DIR, or {' '.join(f'dataset.{key}=FILE' for key in absent)}."
            out.append(must_be("path", "Npy", constraint, self.path, remedy))
        return out

    def load(self) -> Split:
        """Return the split, without unpickling anything; DataError if a file is not readable."""
        arrays = [read(key, self._file(key)) for key in KEYS]
        name = as_path(self.path).name if self.path else self._file("x_train").stem
        return self.split(name or "npy", *arrays)

    def _file(self, key: str) -> Path:
        given = getattr(self, key)
        return as_path(given) if given else as_path(str(self.path)) / f"{key}.npy"


def read(key: str, path: Path) -> Any:
    """Return the array of a file, as a read-only map of it if its byte order is the machine's.

    Inputs above IN_MEMORY bytes stay in the file, and are read by the slice.
    """
    if not path.is_file():
        raise DataError(must_be(key, "Npy", "an existing .npy file", str(path)))
    try:
        # a map raises an error if the header promises more than the file holds
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except UNREADABLE as error:
        reason = "".join(str(error).splitlines()[:1])
        raise DataError(f"{path} is not a readable .npy file of a plain array: {reason}.") from error
    if not isinstance(array, np.ndarray):
        array.close()
        raise DataError(f"{path} is an archive of arrays. For a .npz file: dataset=npz dataset.path={path}.")
    if (
        array.nbytes > IN_MEMORY
        and key.startswith("x")
        and isinstance(array, np.memmap)
        and array.flags.c_contiguous
    ):
        return FileRows.of(NpyArray(path, key, array))
    return np.asarray(array.astype(array.dtype.newbyteorder("="), copy=False))
