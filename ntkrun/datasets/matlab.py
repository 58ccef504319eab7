"""Read plain arrays of numbers from a MATLAB file of version 5 to 7.

scipy.io.loadmat reads more kinds, but some changed bytes of a file end it, and with it the process, by a
segmentation fault. This reads no objects, cells, structures, text or complex numbers.
Format: MathWorks, "MAT-File Format", level 5.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

HEADER = 128
MATRIX, COMPRESSED = 14, 15  # types of elements
# types of numbers, as NumPy calls them
NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
NUMERIC = range(6, 16)  # classes of arrays: double, single, 8 to 64 bits
LIMIT = 1 << 29  # bytes of an array


def arrays(path: Path, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Return the arrays of these names, read-only, in the order of the file: the first index runs fastest.

    Raises ValueError for a file that is not one of this format, and OSError.
    """
    data = path.read_bytes()
    if len(data) < HEADER or data[126:128] not in (b"IM", b"MI"):
        raise ValueError("it has no header of MATLAB 5 to 7")
    order = "<" if data[126:128] == b"IM" else ">"
    out: dict[str, np.ndarray] = {}
    try:
        for kind, element in _elements(memoryview(data)[HEADER:], order):
            if kind == COMPRESSED:
                unpacked = zlib.decompressobj().decompress(element, LIMIT + 1)
                kind, element = next(_elements(memoryview(unpacked), order), (0, element))
            if kind == MATRIX and (found := _matrix(element, order, names)):
                out[found[0]] = found[1]
    except (struct.error, zlib.error) as error:
        raise ValueError("it ends early or is damaged") from error
    return out


def _elements(data: memoryview, order: str) -> Iterator[tuple[int, memoryview]]:
    """Yield type and content of the elements that follow each other in `data`; ValueError if one is cut."""
    at = 0
    while at < len(data):
        kind, size = struct.unpack_from(order + "II", data, at)
        start = at + 8
        if kind >> 16:  # small: type, length and up to four bytes in eight
            kind, size, start = kind & 0xFFFF, kind >> 16, at + 4
        if start + size > len(data) or size > LIMIT or (start == at + 4 and size > 4):
            raise ValueError("it ends early or is damaged")
        yield kind, data[start : start + size]
        end = at + 8 if start == at + 4 else start + size
        at = end if kind == COMPRESSED else -(-end // 8) * 8


def _matrix(data: memoryview, order: str, names: tuple[str, ...]) -> tuple[str, np.ndarray] | None:
    """Return name and values of an array; None if it is not wanted. ValueError unless it is plain numbers."""
    parts = list(_elements(data, order))
    if len(parts) < 4:  # flags, sides, name, values
        return None
    (_, flags), (_, sides), (_, name), *rest = parts
    text = bytes(name).decode("ascii", "replace")
    if text not in names:
        return None
    (flag,) = struct.unpack_from(order + "I", flags)
    shape = struct.unpack(f"{order}{len(sides) // 4}i", sides)
    if flag & 0xFF not in NUMERIC or flag & 0x800 or len(rest) != 1 or rest[0][0] not in NUMBERS:
        raise ValueError(f"{text} is not an array of real numbers")
    values = np.frombuffer(rest[0][1], order + NUMBERS[rest[0][0]])
    if min(shape, default=0) < 0 or math.prod(shape) != len(values):
        raise ValueError(f"{text} has {len(values)} numbers for the shape {shape}")
    return text, values.reshape(shape, order="F")
