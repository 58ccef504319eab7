"""Read members of a tar archive without extracting it.

On Python 3.11 tarfile's `data` filter can be bypassed, and pooch does not ask for it there. This reads only
regular files of expected names and sizes, straight into memory.
"""

from __future__ import annotations

import gzip
import io
import pickle
import pickletools
import tarfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from ntkrun.errors import DataError

BESIDES = 16 << 20  # usual bytes beyond the wanted members: headers, a readme


def read_members(path: Path, sizes: dict[str, tuple[int, int]], besides: int = BESIDES) -> dict[str, bytes]:
    """Return the bytes of the members named in `sizes` that the archive holds.

    Raises DataError for an unreadable archive, a link or a wrong size. Stops once all are read.

    Parameters
    ----------
    path : Path
        A .tar or .tar.gz file.
    sizes : dict
        Member name -> (smallest, largest) size in bytes.
    besides : int
        Bytes that all other members may take.
    """
    found: dict[str, bytes] = {}
    limit = sum(high for _, high in sizes.values()) + besides
    try:
        with _Bounded(path, limit) as stream, tarfile.open(fileobj=stream, mode="r|") as tar:  # type: ignore[call-overload]
            for member in tar:
                name = member.name.removeprefix("./")
                if name not in sizes:
                    continue
                low, high = sizes[name]
                if not member.isreg() or not low <= member.size <= high or name in found:
                    raise DataError(
                        f"{path}: member {name} is not a single regular file of {low}..{high} bytes."
                    )
                source = tar.extractfile(member)
                data = source.read(high + 1) if source else b""
                if len(data) != member.size:
                    raise DataError(f"{path}: member {name} ends early. Get the archive again.")
                found[name] = data
                if len(found) == len(sizes):
                    break
    except (tarfile.TarError, OSError, EOFError, ValueError, RecursionError, zlib.error) as error:
        if isinstance(error, DataError):
            raise
        first = "".join(str(error).splitlines()[:1])
        raise DataError(f"{path} is not a readable tar archive: {first}. Get it again.") from error
    return found


class _Bounded:
    """Stream of a .tar or .tar.gz file; DataError after `limit` bytes, in headers too, stops bombs."""

    def __init__(self, path: Path, limit: int):
        with path.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
        self._file = gzip.open(path) if packed else path.open("rb")  # noqa: SIM115
        self._path, self._left = path, limit

    def __enter__(self) -> _Bounded:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def read(self, size: int) -> bytes:
        data = self._file.read(size)
        self._left -= len(data)
        if self._left < 0:
            raise DataError(f"{self._path} unpacks to more than its members take. Get the archive again.")
        return data


class _Array:
    """Placeholder for numpy.ndarray: a pickle may name it, not call it."""


class _ArraysOnly(pickle.Unpickler):
    """Unpickler that allows only the three names needed to rebuild a plain numpy array."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("numpy", "ndarray"):
            return _Array
        if (module, name) == ("numpy", "dtype"):
            return np.dtype
        if module in ("numpy.core.multiarray", "numpy._core.multiarray") and name == "_reconstruct":
            return _reconstruct
        raise pickle.UnpicklingError(f"{module}.{name} is not allowed")


def _reconstruct(cls: object, shape: object, code: object) -> np.ndarray:
    # numpy's own takes any array subclass; this only an empty plain array, which the pickle then fills
    if cls is not _Array or shape != (0,):
        raise pickle.UnpicklingError("only plain arrays are allowed")
    return np.ndarray((0,), np.int8)


def read_pickled_arrays(data: bytes, source: str) -> dict[bytes, Any]:
    """Return the dict of a CIFAR "python" batch; DataError if it holds more than arrays and built-ins."""
    try:
        for opcode, argument, _ in pickletools.genops(data):
            # the unpickler allocates every memo up to the index in the file
            if "PUT" in opcode.name and int(argument or 0) > len(data):
                raise pickle.UnpicklingError("a memo out of range")
        out = _ArraysOnly(io.BytesIO(data), encoding="bytes").load()
    # a hostile pickle can raise nearly anything
    except Exception as error:
        first = str(error).splitlines()[:1]
        raise DataError(
            f"{source} is not a CIFAR batch: {type(error).__name__}: {''.join(first)}."
        ) from error
    if not isinstance(out, dict):
        raise DataError(f"{source} is not a CIFAR batch: it holds a {type(out).__name__}.")
    return out
