"""CIFAR-10 (Krizhevsky 2009): 50,000 + 10,000 colour images of 32 x 32 pixels in ten classes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ntkrun.datasets.archive import read_members, read_pickled_arrays
from ntkrun.datasets.base import ArchiveSource
from ntkrun.datasets.split import Split, make_split
from ntkrun.errors import DataError

CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
RECORD, ROWS = 3073, 10_000
BATCHES = [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]


@dataclass(frozen=True, kw_only=True)
class Cifar10(ArchiveSource):
    """CIFAR-10 from its binary or python archive or the unpacked folder, else from a download.

    Parameters are those of ArchiveSource.
    """

    name = "cifar10"
    holds = "images"

    def load(self) -> Split:
        """Return the split; see DataSource."""
        source = self.found("CIFAR-10")
        batches = _read_folder(source) if source.is_dir() else _read_archive(source)
        x, y = (np.concatenate([b[i] for b in batches[:-1]]) for i in (0, 1))
        return make_split("cifar10", (x, y), batches[-1], classes=10, class_names=CLASSES, **self.subset())


def _read_archive(path: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    exact = {f"cifar-10-batches-bin/{b}.bin": (RECORD * ROWS, RECORD * ROWS) for b in BATCHES}
    # python batches: 30.7 MB of pixels, plus labels and file names
    pickled = {f"cifar-10-batches-py/{b}": (3072 * ROWS, 3072 * ROWS + (2 << 20)) for b in BATCHES}
    found = read_members(path, exact) or read_members(path, pickled)
    missing = [b for b in BATCHES if not any(Path(name).stem == b for name in found)]
    if missing:
        raise DataError(f"{path} is not a CIFAR-10 archive: {', '.join(missing)} not found in it.")
    if any(name.endswith(".bin") for name in found):
        return [_binary(found[name], name) for name in exact]
    return [_pickled(found[name], name) for name in pickled]


def _read_folder(path: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    for folder in (path, path / "cifar-10-batches-bin", path / "cifar-10-batches-py"):
        for suffix, read in ((".bin", _binary), ("", _pickled)):
            files = [folder / (b + suffix) for b in BATCHES]
            if all(f.is_file() for f in files):
                return [read(f.read_bytes(), str(f)) for f in files]
    raise DataError(f"{path} is not a CIFAR-10 folder: data_batch_1.bin .. test_batch.bin not found in it.")


def _binary(data: bytes, source: str) -> tuple[np.ndarray, np.ndarray]:
    if len(data) != RECORD * ROWS:
        raise DataError(f"{source} must have {RECORD * ROWS} bytes. Got {len(data)} instead. Get it again.")
    records = np.frombuffer(data, np.uint8).reshape(ROWS, RECORD)
    return images_of(records[:, 1:]), records[:, 0].astype(np.int64)


def _pickled(data: bytes, source: str) -> tuple[np.ndarray, np.ndarray]:
    batch = read_pickled_arrays(data, source)
    pixels, labels = batch.get(b"data"), batch.get(b"labels")
    if not isinstance(pixels, np.ndarray) or pixels.shape != (ROWS, 3072) or pixels.dtype != np.uint8:
        raise DataError(f"{source} is not a CIFAR batch: its data are not {ROWS} x 3072 bytes.")
    if not isinstance(labels, list) or len(labels) != ROWS or not all(type(v) is int for v in labels):
        raise DataError(f"{source} is not a CIFAR batch: its labels are not {ROWS} integers.")
    return images_of(pixels), np.array(labels, np.int64)


def images_of(planar: np.ndarray) -> np.ndarray:
    """Return images (n, 32, 32, 3) of rows (n, 3072) that hold the red, the green, then the blue values."""
    return np.ascontiguousarray(planar.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))
