"""Read arrays from .npz files, without unpickling anything."""

from __future__ import annotations

import lzma
import math
import struct
import tokenize
import zipfile
from collections.abc import Collection
from pathlib import Path

import numpy as np

from ntkrun.datasets.fetch import DAMAGED

# numpy parses a header as Python literals
UNREADABLE = (*DAMAGED, lzma.LZMAError, struct.error, tokenize.TokenError, SyntaxError)


def read_npz(path: Path, wanted: Collection[str]) -> tuple[dict[str, np.ndarray], list[str]]:
    """Return those of the `wanted` arrays that an .npz holds, and the names of all that it holds.

    Raises one of UNREADABLE for a file that is damaged, or whose arrays are objects.
    """
    _believable(path, wanted)
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in wanted if name in file.files}, file.files


def _believable(path: Path, wanted: Collection[str]) -> None:
    """Raise ValueError if a header promises more than the file holds, before memory is allocated."""
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            if info.filename.removesuffix(".npy") not in wanted:
                continue
            with archive.open(info) as file:
                version = np.lib.format.read_magic(file)
                read = getattr(np.lib.format, f"read_array_header_{version[0]}_0", None)
                if read is None:
                    raise ValueError(f"{info.filename} has an unknown format {version}")
                shape, _, dtype = read(file)
            if math.prod(shape) * dtype.itemsize > info.file_size:
                raise ValueError(f"{info.filename} promises shape {shape} in {info.file_size} bytes")
