"""Read arrays from .npz files, without unpickling anything."""

from __future__ import annotations

import lzma
import math
import struct
import tokenize
import zipfile
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ntkrun.datasets.fetch import DAMAGED

# numpy parses a header as Python literals
UNREADABLE = (*DAMAGED, lzma.LZMAError, struct.error, tokenize.TokenError, SyntaxError)


def read_npz(path: Path, wanted: Collection[str]) -> tuple[dict[str, np.ndarray], list[str]]:
    """Return those of the `wanted` arrays that an .npz holds, and the names of all that it holds.

    Raises one of UNREADABLE for a file that is damaged, or whose arrays are objects.
    """
    headers(path, wanted)
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in wanted if name in file.files}, file.files


@dataclass(frozen=True)
class Header:
    """Form of an array in an .npz: the name of its member, shape, type, and whether columns come first."""

    member: str
    shape: tuple[int, ...]
    dtype: np.dtype
    fortran: bool

    @property
    def bytes(self) -> int:
        """Bytes of the array in memory."""
        return math.prod(self.shape) * self.dtype.itemsize


def headers(path: Path, wanted: Collection[str]) -> dict[str, Header]:
    """Return the forms of those of the `wanted` arrays that an .npz holds.

    Raises one of UNREADABLE if a header promises more than the file holds, before memory is allocated.
    """
    out = {}
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            name = info.filename.removesuffix(".npy")
            if name not in wanted:
                continue
            with archive.open(info) as file:
                version = np.lib.format.read_magic(file)
                read = getattr(np.lib.format, f"read_array_header_{version[0]}_0", None)
                if read is None:
                    raise ValueError(f"{info.filename} has an unknown format {version}")
                shape, fortran, dtype = read(file)
            out[name] = Header(info.filename, shape, dtype, fortran)
            if out[name].bytes > info.file_size:
                raise ValueError(f"{info.filename} promises shape {shape} in {info.file_size} bytes")
    return out


def stream(path: Path, header: Header, rows: int) -> Iterator[np.ndarray]:
    """Yield the array of an .npz, `rows` rows at a time; one of UNREADABLE if it is damaged.

    The array is in C order and holds no objects.
    """
    row = header.bytes // header.shape[0]
    with zipfile.ZipFile(path) as archive, archive.open(header.member) as file:
        version = np.lib.format.read_magic(file)
        getattr(np.lib.format, f"read_array_header_{version[0]}_0")(file)
        for start in range(0, header.shape[0], rows):
            count = min(rows, header.shape[0] - start)
            data = file.read(count * row)
            if len(data) < count * row:
                raise EOFError(f"{header.member} ends at row {start + len(data) // row}")
            yield np.frombuffer(data, header.dtype).reshape(count, *header.shape[1:])
