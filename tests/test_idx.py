"""Test that IDX files are found, checked and read, and damaged ones named."""

import gzip
import struct

import numpy as np
import pytest

from ntkrun.datasets.idx import FILES, Idx
from ntkrun.errors import DataError, NetworkError

RNG = np.random.default_rng(2)


def idx(array):
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


@pytest.fixture
def folder(tmp_path):
    """Make 40 + 12 images of 5 x 4 pixels, with two of the four files compressed."""
    for name in FILES:
        n = 40 if "train" in name else 12
        array = RNG.integers(0, 256, (n, 5, 4)) if "images" in name else np.arange(n) % 10
        data = idx(array.astype(np.uint8))
        if "labels" in name:
            (tmp_path / f"{name}.gz").write_bytes(gzip.compress(data))
        else:
            (tmp_path / name).write_bytes(data)
    return tmp_path


def test_files_are_read_plain_or_compressed(folder):
    split = Idx(path=str(folder)).load()
    assert split.train.x.shape[1:] == (5, 4, 1)
    assert (split.n_train, len(split.test)) == (40, 12)
    raw = np.frombuffer((folder / FILES[2]).read_bytes()[16:], np.uint8).reshape(12, 5, 4)
    assert np.array_equal(split.test.x[..., 0], raw)
    assert np.array_equal(split.test.y, np.arange(12) % 10)


def test_a_system_folder_is_looked_into(folder, tmp_path):
    assert Idx(system=str(folder), data_dir=str(tmp_path / "none")).load().n_train == 40


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data: data[:-1], "must hold 800 bytes. Got 799"),
        (lambda data: data + b"x", "Got 801"),
        (lambda data: data[:9], "is not an IDX file"),
        (lambda data: b"", "is not an IDX file"),
        (lambda data: b"\0\0\x0d" + data[3:], "is not an IDX file of bytes"),
        (lambda data: data[:4] + b"\xff" * 12 + data[16:], "must hold"),
    ],
)
def test_damage_is_named(folder, damage, message):
    path = folder / FILES[0]
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match=message):
        Idx(path=str(folder)).load()


def test_damaged_compression_is_named(folder):
    path = folder / f"{FILES[1]}.gz"
    path.write_bytes(path.read_bytes()[:-6])
    with pytest.raises(DataError, match="cannot be read"):
        Idx(path=str(folder)).load()


def test_absent_files_are_told(tmp_path):
    with pytest.raises(DataError, match="a folder with train-images-idx3-ubyte"):
        Idx(path=str(tmp_path)).load()
    mirrors = ({"url": f"http://127.0.0.1:9/{FILES[0]}.gz", "hash": "md5:0"},)
    with pytest.raises(NetworkError, match=f"mnist .{FILES[0]}. is not in"):
        Idx(data_dir=str(tmp_path), mirrors=mirrors).load()
