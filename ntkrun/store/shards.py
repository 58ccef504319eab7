"""Read and write a folder of feature shards with a manifest: content key, checksums, resume.

    <root>/<key>/manifest.jsonl              a line per shard, see ntkrun.store.manifest
    <root>/<key>/train-00003-of-00025.h5     datasets: features (rows, m), y (rows,)

A shard is valid only if the manifest lists the sha256 of its whole file. This is checked on the bytes in
memory before HDF5 parses them, because HDF5's own checksums let flipped bits through.
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
import io
import json
import re
import stat
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ntkrun.errors import IntegrityError
from ntkrun.store import manifest, precision
from ntkrun.store.atomic import append, write_atomic

FORMAT = 1
NAME = re.compile(r"[\w-]+\.h5")
SYNC_SECONDS = 1.0  # between syncs of the manifest: one per shard would take 18 minutes for 100,000


def content_key(spec: dict[str, Any]) -> str:
    """Return the name of a shard folder: a hash of everything that determines its numbers."""
    text = json.dumps({"format": FORMAT, **spec}, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:24]


@dataclass(frozen=True)
class Receipt:
    """Entry of the manifest for one shard; `seconds` is the time to compute it."""

    name: str
    part: str
    start: int
    stop: int
    sha256: str
    bytes: int
    seconds: float

    @property
    def rows(self) -> int:
        """Number of rows of the shard."""
        return self.stop - self.start


class ShardStore:
    """Shards of one content key.

    Parameters
    ----------
    folder : Path
        <root>/<key>.
    spec : dict
        Input of the key; kept in the manifest for people to read.
    """

    def __init__(self, folder: Path, spec: dict[str, Any]):
        self.folder = folder
        old, new = manifest.read_old(folder / manifest.OLD_NAME), manifest.read(self.manifest)
        bodies = [*old.bodies, *new.bodies]
        self.spec = spec or next((body["spec"] for body in bodies if "spec" in body), {})
        self.receipts = {receipt.name: receipt for receipt in map(_receipt, bodies) if receipt}
        self.damaged = old.damaged + new.damaged  # lines of the manifest
        self._whole, self._synced = new.whole, 0.0

    @property
    def manifest(self) -> Path:
        """Path of the manifest."""
        return self.folder / manifest.NAME

    def valid(self, name: str) -> bool:
        """Return whether the shard exists and agrees with its receipt."""
        try:
            self.read_bytes(name)
        except IntegrityError:
            return False
        return True

    def read_bytes(self, name: str) -> bytes:
        """Return the file's bytes; IntegrityError if they disagree with the receipt."""
        path, receipt = self.folder / name, self.receipts.get(name)
        if receipt is None:
            raise IntegrityError(f"{path} is not in its manifest. Run the same command again to compute it.")
        try:
            if not stat.S_ISREG(path.lstat().st_mode):
                raise IntegrityError(f"{path} is not a regular file. Remove it and run the command again.")
            data = path.read_bytes()
        except OSError as error:
            raise IntegrityError(
                f"{path} cannot be read: {error.strerror}. Run the same command again."
            ) from error
        if len(data) != receipt.bytes or hashlib.sha256(data).hexdigest() != receipt.sha256:
            raise IntegrityError(f"{path} does not have its recorded checksum. Run the same command again.")
        return data

    def read(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Return features (rows, m), at least float32, and labels (rows,) of a checked shard."""
        with h5py.File(io.BytesIO(self.read_bytes(name)), "r") as file:
            return self._inside(name, file, "features"), self._inside(name, file, "y")

    def _inside(self, name: str, file: h5py.File, key: str) -> np.ndarray:
        """Return a dataset stored in the file itself: HDF5 would also read any other file that it names."""
        found = file.get(key)
        if not isinstance(found, h5py.Dataset) or found.external or found.is_virtual:
            raise IntegrityError(f"{self.folder / name} has no {key} of its own. Remove it and start again.")
        return precision.widened(found)

    def write(
        self, name: str, part: str, start: int, features: np.ndarray, y: np.ndarray, seconds: float
    ) -> None:
        """Write one shard, then its receipt; a crash in between costs this shard only."""
        self.add(write_shard(self.folder, name, part, start, features, y, seconds))

    def add(self, receipt: Receipt) -> None:
        """Add a written shard to the manifest. Until `flush`, a power cut costs this shard."""
        self.receipts[receipt.name] = receipt
        if not self._whole:
            self.rewrite()
            return
        late = time.monotonic() - self._synced > SYNC_SECONDS
        self._whole = False  # until the line is complete
        append(self.manifest, manifest.line(asdict(receipt)), late)
        self._whole = True
        if late:
            self._synced = time.monotonic()

    def flush(self) -> None:
        """Wait until the disk has every receipt."""
        if self._whole:
            append(self.manifest, b"", sync=True)

    def unlisted(self) -> list[str]:
        """Return the shards without a receipt: of a running or killed writer, or of lost lines."""
        return sorted({path.name for path in self.folder.glob("*.h5")} - self.receipts.keys())

    def rewrite(self) -> None:
        """Write the whole manifest: the first time, after damage, or in place of an earlier version's."""
        bodies = [{"spec": self.spec}, *(asdict(self.receipts[name]) for name in sorted(self.receipts))]
        write_atomic(self.manifest, b"".join(map(manifest.line, bodies)))
        with contextlib.suppress(OSError):  # it does no harm
            (self.folder / manifest.OLD_NAME).unlink()
        self._whole, self._synced = True, time.monotonic()

    def only(self, names: Sequence[str]) -> ShardStore:
        """Return a copy of the store with some of its shards only."""
        out = copy.copy(self)
        out.receipts = {name: self.receipts[name] for name in names}
        return out


def stores_in(features: Path) -> list[Path]:
    """Return the folders in <output_dir>/features that have a manifest, of this or an earlier version."""
    return sorted({path.parent for name in manifest.NAMES for path in features.glob(f"*/{name}")})


def _receipt(body: dict[str, Any]) -> Receipt | None:
    """Return the receipt in a line of a manifest; None for another line, or a name that leads elsewhere."""
    try:
        receipt = Receipt(**body)
        return receipt if NAME.fullmatch(receipt.name) else None
    except TypeError:
        return None


def write_shard(
    folder: Path,
    name: str,
    part: str,
    start: int,
    features: np.ndarray,
    y: np.ndarray,
    seconds: float,
    dtype: str | None = None,
) -> Receipt:
    """Write the file of a shard and return its receipt, which is not in the manifest yet.

    `dtype` is the type to store features in, see ntkrun.store.precision; None for their own.
    """
    buffer = io.BytesIO()
    features, bits = precision.rounded(features, dtype)
    # equal input gives equal bytes: no times, latest format (checksummed metadata)
    with h5py.File(buffer, "w", libver="latest", track_order=False) as file:
        for key, array in (("features", features), ("y", y)):
            rows = max(1, min(len(array), (2 << 20) // max(1, array[0].nbytes)))
            made = file.create_dataset(
                key, data=array, chunks=(rows, *array.shape[1:]), fletcher32=True, track_times=False
            )
            if bits and key == "features":
                made.attrs["dtype"] = precision.MARK
            file.flush()  # now: other threads can delay the moment when h5py releases the dataset
    data = buffer.getvalue()
    write_atomic(folder / name, data)
    sha = hashlib.sha256(data).hexdigest()
    return Receipt(name, part, start, start + len(y), sha, len(data), seconds)
