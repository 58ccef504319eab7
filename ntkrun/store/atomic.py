"""Write files that are complete or absent, even after a kill or a power cut."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ntkrun.errors import MachineError
from ntkrun.store.modes import umask, why

TEMPORARY = ".tmp-"


def make_folder(path: Path, key: str = "output_dir") -> None:
    """Make a folder with its parents, if it is absent; MachineError, which names `key`, if that fails."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MachineError(f"{path} could not be made: {why(path, error)}. Choose another {key}.") from error


def write_atomic(path: Path, data: bytes | memoryview | Iterable[bytes]) -> None:
    """Write `data`, or its pieces in order, to `path`: temporary file, fsync, rename, fsync of the folder.

    Raises MachineError (disk full, permission, ...); then the temporary file is removed and an older file
    at `path` is unchanged.
    """
    temporary: str | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=TEMPORARY, dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            for piece in [data] if isinstance(data, bytes | memoryview) else data:
                file.write(piece)
            file.flush()
            os.fchmod(file.fileno(), 0o666 & ~umask())  # mkstemp makes it private
            os.fsync(file.fileno())
        os.replace(temporary, path)
        temporary = None
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise MachineError(
            f"{path} could not be written: {why(path.parent, error)}. "
            "Free space or choose another output_dir."
        ) from error
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):
                os.unlink(temporary)


def append(path: Path, data: bytes, sync: bool) -> None:
    """Append `data` to a file that is there; with `sync`, wait until the disk has the file.

    Raises MachineError; then the file has its old length, unless the system fails to cut it, too.
    """
    try:
        handle = os.open(path, os.O_WRONLY | os.O_APPEND)
        try:
            length, rest = os.fstat(handle).st_size, memoryview(data)
            try:
                while rest:
                    rest = rest[os.write(handle, rest) :]
                if sync:
                    os.fsync(handle)
            except OSError:
                with contextlib.suppress(OSError):
                    os.ftruncate(handle, length)
                raise
        finally:
            os.close(handle)
    except OSError as error:
        raise MachineError(
            f"{path} could not be written: {why(path, error)}. Free space or choose another output_dir."
        ) from error


def write_json(path: Path, document: Any) -> None:
    """Write a JSON document with `write_atomic`; values that JSON does not know become strings."""
    write_atomic(path, (json.dumps(document, indent=2, default=str) + "\n").encode())


def remove_temporaries(folder: Path) -> None:
    """Delete the temporary files of killed writers in `folder`; call it only under the folder's lock."""
    for leftover in folder.glob(TEMPORARY + "*"):
        leftover.unlink(missing_ok=True)
