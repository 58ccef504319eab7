"""An array in a file, read block by block, each block checked against its first reading."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import numpy as np

from ntkrun.datasets.fetch import DAMAGED
from ntkrun.datasets.rows import BLOCK_BYTES
from ntkrun.errors import DataError, IntegrityError

IN_MEMORY = 512 << 20  # bytes of inputs up to which other files than HDF5 are read whole
DIGEST = 32  # bytes of a sha256
UNKNOWN = bytes(DIGEST)
# a file may force larger blocks than BLOCK_BYTES, as packed chunks are read whole
LARGEST_BLOCK = 128 << 20


class Stored(ABC):
    """Array (n, ...) in a file. It pickles as the path, the form and the hashes, without the numbers.

    The hash of a block is that of its first reading; if a later reading, in any process, gives other bytes,
    or if the file has another size or time of change, IntegrityError is raised.

    Parameters
    ----------
    path : Path
    name : str
        Name of the array in messages.
    shape : tuple of int
    dtype : numpy.dtype
        Number type of `block`, in the byte order of this machine.
    step : int
        Rows that are cheap to read together: blocks are a multiple of it.
    """

    def __init__(self, path: Path, name: str, shape: tuple[int, ...], dtype: np.dtype, step: int = 1):
        self.path, self.name, self.shape, self.dtype = path, name, shape, dtype
        bytes_per_row = max(1, int(np.prod(shape[1:], dtype=np.int64)) * dtype.itemsize)
        self.rows = max(1, BLOCK_BYTES // bytes_per_row // step) * step
        self.hashes = bytearray(DIGEST * -(-shape[0] // self.rows))
        self.state = self._now()
        self._last: tuple[int, np.ndarray] | None = None

    @abstractmethod
    def read(self, start: int, stop: int) -> np.ndarray:
        """Return rows start..stop as the file has them; one of DAMAGED if it cannot be read."""

    def block(self, number: int) -> np.ndarray:
        """Return rows number * self.rows .. (number + 1) * self.rows, which must not be written to.

        Raises DataError if a first reading fails, and IntegrityError for a file that has changed since.
        """
        if self._last is not None and self._last[0] == number:
            return self._last[1]
        at = slice(DIGEST * number, DIGEST * (number + 1))
        start, stop = number * self.rows, min((number + 1) * self.rows, self.shape[0])
        if self._now() != self.state:
            raise IntegrityError(f"{self._whose()} has been replaced or written to. {AGAIN}")
        known = bytes(self.hashes[at])
        try:
            data = np.ascontiguousarray(self.read(start, stop).astype(self.dtype, copy=False))
            if data.shape != (stop - start, *self.shape[1:]):
                raise ValueError(f"they have shape {data.shape}")
        except DAMAGED as error:
            reason = (str(error) or type(error).__name__).splitlines()[0]
            text = f"rows {start} to {stop - 1} of {self.name} in {self.path} cannot be read: {reason}."
            raise (DataError if known == UNKNOWN else IntegrityError)(text) from error
        digest = hashlib.sha256(data.reshape(-1).view(np.uint8).data).digest()
        if known == UNKNOWN:
            self.hashes[at] = digest
        elif known != digest:
            raise IntegrityError(
                f"rows {start} to {stop - 1} of {self.name} in {self.path} are not those that the run began "
                f"with: the file has been written to, or its disk is failing. {AGAIN}"
            )
        self._last = number, data
        return data

    def _whose(self) -> str:
        return f"{self.path}, which the run reads {self.name} from,"

    def _now(self) -> tuple[int, int]:
        """Return size and time of change; IntegrityError if the file is gone."""
        try:
            about = self.path.stat()
        except OSError as error:
            raise IntegrityError(f"{self._whose()} cannot be read: {error.strerror}. {AGAIN}") from error
        return about.st_size, about.st_mtime_ns

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_last": None}


AGAIN = "Run the same command again."
