"""Data set from the user's arrays in one .npz file."""

from __future__ import annotations

from dataclasses import dataclass

from ntkrun.datasets.array_files import UNREADABLE, read_npz
from ntkrun.datasets.base import ArraySource
from ntkrun.datasets.csr_files import KEYS as SPARSE
from ntkrun.datasets.split import Split
from ntkrun.errors import DataError, must_be
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
            arrays, names = read_npz(path, KEYS)
        except UNREADABLE as error:
            raise DataError(
                f"{path} is not a readable .npz file of plain arrays: {error}".splitlines()[0]
            ) from error
        if not arrays and set(SPARSE) <= set(names):
            remedy = f"dataset=csr dataset.x_train={path} dataset.y_train=FILE.npy ..."
            raise DataError(f"{path} is a sparse matrix without labels. Take {remedy}")
        if len(arrays) < len(KEYS):
            raise DataError(must_be("path", "Npz", f"a file with the arrays {', '.join(KEYS)}", names))
        return self.split(path.stem, *(a.astype(a.dtype.newbyteorder("=")) for a in arrays.values()))
