"""Data set from the user's arrays in one .npz file."""

from __future__ import annotations

import lzma
import math
import struct
import tokenize
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ntkrun.datasets.base import ArraySource
from ntkrun.datasets.fetch import DAMAGED
from ntkrun.datasets.split import Split
from ntkrun.errors import DataError, must_be
from ntkrun.store.paths import as_path

# numpy parses a header as Python literals
UNREADABLE = (*DAMAGED, lzma.LZMAError, struct.error, tokenize.TokenError, SyntaxError)
KEYS = ("x_train", "y_train", "x_test", "y_test")


@dataclass(frozen=True, kw_only=True)
class Npz(ArraySource):
    """Arrays x_train, y_train, x_test, y_test from `path`: rows (n, d) or images, see `layout`.

    Parameters
    ----------
    path : str
    """

    name = "npz"

    path: str | None = None

    def problems(self) -> list[str]:
        """Return one sentence for every wrong parameter."""
        out = super().problems()
        if not self.path:
            out.append(must_be("path", "Npz", "a .npz file", self.path, "Set dataset.path=FILE."))
        return out

    def load(self) -> Split:
        """Return the split, without unpickling anything; DataError if the file is not readable."""
        path = as_path(str(self.path))
        if not path.is_file():
            raise DataError(must_be("path", "Npz", "an existing file", str(path)))
        try:
            _believable(path)
            with np.load(path, allow_pickle=False) as file:
                missing = [k for k in KEYS if k not in file.files]
                if missing:
                    raise DataError(
                        must_be("path", "Npz", f"a file with the arrays {', '.join(KEYS)}", file.files)
                    )
                arrays = [file[k] for k in KEYS]
        except UNREADABLE as error:
            raise DataError(
                f"{path} is not a readable .npz file of plain arrays: {error}".splitlines()[0]
            ) from error
        return self.split(path.stem, *(a.astype(a.dtype.newbyteorder("=")) for a in arrays))


def _believable(path: Path) -> None:
    """Raise ValueError if a header promises more than the file holds, before memory is allocated."""
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            if info.filename.removesuffix(".npy") not in KEYS:
                continue
            with archive.open(info) as file:
                version = np.lib.format.read_magic(file)
                read = getattr(np.lib.format, f"read_array_header_{version[0]}_0", None)
                if read is None:
                    raise ValueError(f"{info.filename} has an unknown format {version}")
                shape, _, dtype = read(file)
            if math.prod(shape) * dtype.itemsize > info.file_size:
                raise ValueError(f"{info.filename} promises shape {shape} in {info.file_size} bytes")
