"""Arrays in HDF5 files, read by the slice."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ntkrun.datasets.fetch import DAMAGED
from ntkrun.datasets.sliced.stored import LARGEST_BLOCK, Stored
from ntkrun.errors import DataError, few, must_be


class Hdf5Array(Stored):
    """Dataset of an HDF5 file, which is opened by its path in each process.

    Parameters
    ----------
    path : Path
    name : str
        Dataset, "x" or "group/x". DataError for one that is absent, incomplete, elsewhere, no array of
        numbers, or packed so that this h5py cannot read it by the slice.
    """

    def __init__(self, path: Path, name: str):
        with opened(path) as file:
            found = dataset(file, path, name)
            _complete(found, path, name)
            step = _step(found, path, name)
            dtype = found.dtype.newbyteorder("=")
            super().__init__(path, name, found.shape, dtype, step)
        self._file: Any = None

    def read(self, start: int, stop: int) -> np.ndarray:
        """See Stored."""
        if self._file is None:
            self._file = _open(self.path)
        return self._file[self.name][start:stop]

    def __getstate__(self) -> dict[str, Any]:
        return super().__getstate__() | {"_file": None}


# h5py cannot name every type of HDF5 in numpy
UNREADABLE = (*DAMAGED, TypeError)


def _open(path: Path) -> h5py.File:
    # without locks on a read-only disk, and one that is being written to is refused
    return h5py.File(path, "r", locking="best-effort")


@contextmanager
def opened(path: Path) -> Iterator[h5py.File]:
    """Open a file to look into it; DataError if it is no HDF5 file, is truncated, or is being written."""
    try:
        file = _open(path)
    except UNREADABLE as error:
        remedy = "Copy it again." if "truncated" in str(error) else ""
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise DataError(f"{path} is not a readable HDF5 file: {reason}. {remedy}".rstrip()) from error
    with file:
        yield file


def labels(path: Path, name: str) -> np.ndarray:
    """Return the labels of a dataset, numbers or words, as an array (n,) or (n, k) in memory."""
    with opened(path) as file:
        found = dataset(file, path, name)
        try:
            if h5py.check_string_dtype(found.dtype):
                return np.array(found.asstr(errors="replace")[...].astype(str))
            numbers(found, path, name)
            return found[...].astype(found.dtype.newbyteorder("="), copy=False)
        except DataError:
            raise
        except UNREADABLE as error:
            raise DataError(f"{name} in {path} cannot be read: {str(error).splitlines()[0]}.") from error


def names(file: h5py.File) -> list[str]:
    """Return the datasets of a file with their shapes, as a message shows them."""
    found: list[str] = []

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            found.append(f"{name} {item.shape}")

    try:
        file.visititems(visit)
    except UNREADABLE:
        found.append("others that cannot be read")
    return found


def dataset(file: h5py.File, path: Path, name: str) -> h5py.Dataset:
    """Return a dataset that the file itself stores; DataError for any other."""
    owner, parts, at = path.name, [part for part in name.split("/") if part], file
    try:
        for part in parts:
            link = at.get(part, getlink=True) if isinstance(at, h5py.Group) else None
            if isinstance(link, h5py.SoftLink | h5py.ExternalLink):
                leads = getattr(link, "filename", "") + ":" * isinstance(link, h5py.ExternalLink) + link.path
                raise DataError(must_be(name, owner, "stored in the file itself", f"a link to {leads}", COPY))
            at = at[part] if link is not None else None
        if not isinstance(at, h5py.Dataset):
            constraint = "a dataset of the file"
            raise DataError(must_be(name, owner, constraint, few(names(file)) or "an empty file"))
        if at.is_virtual or at.external:
            kind = "a virtual dataset" if at.is_virtual else f"numbers in {at.external[0][0]}"
            raise DataError(must_be(name, owner, "stored in the file itself", kind, COPY))
        shape, _ = at.shape, at.dtype  # some types have no name in numpy
    except DataError:
        raise
    except UNREADABLE as error:
        raise DataError(f"{name} in {path} cannot be read: {str(error).splitlines()[0]}.") from error
    if shape is None or not shape:
        raise DataError(must_be(name, owner, "an array (n, ...)", "no array" if shape is None else shape))
    return at


def numbers(found: h5py.Dataset, path: Path, name: str) -> None:
    """Raise DataError unless a dataset holds real numbers."""
    if found.dtype.kind not in "buif" or found.dtype.subdtype:
        held = "words" if h5py.check_string_dtype(found.dtype) else str(found.dtype)
        raise DataError(must_be(name, path.name, "of real numbers", held))


def _complete(found: h5py.Dataset, path: Path, name: str) -> None:
    """Raise DataError if rows were declared that nobody has written: they would read as zeros."""
    numbers(found, path, name)
    need = math.prod(found.shape) * found.dtype.itemsize
    if found.chunks is None:
        complete = found.id.get_storage_size() >= need
    else:
        grid = math.prod(-(-n // c) for n, c in zip(found.shape, found.chunks, strict=True))
        complete = found.id.get_num_chunks() >= grid
    if not complete:
        got = f"shape {found.shape}, of which {found.id.get_storage_size():,} bytes are written"
        raise DataError(must_be(name, path.name, "wholly written", got, "Write the rows, or cut the shape."))


def _step(found: h5py.Dataset, path: Path, name: str) -> int:
    """Return the rows of a chunk; DataError if chunks cannot be unpacked, or only with much memory."""
    if found.chunks is None:
        return 1
    plist = found.id.get_create_plist()
    filters = [plist.get_filter(i) for i in range(plist.get_nfilters())]
    for code, _, _, title in filters:
        if not h5py.h5z.filter_avail(code):
            label = title.decode("utf-8", "replace") or "?"
            remedy = f"h5repack -f GZIP=1 {path.name} NEW.h5 makes a file that it reads."
            raise DataError(
                must_be(name, path.name, "packed by a filter that h5py has", f"{label} ({code})", remedy)
            )
    chunk = found.chunks[0] * math.prod(found.shape[1:]) * found.dtype.itemsize
    if not filters:
        return found.chunks[0] if chunk <= LARGEST_BLOCK else 1
    if chunk > LARGEST_BLOCK:
        constraint = f"in chunks of at most {LARGEST_BLOCK >> 20} MiB, as a packed chunk is read whole"
        row = ",".join(map(str, (1024, *found.shape[1:]))).replace(",", "x")
        remedy = f"h5repack -l {name}:CHUNK={row} {path.name} NEW.h5 cuts it."
        got = f"chunks {found.chunks} of {found.shape}"
        raise DataError(must_be(name, path.name, constraint, got, remedy))
    return found.chunks[0]


COPY = "Copy the numbers into it."
