"""EMNIST (Cohen et al. 2017): handwritten letters and digits, 28 x 28 grey pixels, in IDX files."""

from __future__ import annotations

import string
from dataclasses import dataclass

import numpy as np

from ntkrun import checks
from ntkrun.datasets.base import DataSource
from ntkrun.datasets.idx import FILES, read, there
from ntkrun.datasets.split import Split, make_split
from ntkrun.errors import DataError, must_be
from ntkrun.store.paths import as_path

LIMIT = 1 << 30  # bytes per file; byclass has 0.55e9
_MERGED = string.digits + string.ascii_uppercase + "abdefghnqrt"  # the other small letters look like capitals
# kind -> the characters of the labels, in their order
KINDS = {
    "balanced": _MERGED,
    "bymerge": _MERGED,
    "byclass": string.digits + string.ascii_uppercase + string.ascii_lowercase,
    "letters": string.ascii_uppercase,
    "digits": string.digits,
    "mnist": string.digits,
}


@dataclass(frozen=True, kw_only=True)
class Emnist(DataSource):
    """One of EMNIST's six divisions, with its images turned upright.

    Parameters
    ----------
    path : str
        Folder with emnist-balanced-train-images-idx3-ubyte and so on, each plain or with .gz; or the folder
        above raw/ or EMNIST/raw/, as torchvision makes them.
    kind : {"balanced", "bymerge", "byclass", "letters", "digits", "mnist"}
        Division.
    """

    name = "emnist"
    holds = "images"

    path: str | None = None
    kind: str = "balanced"

    def problems(self) -> list[str]:
        """Return one sentence for every wrong parameter."""
        out = super().problems() + checks.choice("Emnist", "kind", self.kind, tuple(KINDS))
        if not self.path:
            get = "Unpack gzip.zip of https://www.nist.gov/itl/products-and-services/emnist-dataset."
            constraint = "a folder with emnist-balanced-train-images-idx3-ubyte"
            out.append(must_be("path", "Emnist", constraint, self.path, f"{get} Set dataset.path=DIR."))
        return out

    def load(self) -> Split:
        """Return the split; DataError for a damaged file."""
        x, y, x_test, y_test = map(self._array, FILES)
        characters = list(KINDS[self.kind])
        train, test = (self._part(*pair) for pair in ((x, y), (x_test, y_test)))
        options = {"classes": len(characters), "class_names": characters, **self.subset()}
        return make_split(f"emnist_{self.kind}", train, test, **options)

    def _array(self, name: str) -> np.ndarray:
        folder, full = as_path(str(self.path)), f"emnist-{self.kind}-{name.replace('t10k', 'test')}"
        file = there(folder, full, "emnist")
        if file is None:
            raise DataError(
                must_be("path", "Emnist", f"a folder with {full} or {full}.gz in it", str(folder))
            )
        return read(file, 3 if "images" in name else 1, LIMIT)

    def _part(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return images (n, 28, 28, 1), which the file has on their side, and labels from 0."""
        first = 1 if self.kind == "letters" else 0
        return np.ascontiguousarray(x.transpose(0, 2, 1))[..., None], y.astype(np.int64) - first
