"""List the readers of foreign bytes with valid examples, for mutation and fuzzing."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import pickle
import struct
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ntkrun.datasets import idx, npy, svhn
from ntkrun.datasets.archive import read_members, read_pickled_arrays
from ntkrun.datasets.csv import Csv
from ntkrun.datasets.images.decode import Broken, Form, decode, limits
from ntkrun.datasets.npz import Npz
from ntkrun.errors import DataError
from ntkrun.store.shards import Receipt, ShardStore

MEMBERS = {"a.bin": (50, 50), "b.bin": (1, 60)}


@dataclass(frozen=True)
class Reader:
    """Valid bytes, their file name, and the function that reads them."""

    seeds: list[bytes]
    name: str
    read: Callable[[Path], object]


def _tar() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, size in (("a.bin", 50), ("b.bin", 7), ("ä" * 120, 3)):
            info = tarfile.TarInfo(name)
            info.size = size
            tar.addfile(info, io.BytesIO(bytes(range(size))))
    return buffer.getvalue()


def _idx() -> bytes:
    return struct.pack(">BBBBIII", 0, 0, 8, 3, 4, 3, 2) + bytes(range(24))


def _npz() -> bytes:
    buffer, y = io.BytesIO(), np.arange(12) % 2
    np.savez(buffer, x_train=np.eye(12, 3), y_train=y, x_test=np.eye(4, 3), y_test=y[:4])
    return buffer.getvalue()


def _npy() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.eye(12, 3))
    return buffer.getvalue()


def _mat(compressed: bool) -> bytes:
    from scipy.io import savemat

    buffer = io.BytesIO()
    x, y = np.arange(3 * 3072, dtype=np.uint8), np.array([[1], [2], [10]], np.uint8)
    savemat(buffer, {"X": x.reshape(32, 32, 3, 3), "y": y}, do_compression=compressed)
    return buffer.getvalue()


def _pictures() -> list[bytes]:
    from PIL import Image

    image, out = Image.fromarray(np.arange(7 * 5 * 3, dtype=np.uint8).reshape(7, 5, 3)), []
    for kind in ("PNG", "JPEG", "BMP", "WEBP", "GIF", "TIFF", "PPM"):
        buffer = io.BytesIO()
        image.save(buffer, kind)
        out.append(buffer.getvalue())
    return out


def _read_picture(path: Path) -> object:
    form = Form((4, 4), "crop", False)
    try:
        with limits():
            return decode(path, form)
    except Broken as error:
        raise DataError(str(error)) from error


RECEIPTS: set[Receipt] = set()


def _manifest() -> bytes:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        store = ShardStore(Path(folder), {"a": 1})
        store.write("train-0.h5", "train", 0, np.ones((4, 3), np.float32), np.arange(4), 0.1)
        store.write("train-1.h5", "train", 4, np.ones((4, 3), np.float32), np.arange(4), 0.1)
        RECEIPTS.update(store.receipts.values())
        return store.manifest.read_bytes()


def _old_manifest() -> bytes:
    body = {"spec": {"a": 1}, "shards": [json.loads(_manifest().splitlines()[1])["body"]]}
    sha = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
    return json.dumps({"sha256": sha, "body": body}, indent=1).encode()


def _believed(path: Path) -> object:
    """Read a changed manifest; AssertionError if it gives another receipt than those written."""
    receipts = ShardStore(path.parent, {}).receipts.values()
    assert set(receipts) <= RECEIPTS
    return receipts


CSV = b"a,b,c\n" + b"".join(b"%d,%d.5,%de-3\n" % (i, i * i, 7 - i) for i in range(12))
BATCH = {b"data": np.arange(12, dtype=np.uint8).reshape(2, 6), b"labels": [0, 1]}

READERS = {
    "archive": Reader(
        [_tar(), gzip.compress(_tar(), mtime=0)], "a.tar.gz", lambda p: read_members(p, MEMBERS)
    ),
    "pickle": Reader(
        [pickle.dumps(BATCH, protocol) for protocol in (3, 4)],
        "batch",
        lambda p: read_pickled_arrays(p.read_bytes(), "batch"),
    ),
    "idx": Reader([_idx()], "images-ubyte", lambda p: idx.read(p, 3)),
    "idx.gz": Reader([gzip.compress(_idx(), mtime=0)], "images-ubyte.gz", lambda p: idx.read(p, 3)),
    "csv": Reader([CSV], "t.csv", lambda p: Csv(path=str(p)).load()),
    "csv.gz": Reader([gzip.compress(CSV, mtime=0)], "t.csv.gz", lambda p: Csv(path=str(p)).load()),
    "npz": Reader([_npz()], "t.npz", lambda p: Npz(path=str(p)).load()),
    "npy": Reader([_npy()], "t.npy", lambda p: npy.read("x_train", p)),
    "mat": Reader([_mat(False), _mat(True)], "t.mat", svhn.read),
    "image": Reader(_pictures(), "t.png", _read_picture),
    "manifest": Reader([_manifest()], "manifest.jsonl", _believed),
    "manifest.json": Reader([_old_manifest()], "manifest.json", _believed),
}
