"""Data set from the user's arrays in one .npz file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py

from ntkrun.datasets.array_files import UNREADABLE, headers, read_npz, stream
from ntkrun.datasets.base import ArraySource
from ntkrun.datasets.csr_files import KEYS as SPARSE
from ntkrun.datasets.rows import BLOCK_BYTES
from ntkrun.datasets.sliced.convert import Growing, converted
from ntkrun.datasets.sliced.file_rows import FileRows
from ntkrun.datasets.sliced.hdf5 import Hdf5Array
from ntkrun.datasets.sliced.stored import IN_MEMORY
from ntkrun.datasets.split import Split
from ntkrun.errors import DataError, must_be
from ntkrun.progress import progress
from ntkrun.store.paths import as_path

KEYS = ("x_train", "y_train", "x_test", "y_test")


@dataclass(frozen=True, kw_only=True)
class Npz(ArraySource):
    """Arrays x_train, y_train, x_test, y_test from `path`: rows (n, d) or images, see `layout`.

    Parameters
    ----------
    path : str
    """

    name = "npz"

    path: str | None = None

    def problems(self) -> list[str]:
        """Return one sentence for every wrong parameter."""
        out = super().problems()
        if not self.path:
            out.append(must_be("path", "Npz", "a .npz file", self.path, "Set dataset.path=FILE."))
        return out

    def load(self) -> Split:
        """Return the split, without unpickling anything; DataError if the file is not readable."""
        path = as_path(str(self.path))
        if not path.is_file():
            raise DataError(must_be("path", "Npz", "an existing file", str(path)))
        try:
            sliced = self._sliced(path)
            arrays, names = read_npz(path, [key for key in KEYS if key not in sliced])
        except UNREADABLE as error:
            raise DataError(
                f"{path} is not a readable .npz file of plain arrays: {error}".splitlines()[0]
            ) from error
        if not arrays and not sliced and set(SPARSE) <= set(names):
            remedy = f"dataset=csr dataset.x_train={path} dataset.y_train=FILE.npy ..."
            raise DataError(f"{path} is a sparse matrix without labels. Take {remedy}")
        if len(arrays) + len(sliced) < len(KEYS):
            raise DataError(must_be("path", "Npz", f"a file with the arrays {', '.join(KEYS)}", names))
        arrays = {key: a.astype(a.dtype.newbyteorder("=")) for key, a in arrays.items()}
        every: dict[str, Any] = {**sliced, **arrays}
        return self.split(path.stem, *(every[key] for key in KEYS))

    def _sliced(self, path: Path) -> dict[str, FileRows]:
        """Return the inputs by their names if they are large, from a file that is converted once."""
        found = headers(path, ("x_train", "x_test"))
        plain = all(
            h.dtype.kind in "uif" and not h.fortran and min(h.shape, default=0) for h in found.values()
        )
        if not plain or len(found) < 2 or sum(h.bytes for h in found.values()) <= IN_MEMORY:
            return {}

        def write(file: h5py.File) -> dict[str, Any]:
            total = sum(h.shape[0] for h in found.values())
            with progress("convert   ", total, "rows") as done:
                for name, header in found.items():
                    grown = Growing(file, name, header.shape[1:], header.dtype.newbyteorder("="))
                    for rows in stream(path, header, max(1, BLOCK_BYTES * header.shape[0] // header.bytes)):
                        grown.append(rows)
                        done(len(rows))
            return {}

        place, _ = converted(path, "npz", self.cache() / "converted", write)
        return {name: FileRows.of(Hdf5Array(place, name)) for name in found}
