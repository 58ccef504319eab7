"""Share one object among many tasks: written once, read once by each worker."""

from __future__ import annotations

import functools
import hashlib
import mmap
import os
import pickle
import tempfile
from pathlib import Path
from typing import Any

from ntkrun.errors import IntegrityError, MachineError
from ntkrun.store.atomic import TEMPORARY

LARGE = 1 << 20  # bytes of an array from which on workers map it
ALIGNED = 64  # bytes


class Shared:
    """Object that pickles as the name and checksum of a file; the file is removed with the context.

    Large arrays in it are not copied: workers map the file, so that those of one machine share its pages, and
    only what a worker touches comes into its memory.

    Parameters
    ----------
    value : object
    folder : Path
        Folder of the file, visible to all workers.
    """

    def __init__(self, value: Any, folder: Path):
        self._value, self._folder = value, folder
        self._file: tuple[str, str, tuple[tuple[int, int], ...]] | None = None

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
            large: list[memoryview] = []

            def inside(buffer: pickle.PickleBuffer) -> bool:
                """Return whether an array goes into the pickle itself."""
                if buffer.raw().nbytes >= LARGE:
                    large.append(buffer.raw())
                    return False
                return True

            data = pickle.dumps(self._value, protocol=5, buffer_callback=inside)
            try:
                handle, name = tempfile.mkstemp(prefix=TEMPORARY + "shared-", dir=self._folder)
                with os.fdopen(handle, "wb") as file:
                    digest, places = hashlib.sha256(), []
                    for part in (memoryview(data), *large):
                        places.append((file.tell(), part.nbytes))
                        for piece in (part, bytes(-part.nbytes % ALIGNED)):
                            file.write(piece)
                            digest.update(piece)
            except OSError as error:
                raise MachineError(f"{self._folder} could not be written: {error.strerror}.") from error
            self._file = name, digest.hexdigest(), tuple(places)
        return _read, self._file


@functools.lru_cache(maxsize=2)
def _read(name: str, sha256: str, places: tuple[tuple[int, int], ...]) -> Shared:
    with Path(name).open("rb") as file:
        sound = hashlib.file_digest(file, "sha256").hexdigest() == sha256
        if not sound:
            raise IntegrityError(
                f"{name} is not what was written for the workers. Run the same command again."
            )
        # private: nothing that a worker writes comes into the file
        mapped = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY))
    data, *large = (mapped[start : start + size] for start, size in places)
    return Shared(pickle.loads(data, buffers=large), Path(name).parent)
