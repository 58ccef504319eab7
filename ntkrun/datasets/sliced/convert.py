"""Convert a large file once, by the chunk, into an HDF5 file that is read by the slice."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ntkrun.datasets.rows import BLOCK_BYTES
from ntkrun.errors import MachineError
from ntkrun.store import lock
from ntkrun.store.atomic import TEMPORARY, make_folder, remove_temporaries, write_json
from ntkrun.store.modes import umask, why

log = logging.getLogger(__name__)

VERSION = 1
DATA, RECORD = "data.h5", "record.json"


def converted(
    source: Path, form: Any, cache: Path, write: Callable[[h5py.File], dict[str, Any]]
) -> tuple[Path, dict[str, Any]]:
    """Return the file that `write` makes of a source, and the record that it returns.

    The file is kept in `cache` under the name, size and time of change of the source and under `form`. One
    process at a time makes it; a kill leaves nothing that is taken for it. Its checksum is compared before
    each use, and a damaged one is made again.

    Parameters
    ----------
    source : Path
    form : JSON
        Everything else that decides the content.
    cache : Path
    write : callable
        Fills the open file. What it raises leaves nothing behind.

    Raises
    ------
    MachineError
        If the file cannot be written.
    """
    about = source.stat()
    key = json.dumps([VERSION, source.name, about.st_size, about.st_mtime_ns, form], sort_keys=True)
    place = cache / hashlib.sha256(key.encode()).hexdigest()[:32]
    make_folder(place, "data_dir")
    with lock.held(place / ".lock", "data_dir"):
        remove_temporaries(place)
        if (record := _kept(place)) is None:
            log.info("data       %s is converted once, to %s", source.name, place / DATA)
            record = _made(place, write)
    return place / DATA, record


def _kept(place: Path) -> dict[str, Any] | None:
    """Return the record of a sound file; None without one."""
    try:
        document = json.loads((place / RECORD).read_text())
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        document = {}
    try:
        if _digest(place / DATA) == document["sha256"]:
            return dict(document["record"])
    except (OSError, KeyError, TypeError, ValueError):
        pass
    log.warning("data       the converted file in %s is damaged and is made again", place)
    return None


def _made(place: Path, write: Callable[[h5py.File], dict[str, Any]]) -> dict[str, Any]:
    with _replacing(place / DATA) as temporary:
        with h5py.File(temporary, "w", libver="latest") as file:
            record = write(file)
        sha256 = _digest(temporary)
    write_json(place / RECORD, {"sha256": sha256, "record": record})
    return record


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """Yield the path of a temporary file that replaces `path` at the end, if no error comes."""
    temporary: Path | None = None
    try:
        handle, name = tempfile.mkstemp(prefix=TEMPORARY, dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        temporary.chmod(0o666 & ~umask())
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
        temporary = None
    except (OSError, RuntimeError) as error:  # h5py raises both
        reason = why(path.parent, error) if isinstance(error, OSError) else str(error).splitlines()[0]
        remedy = "Free space or set data_dir=DIR."
        raise MachineError(f"{path} could not be written: {reason}. {remedy}") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Growing:
    """Dataset of an HDF5 file to which rows are appended.

    Parameters
    ----------
    file : h5py.File
    name : str
    shape : tuple of int
        Shape of a row.
    dtype : numpy.dtype
    """

    def __init__(self, file: h5py.File, name: str, shape: tuple[int, ...], dtype: Any):
        row = max(1, int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize)
        chunks = (max(1, BLOCK_BYTES // row), *shape)
        self._data = file.create_dataset(
            name, (0, *shape), dtype, chunks=chunks, maxshape=(None, *shape), track_times=False
        )

    def append(self, rows: np.ndarray) -> None:
        """Append rows (k, ...)."""
        n = self._data.shape[0]
        self._data.resize(n + len(rows), axis=0)
        self._data[n:] = rows
