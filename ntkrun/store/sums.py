"""Keep the sums of a ridge regression in files: whole or absent, checked before use.

    <root>/<key>/<spec>-00017-of-00280.sums     the sums over the first 17 of 280 groups of shards

A file is one line of JSON, the arrays of the sums and the sha256 of all that. Only the lower triangle of the
Gram matrix is written.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import stat
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ntkrun.errors import IntegrityError
from ntkrun.maths.ridge.normal import NormalEquations
from ntkrun.store.atomic import write_atomic
from ntkrun.store.shards import content_key

log = logging.getLogger(__name__)

SUFFIX = ".sums"
NAME = re.compile(r"([0-9a-f]{24})-(\d{5,})-of-(\d{5,})\.sums")
FORMAT = 1  # raise it if the sums of the same features change
FILES = 5  # most at a time: two that last, two that pass, one being written
SECONDS = 30.0  # of work between two files
ROWS = 256  # of the Gram matrix, written at a time
SHARE = 0.1  # most of the time that writing may take


@dataclass(frozen=True)
class Kept:
    """Sums over the first `count` groups; `seconds` is the time to compute them, `rounded` if in float32."""

    sums: NormalEquations
    count: int
    seconds: float
    rounded: bool


class SumsFolder:
    """The sums of one sequence of groups, as far as they are known.

    Only the holder of the folder's lock may use it.

    Parameters
    ----------
    folder : Path
        <root>/<key>, where the key is that of the features.
    spec : dict
        What else determines the sums.
    groups : int
        Number of groups.
    lasting : sequence of int
        Counts whose sums are kept for later runs. Of others the last two files stay, so that one may rot.
    """

    def __init__(self, folder: Path, spec: dict[str, Any], groups: int, lasting: Sequence[int]):
        self.folder, self.groups, self.lasting = folder, groups, lasting
        self._spec = content_key({"sums": FORMAT, "features": folder.name, **spec})
        self._due = time.monotonic() + SECONDS

    def newest(self, first: int, last: int, device: torch.device) -> Kept | None:
        """Return the sums over most groups, of first..last; None if there are none. Damage is logged."""
        for count in sorted(self._counts(), reverse=True):
            if first <= count <= last:
                try:
                    kept = read(self._path(count), device)
                except IntegrityError as error:
                    log.warning("%s It is not used.", error)
                    continue
                if count in self.lasting:  # a writer that was killed may have left some
                    self._remove([other for other in self._passing() if other < count])
                return kept
        return None

    def wants(self, count: int) -> bool:
        """Return whether the sums over so many groups are worth a file: they are to last, or it is time."""
        return count in self.lasting or time.monotonic() >= self._due

    def write(self, kept: Kept) -> None:
        """Write the sums; MachineError if that fails."""
        now = time.monotonic()
        path = self._path(kept.count)
        write_atomic(path, _parts(kept, path.name))
        took = time.monotonic() - now
        self._due = now + took + max(SECONDS, took / SHARE)
        self._remove(self._passing()[: None if kept.count in self.lasting else -2])

    def _passing(self) -> list[int]:
        return sorted(count for count in self._counts() if count not in self.lasting)

    def _remove(self, counts: Sequence[int]) -> None:
        for count in counts:
            self._path(count).unlink(missing_ok=True)

    def _path(self, count: int) -> Path:
        return self.folder / f"{self._spec}-{count:05d}-of-{self.groups:05d}{SUFFIX}"

    def _counts(self) -> list[int]:
        names = [NAME.fullmatch(path.name) for path in self.folder.glob(f"{self._spec}-*{SUFFIX}")]
        return [int(found[2]) for found in names if found and int(found[3]) == self.groups]


def sums_bytes(columns: int, targets: int) -> int:
    """Return the bytes of one file, without its first line."""
    return 4 * columns * (columns + 1) + 8 * (columns * (targets + 1) + 2 * targets) + 32


def read(path: Path, device: torch.device | str = "cpu") -> Kept:
    """Return the sums in a file; IntegrityError if it is not as it was written."""
    try:
        if not stat.S_ISREG(path.lstat().st_mode):
            raise IntegrityError(f"{path} is not a regular file. Remove it.")
        data = memoryview(path.read_bytes())
    except OSError as error:
        raise IntegrityError(f"{path} cannot be read: {error.strerror}.") from error
    if hashlib.sha256(data[:-32]).digest() != data[-32:]:
        raise IntegrityError(f"{path} does not have its recorded checksum.")
    try:
        return _restored(path, data, device)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise IntegrityError(f"{path} does not hold sums: {error}.") from error


def _restored(path: Path, data: memoryview, device: torch.device | str) -> Kept:
    begin = bytes(data[: 1 << 12]).index(b"\n") + 1
    head = json.loads(bytes(data[:begin]))
    m, k = int(head["columns"]), int(head["targets"])
    if head["name"] != path.name or begin + sums_bytes(m, k) != len(data):
        raise ValueError("its first line does not fit the rest")
    values, at = np.frombuffer(data[begin:-32], dtype="<f8"), 0

    def take(*shape: int) -> torch.Tensor:
        nonlocal at
        size = int(np.prod(shape))
        at += size
        return torch.from_numpy(values[at - size : at].reshape(shape).copy()).to(device)

    sums = NormalEquations()
    sums.n = head["n"]
    sums.mean_z, sums.mean_y, sums.square_y, sums.cross = take(m), take(k), take(k), take(m, k)
    gram = np.zeros((m, m))
    for row in range(m):
        gram[row, : row + 1] = values[at : at + row + 1]
        at += row + 1
    sums.gram = torch.from_numpy(gram).to(device)
    return Kept(sums, int(head["count"]), float(head["seconds"]), bool(head["rounded"]))


def _parts(kept: Kept, name: str) -> Iterator[bytes]:
    """Yield the content of a file, piece by piece."""
    digest = hashlib.sha256()
    for part in _content(kept, name):
        digest.update(part)
        yield part
    yield digest.digest()


def _content(kept: Kept, name: str) -> Iterator[bytes]:
    sums = kept.sums
    (m, k), facts = sums.cross.shape, {"count": kept.count, "seconds": kept.seconds, "rounded": kept.rounded}
    yield json.dumps({"name": name, "columns": m, "targets": k, "n": sums.n, **facts}).encode() + b"\n"
    for array in (sums.mean_z, sums.mean_y, sums.square_y, sums.cross):
        yield array.cpu().numpy().astype("<f8").tobytes()
    for start in range(0, m, ROWS):
        block = sums.gram[start : start + ROWS].cpu().numpy().astype("<f8", copy=False)
        yield b"".join(row[: start + i + 1].tobytes() for i, row in enumerate(block))
