"""Make image files for tests."""

import logging
import re
import struct
import zlib
from contextlib import contextmanager

import numpy as np
import pytest
from PIL import Image

from ntkrun.datasets.folder import Folder
from ntkrun.errors import DataError

RNG = np.random.default_rng(5)


def save(path, array, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **options)
    return path


def colour(*shape):
    return RNG.integers(0, 256, (*shape, 3), dtype=np.uint8)


def png(ihdr, body=b""):
    """Return the bytes of a PNG file with this header and these rows."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rest = chunk(b"IDAT", zlib.compress(body)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", *ihdr)) + rest


BOMB = png((20_000, 20_000, 8, 2, 0, 0, 0))


def three_classes(tmp_path):
    """Make 24 colour images of 6 x 5 pixels in three classes; return their folder and array."""
    x = colour(24, 6, 5)
    for i, image in enumerate(x):
        save(tmp_path / "photos" / ("cat", "dog", "emu")[i % 3] / f"{i}.png", image)
    return tmp_path / "photos", x


def load(folder, tmp_path, **options):
    return Folder(path=str(folder), data_dir=str(tmp_path / "cache"), **options).load()


@contextmanager
def heard():
    """Let caplog hear the package, also after a test of the command line."""
    logger = logging.getLogger("ntkrun")
    before, logger.propagate = logger.propagate, True
    yield
    logger.propagate = before


def refused(source, pattern):
    with pytest.raises(DataError) as caught:
        source.load()
    assert re.search(pattern, str(caught.value)), str(caught.value)
    assert "\n" not in str(caught.value)
