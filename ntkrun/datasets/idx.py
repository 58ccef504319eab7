"""Images and labels in IDX files: MNIST (LeCun et al. 1998), Fashion-MNIST (Xiao et al. 2017)."""

from __future__ import annotations

import gzip
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ntkrun.datasets.base import DataSource
from ntkrun.datasets.fetch import DAMAGED, obtain
from ntkrun.datasets.split import Split, make_split
from ntkrun.errors import DataError, must_be
from ntkrun.store.paths import as_path

FILES = tuple(f"{part}-{what}-ubyte" for part in ("train", "t10k") for what in ("images-idx3", "labels-idx1"))
LIMIT = 64 << 20  # bytes per file; the largest of these sets has 47 MB
# parts of names that are in use instead: train-images.idx3-ubyte, test-images-idx3-ubyte
INSTEAD = (("-idx", ".idx"), ("t10k", "test"))


@dataclass(frozen=True, kw_only=True)
class Idx(DataSource):
    """Ten classes of grey images, from a folder with the four files, else from a download.

    Search order: `path`; `system`; data_dir; the mirrors.

    Parameters
    ----------
    title : str
        Name of the data set.
    path : str or None
        Folder with train-images-idx3-ubyte and so on, each plain or with .gz, also called
        train-images.idx3-ubyte or test-... for t10k-...; or the folder above raw/, or above TITLE/raw/, as
        torchvision makes them.
    system : str or None
        Folder of a distribution's package.
    class_names : list of str or None
    mirrors : list of {url, hash}
        One download per file.
    """

    name = "idx"
    holds = "images"

    title: str = "mnist"
    path: str | None = None
    system: str | None = None
    class_names: list[str] | None = None
    mirrors: tuple[dict[str, str], ...] = ()

    def load(self) -> Split:
        """Return the split; DataError for a damaged file."""
        x, y, x_test, y_test = (read(self._find(name), 3 if "images" in name else 1) for name in FILES)
        train, test = (x[..., None], y.astype(np.int64)), (x_test[..., None], y_test.astype(np.int64))
        names = list(self.class_names) if self.class_names else None
        return make_split(self.title, train, test, classes=10, class_names=names, **self.subset())

    def _find(self, name: str) -> Path:
        if self.path:
            folder = as_path(self.path)
            if found := there(folder, name, self.title):
                return found
            raise DataError(must_be("path", "Idx", f"a folder with {name} or {name}.gz in it", str(folder)))
        if self.system and (found := there(as_path(self.system), name, self.title)):
            return found
        mirrors = [m for m in self.mirrors if name in m["url"]]
        return obtain(f"{self.title} ({name})", mirrors, self.cache() / self.title)


def there(folder: Path, name: str, title: str) -> Path | None:
    """Return the file that has one of the names in use, in a folder, its raw/ or its TITLE/raw/; else None.

    torchvision calls the folder of fashion_mnist FashionMNIST.
    """
    names = {name}
    for usual, other in INSTEAD:
        names |= {n.replace(usual, other) for n in names}
    plain = title.replace("_", "").casefold()
    try:
        own = sorted(p for p in folder.iterdir() if p.name.casefold() == plain)
    except OSError:
        own = []
    folders = [folder, folder / "raw", *(p / "raw" for p in own)]
    ordered = [name, *sorted(names - {name})]
    return next((p for f in folders for n in ordered for p in (f / n, f / f"{n}.gz") if p.is_file()), None)


def read(path: Path, dimensions: int, limit: int = LIMIT) -> np.ndarray:
    """Return the bytes of an IDX file as an array; DataError unless its header and length agree."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            data = file.read(limit)
    except DAMAGED as error:
        raise DataError(f"{path} cannot be read: {error}. Get it again.") from error
    start = 4 + 4 * dimensions
    if data[:4] != bytes([0, 0, 8, dimensions]) or len(data) < start:
        raise DataError(f"{path} is not an IDX file of bytes with {dimensions} dimensions. Get it again.")
    shape = np.frombuffer(data[4:start], ">u4").tolist()
    if len(data) - start != math.prod(shape):
        raise DataError(
            f"{path} must hold {math.prod(shape)} bytes. Got {len(data) - start} instead. Get it again."
        )
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)
