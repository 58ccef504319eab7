"""CIFAR-100 (Krizhevsky 2009): 50,000 + 10,000 colour images of 32 x 32 pixels, 100 classes in 20 groups."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ntkrun import checks
from ntkrun.datasets.archive import read_members
from ntkrun.datasets.base import DataSource
from ntkrun.datasets.cifar10 import images_of
from ntkrun.datasets.fetch import obtain
from ntkrun.datasets.split import Split, make_split
from ntkrun.errors import DataError, must_be
from ntkrun.store.paths import as_path

FOLDER = "cifar-100-binary"
RECORD = 3074  # bytes: the group, the class, 3072 values
ROWS = {"train.bin": 50_000, "test.bin": 10_000}
KINDS = {"coarse": 20, "fine": 100}  # byte 0 and byte 1 of a record
NAMES = 1 << 16  # most bytes of a file of names


@dataclass(frozen=True, kw_only=True)
class Cifar100(DataSource):
    """CIFAR-100 from its binary archive or the unpacked folder, else from a download.

    Search order: `path`; data_dir; the mirrors.

    Parameters
    ----------
    path : str or None
        Archive (.tar.gz) or folder. Its checksum is not checked; that of an archive in data_dir or from a
        mirror is.
    labels : {"fine", "coarse"}
        100 classes, or their 20 groups; named by the archive's own lists.
    mirrors : list of {url, hash}
        Downloads, tried in turn; hash is "md5:..." or "sha256:...".
    """

    name = "cifar100"

    path: str | None = None
    labels: str = "fine"
    mirrors: tuple[dict[str, str], ...] = ()

    def problems(self) -> list[str]:
        """Return one sentence for every wrong parameter."""
        return super().problems() + checks.choice("Cifar100", "labels", self.labels, tuple(KINDS))

    def load(self) -> Split:
        """Return the split; DataError for a damaged file."""
        source = as_path(self.path) if self.path else obtain("CIFAR-100", self.mirrors, self.cache())
        if not source.exists():
            raise DataError(must_be("path", "Cifar100", "an existing archive or folder", str(source)))
        files = _members(source, f"{self.labels}_label_names.txt")
        classes = KINDS[self.labels]
        (x, y), test = (self._part(files[name], f"{name} of {source}") for name in ROWS)
        names = files[f"{self.labels}_label_names.txt"].decode("ascii", "replace").split()
        if len(names) != classes:
            raise DataError(f"{source} must name {classes} {self.labels} classes. Got {len(names)} instead.")
        return make_split("cifar100", (x, y), test, classes=classes, class_names=names, **self.subset())

    def _part(self, data: bytes, source: str) -> tuple[np.ndarray, np.ndarray]:
        rows = ROWS[source.split()[0]]
        if len(data) != RECORD * rows:
            raise DataError(
                f"{source} must have {RECORD * rows} bytes. Got {len(data)} instead. Get it again."
            )
        records = np.frombuffer(data, np.uint8).reshape(rows, RECORD)
        return images_of(records[:, 2:]), records[:, list(KINDS).index(self.labels)].astype(np.int64)


def _members(source: Path, names: str) -> dict[str, bytes]:
    """Return the bytes of train.bin, test.bin and the file of names, from an archive or a folder."""
    wanted = [*ROWS, names]
    if source.is_dir():
        for folder in (source, source / FOLDER):
            if all((folder / name).is_file() for name in wanted):
                return {name: (folder / name).read_bytes() for name in wanted}
        raise DataError(f"{source} is not a CIFAR-100 folder: {', '.join(wanted)} not found in it.")
    sizes = {f"{FOLDER}/{name}": (RECORD * rows, RECORD * rows) for name, rows in ROWS.items()}
    found = read_members(source, sizes | {f"{FOLDER}/{names}": (1, NAMES)})
    if missing := [name for name in wanted if f"{FOLDER}/{name}" not in found]:
        raise DataError(f"{source} is not a binary CIFAR-100 archive: {', '.join(missing)} not found in it.")
    return {name: found[f"{FOLDER}/{name}"] for name in wanted}
