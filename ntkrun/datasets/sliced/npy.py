"""Arrays in .npy files, read by the slice."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ntkrun.datasets.sliced.stored import Stored


class NpyArray(Stored):
    """Array of an .npy file in C order.

    Rows are read, not mapped: mapped pages would count as memory of every process that has touched them.

    Parameters
    ----------
    path : Path
    name : str
        Name of the array in messages.
    array : memmap
        The array as numpy found it in the file.
    """

    def __init__(self, path: Path, name: str, array: np.memmap):
        self.offset, self.stored = array.offset, array.dtype
        super().__init__(path, name, array.shape, array.dtype.newbyteorder("="))

    def read(self, start: int, stop: int) -> np.ndarray:
        """See Stored."""
        row = self.stored.itemsize * int(np.prod(self.shape[1:], dtype=np.int64))
        with self.path.open("rb") as file:
            file.seek(self.offset + start * row)
            data = file.read((stop - start) * row)
        return np.frombuffer(data, self.stored).reshape(-1, *self.shape[1:])
