"""Data set of sparse rows in files of scipy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ntkrun.datasets.base import LabelledSource
from ntkrun.datasets.csr_files import read_csr
from ntkrun.datasets.npy import read
from ntkrun.datasets.npz import KEYS
from ntkrun.datasets.split import Split
from ntkrun.errors import DataError, must_be
from ntkrun.store.paths import as_path


@dataclass(frozen=True, kw_only=True)
class Csr(LabelledSource):
    """Sparse rows from .npz files of scipy.sparse.save_npz, in the format CSR, and labels from .npy files.

    Parameters
    ----------
    path : str or None
        Folder with x_train.npz, y_train.npy, x_test.npz and y_test.npy.
    x_train, y_train, x_test, y_test : str or None
        Single files, instead of those in `path`.
    """

    name = "csr"
    holds = "rows"

    path: str | None = None
    x_train: str | None = None
    y_train: str | None = None
    x_test: str | None = None
    y_test: str | None = None
    preprocess: str = "none"

    def problems(self) -> list[str]:
        """Return one sentence for every wrong parameter."""
        out = super().problems()
        absent = [key for key in KEYS if not getattr(self, key)]
        if not self.path and absent:
            constraint = f"a folder with {', '.join(_name(key) for key in absent)}"
            remedy = f"Set dataset.path=DIR, or {' '.join(f'dataset.{key}=FILE' for key in absent)}."
            out.append(must_be("path", "Csr", constraint, self.path, remedy))
        return out

    def load(self) -> Split:
        """Return the split; DataError if a file is not readable."""
        files = {key: self._file(key) for key in KEYS}
        for key, file in files.items():
            if not file.is_file():
                raise DataError(must_be(key, "Csr", f"an existing {file.suffix or '.npz'} file", str(file)))
        arrays = [
            read_csr(file) if key in ("x_train", "x_test") else read(key, file) for key, file in files.items()
        ]
        name = as_path(self.path).name if self.path else files["x_train"].stem
        return self.split(name or "csr", *arrays)

    def _file(self, key: str) -> Path:
        given = getattr(self, key)
        return as_path(given) if given else as_path(str(self.path)) / _name(key)


def _name(key: str) -> str:
    return f"{key}.npz" if key.startswith("x") else f"{key}.npy"
