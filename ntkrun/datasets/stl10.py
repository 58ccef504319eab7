"""STL-10 (Coates, Lee and Ng 2011): 5,000 + 8,000 colour images of 96 x 96 pixels in ten classes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ntkrun.datasets.archive import BESIDES, read_members
from ntkrun.datasets.base import ArchiveSource
from ntkrun.datasets.split import Split, make_split
from ntkrun.errors import DataError

CLASSES = ["airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck"]
FOLDER = "stl10_binary"
RECORD, ROWS = 3 * 96 * 96, {"train": 5000, "test": 8000}
UNLABELED = 100_000 * RECORD  # bytes of images without labels, which are not read


@dataclass(frozen=True, kw_only=True)
class Stl10(ArchiveSource):
    """STL-10 from its binary archive or the unpacked folder, else from a download of 2.6 GB.

    Parameters are those of ArchiveSource. The images without labels are not used.
    """

    name = "stl10"
    holds = "images"

    def load(self) -> Split:
        """Return the split; DataError for a damaged file."""
        source = self.found("STL-10")
        files = _members(source)
        train, test = (
            (_images(files[f"{part}_X.bin"]), _labels(files[f"{part}_y.bin"], f"{part}_y.bin of {source}"))
            for part in ROWS
        )
        return make_split("stl10", train, test, classes=10, class_names=CLASSES, **self.subset())


def _members(source: Path) -> dict[str, bytes]:
    """Return the bytes of the four files, from an archive or a folder; DataError unless their sizes fit."""
    sizes: dict[str, int] = {}
    for part, rows in ROWS.items():
        sizes |= {f"{part}_X.bin": rows * RECORD, f"{part}_y.bin": rows}
    if not source.is_dir():
        inside = {f"{FOLDER}/{name}": (size, size) for name, size in sizes.items()}
        found = read_members(source, inside, UNLABELED + BESIDES)
        if missing := [name for name in sizes if f"{FOLDER}/{name}" not in found]:
            raise DataError(f"{source} is not a binary STL-10 archive: {', '.join(missing)} not found in it.")
        return {name: found[f"{FOLDER}/{name}"] for name in sizes}
    for folder in (source, source / FOLDER):
        if all((folder / name).is_file() for name in sizes):
            break
    else:
        raise DataError(f"{source} is not an STL-10 folder: {', '.join(sizes)} not found in it.")
    for name, size in sizes.items():
        if (have := (folder / name).stat().st_size) != size:
            raise DataError(f"{folder / name} must have {size} bytes. Got {have} instead. Get it again.")
    return {name: (folder / name).read_bytes() for name in sizes}


def _images(data: bytes) -> np.ndarray:
    """Return images (n, 96, 96, 3): the file has channels first, and every channel column by column."""
    planar = np.frombuffer(data, np.uint8).reshape(-1, 3, 96, 96)
    return np.ascontiguousarray(planar.transpose(0, 3, 2, 1))


def _labels(data: bytes, source: str) -> np.ndarray:
    """Return labels 0..9 of labels 1..10."""
    y = np.frombuffer(data, np.uint8).astype(np.int64) - 1
    if bad := np.flatnonzero((y < 0) | (y > 9)).tolist():
        raise DataError(f"{source} must hold labels 1..10. Got {y[bad[0]] + 1} in row {bad[0]} instead.")
    return y
