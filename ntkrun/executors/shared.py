"""Share one object among many tasks: written once, read once by each worker."""

from __future__ import annotations

import functools
import hashlib
import os
import pickle
import tempfile
from pathlib import Path
from typing import Any

from ntkrun.errors import IntegrityError, MachineError
from ntkrun.store.atomic import TEMPORARY


class Shared:
    """Object that pickles as the name and checksum of a file; the file is removed with the context.

    Parameters
    ----------
    value : object
    folder : Path
        Folder of the file, visible to all workers.
    """

    def __init__(self, value: Any, folder: Path):
        self._value, self._folder = value, folder
        self._file: tuple[str, str] | None = None

    def __enter__(self) -> Shared:
        return self

    def __exit__(self, *error: Any) -> None:
        if self._file:
            Path(self._file[0]).unlink(missing_ok=True)

    @property
    def value(self) -> Any:
        """The object."""
        return self._value

    def __reduce__(self) -> tuple[Any, ...]:
        if self._file is None:
            data = pickle.dumps(self._value, protocol=5)
            try:
                handle, name = tempfile.mkstemp(prefix=TEMPORARY + "shared-", dir=self._folder)
                with os.fdopen(handle, "wb") as file:
                    file.write(data)
            except OSError as error:
                raise MachineError(f"{self._folder} could not be written: {error.strerror}.") from error
            self._file = name, hashlib.sha256(data).hexdigest()
        return _read, self._file


@functools.lru_cache(maxsize=2)
def _read(name: str, sha256: str) -> Shared:
    data = Path(name).read_bytes()
    if hashlib.sha256(data).hexdigest() != sha256:
        raise IntegrityError(f"{name} is not what was written for the workers. Run the same command again.")
    return Shared(pickle.loads(data), Path(name).parent)
