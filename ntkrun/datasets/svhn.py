"""Street View House Numbers (Netzer et al. 2011): 73,257 + 26,032 colour images of digits, 32 x 32 pixels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ntkrun.datasets.base import DataSource
from ntkrun.datasets.fetch import obtain
from ntkrun.datasets.matlab import arrays
from ntkrun.datasets.split import Split, make_split
from ntkrun.errors import DataError, must_be
from ntkrun.store.paths import as_path

FILES = ("train_32x32.mat", "test_32x32.mat")


@dataclass(frozen=True, kw_only=True)
class Svhn(DataSource):
    """Cropped digits of SVHN from a folder, else from downloads.

    Search order: `path`; data_dir/svhn; the mirrors. The file "extra" is not used.

    Parameters
    ----------
    path : str or None
        Folder with train_32x32.mat and test_32x32.mat.
    mirrors : list of {url, hash}
        One download per file.
    """

    name = "svhn"
    holds = "images"

    path: str | None = None
    mirrors: tuple[dict[str, str], ...] = ()

    def load(self) -> Split:
        """Return the split; DataError for a damaged file."""
        train, test = (read(self._find(name)) for name in FILES)
        return make_split("svhn", train, test, classes=10, **self.subset())

    def _find(self, name: str) -> Path:
        if self.path:
            if (file := as_path(self.path) / name).is_file():
                return file
            raise DataError(must_be("path", "Svhn", f"a folder with {name} in it", str(as_path(self.path))))
        mirrors = [m for m in self.mirrors if m["url"].rsplit("/", 1)[-1] == name]
        return obtain(f"SVHN ({name})", mirrors, self.cache() / "svhn")


def read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return images (n, 32, 32, 3) and digits (n,) of X (32, 32, 3, n) and y (n, 1); there 10 means 0."""
    try:
        found = arrays(path, ("X", "y"))
    except (ValueError, OSError) as error:
        raise DataError(f"{path} is not a readable MATLAB file: {error}. Get it again.") from error
    x, y = found.get("X"), found.get("y")
    if not isinstance(x, np.ndarray) or x.dtype != np.uint8 or x.shape[:3] != (32, 32, 3) or x.ndim != 4:
        raise DataError(f"{path} must hold X, bytes of shape (32, 32, 3, n). Got {_kind(x)} instead.")
    if not isinstance(y, np.ndarray) or y.dtype.kind not in "uif" or y.shape != (x.shape[3], 1):
        raise DataError(f"{path} must hold y, numbers of shape ({x.shape[3]}, 1). Got {_kind(y)} instead.")
    if bad := np.flatnonzero(~np.isin(y[:, 0], np.arange(1, 11))).tolist():
        raise DataError(f"{path} must hold labels 1..10. Got {y[bad[0], 0]} in row {bad[0]} instead.")
    return np.ascontiguousarray(x.transpose(3, 0, 1, 2)), y[:, 0].astype(np.int64) % 10


def _kind(array: object) -> str:
    return f"{array.dtype} of shape {array.shape}" if isinstance(array, np.ndarray) else "none"
