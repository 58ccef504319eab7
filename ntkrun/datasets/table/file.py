"""Open a table's file, compressed or not, and find its encoding."""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import lzma
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

HEAD = 1 << 20  # bytes that dialect and encoding are guessed from
LINE = 1 << 22  # most bytes read of a line
PACKED: dict[bytes, Any] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\x00": lzma.open}
MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
ZIP = b"PK\x03\x04"
# of the names that archives made on a Mac and by editors hold
HIDDEN = ("__MACOSX/", ".")


@contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """Yield the table's bytes as a file.

    gzip, bzip2, xz and zip, and a zip in a zip, as UCI gives them out, are known by their first bytes.
    ValueError for a zip of several files.
    """
    with path.open("rb") as file:
        first = file.read(6)
    if first.startswith(ZIP):
        with zipfile.ZipFile(path) as archive, archive.open(_only(archive)) as file:
            nested = file.read(len(ZIP)) == ZIP
            file.seek(0)
            if nested:
                with zipfile.ZipFile(file) as inner, inner.open(_only(inner)) as table:
                    yield table
            else:
                yield file
        return
    unpack = next((make for mark, make in PACKED.items() if first.startswith(mark)), None)
    with unpack(path) if unpack else path.open("rb") as file:
        yield file


def _only(archive: zipfile.ZipFile) -> zipfile.ZipInfo:
    """Return the one file of an archive."""
    found = [i for i in archive.infolist() if not i.is_dir() and not i.filename.startswith(HIDDEN)]
    if len(found) != 1:
        names = ", ".join(info.filename for info in found[:5]) or "none"
        raise ValueError(f"a zip must hold one file, it holds {names}. Unpack the table.")
    return found[0]


def head(path: Path) -> bytes:
    """Return the first bytes of the table."""
    with opened(path) as file:
        return file.read(HEAD)


def encoding_of(start: bytes, wanted: str | None) -> str:
    """Return the encoding of a table that begins with `start`: that of its mark, UTF-8, or cp1252."""
    if wanted:
        return wanted
    for mark, name in MARKS.items():
        if start.startswith(mark):
            return name
    if start[1:200:2].count(0) > len(start[1:200:2]) // 2:
        return "utf-16-le"
    if start[0:200:2].count(0) > len(start[0:200:2]) // 2:
        return "utf-16-be"
    try:  # the last letter may be cut
        codecs.getincrementaldecoder("utf-8")().decode(start)
    except UnicodeDecodeError:
        return "cp1252"
    return "utf-8"


def text(file: IO[bytes], encoding: str) -> io.TextIOWrapper:
    """Return the file as text, with undecodable bytes replaced."""
    return io.TextIOWrapper(file, encoding=encoding, errors="replace", newline="")


def first_lines(start: bytes, encoding: str) -> list[str]:
    """Return the lines in the first bytes; a line that they cut is left out unless it is the only one."""
    lines = start.decode(encoding, errors="replace").splitlines()
    return lines[:-1] if len(start) >= HEAD and len(lines) > 1 else lines
