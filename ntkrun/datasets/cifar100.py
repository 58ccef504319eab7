"""CIFAR-100 (Krizhevsky 2009): 50,000 + 10,000 colour images of 32 x 32 pixels, 100 classes in 20 groups."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ntkrun import checks
from ntkrun.datasets.archive import read_members, read_pickled_arrays
from ntkrun.datasets.base import ArchiveSource
from ntkrun.datasets.cifar10 import images_of
from ntkrun.datasets.split import Split, make_split
from ntkrun.errors import DataError

BINARY, PYTHON = "cifar-100-binary", "cifar-100-python"
RECORD = 3074  # bytes: the group, the class, 3072 values
ROWS = {"train": 50_000, "test": 10_000}
KINDS = {"coarse": 20, "fine": 100}  # byte 0 and byte 1 of a record
NAMES = 1 << 16  # most bytes of a file of names
BESIDES = 8 << 20  # most bytes of a python part beside its pixels: labels and file names

Pair = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True, kw_only=True)
class Cifar100(ArchiveSource):
    """CIFAR-100 from its binary or python archive or the unpacked folder, else from a download.

    Parameters
    ----------
    path, mirrors
        As for ArchiveSource.
    labels : {"fine", "coarse"}
        100 classes, or their 20 groups; named by the archive's own lists.
    """

    name = "cifar100"
    holds = "images"

    labels: str = "fine"

    def problems(self) -> list[str]:
        """Return one sentence for every wrong parameter."""
        return super().problems() + checks.choice("Cifar100", "labels", self.labels, tuple(KINDS))

    def load(self) -> Split:
        """Return the split; DataError for a damaged file."""
        source = self.found("CIFAR-100")
        files = _files(source, self.labels)
        read = _binary if "train.bin" in files else _pickled
        train, test, names = read(files, self.labels, str(source))
        if len(names) != KINDS[self.labels]:
            count = KINDS[self.labels]
            raise DataError(f"{source} must name {count} {self.labels} classes. Got {len(names)} instead.")
        options = {"classes": len(names), "class_names": names, **self.subset()}
        return make_split("cifar100", train, test, **options)


def _files(source: Path, kind: str) -> dict[str, bytes]:
    """Return the bytes of both parts and of the names, from an archive or a folder."""
    binary = {f"{part}.bin": (RECORD * rows, RECORD * rows) for part, rows in ROWS.items()}
    binary[f"{kind}_label_names.txt"] = (1, NAMES)
    pickled = {part: (3072 * rows, 3072 * rows + BESIDES) for part, rows in ROWS.items()} | {
        "meta": (1, NAMES)
    }
    forms = {BINARY: binary, PYTHON: pickled}
    if source.is_dir():
        for folder in (source, source / BINARY, source / PYTHON):
            for sizes in forms.values():
                if all((folder / name).is_file() for name in sizes):
                    return {name: (folder / name).read_bytes() for name in sizes}
        raise DataError(f"{source} is not a CIFAR-100 folder: {', '.join(binary)} not found in it.")
    for place, sizes in forms.items():
        found = read_members(source, {f"{place}/{name}": size for name, size in sizes.items()})
        if len(found) == len(sizes):
            return {name: found[f"{place}/{name}"] for name in sizes}
    raise DataError(f"{source} is not a CIFAR-100 archive: {', '.join(binary)} not found in it.")


def _binary(files: dict[str, bytes], kind: str, source: str) -> tuple[Pair, Pair, list[str]]:
    pairs = []
    for part, rows in ROWS.items():
        data, size = files[f"{part}.bin"], RECORD * rows
        if len(data) != size:
            text = f"{part}.bin of {source} must have {size} bytes. Got {len(data)} instead. Get it again."
            raise DataError(text)
        records = np.frombuffer(data, np.uint8).reshape(rows, RECORD)
        pairs.append((images_of(records[:, 2:]), records[:, list(KINDS).index(kind)].astype(np.int64)))
    names = files[f"{kind}_label_names.txt"].decode("ascii", "replace").split()
    return pairs[0], pairs[1], names


def _pickled(files: dict[str, bytes], kind: str, source: str) -> tuple[Pair, Pair, list[str]]:
    pairs = []
    for part, rows in ROWS.items():
        where = f"{part} of {source}"
        batch = read_pickled_arrays(files[part], where)
        pixels, labels = batch.get(b"data"), batch.get(f"{kind}_labels".encode())
        if not isinstance(pixels, np.ndarray) or pixels.shape != (rows, 3072) or pixels.dtype != np.uint8:
            raise DataError(f"{where} is not a CIFAR batch: its data are not {rows} x 3072 bytes.")
        if not isinstance(labels, list) or len(labels) != rows or not all(type(v) is int for v in labels):
            raise DataError(f"{where} is not a CIFAR batch: its {kind} labels are not {rows} integers.")
        pairs.append((images_of(pixels), np.array(labels, np.int64)))
    names = read_pickled_arrays(files["meta"], f"meta of {source}").get(f"{kind}_label_names".encode())
    if not isinstance(names, list) or not all(isinstance(name, bytes | str) for name in names):
        raise DataError(f"meta of {source} holds no names of {kind} classes.")
    return pairs[0], pairs[1], [n.decode("ascii", "replace") if isinstance(n, bytes) else n for n in names]
