"""Read text files of sparse rows with scikit-learn, and say which line is wrong."""

from __future__ import annotations

import bz2
import gzip
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from ntkrun.datasets.arrays import finite
from ntkrun.datasets.fetch import DAMAGED
from ntkrun.datasets.images.listing import natural
from ntkrun.errors import DataError, must_be

OPENERS: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".bz2": bz2.open}
LARGEST = 2**31 - 1  # index


def read_svmlight(
    paths: Sequence[Path], columns: int | None, zero_based: bool | None
) -> tuple[list[tuple[sp.csr_array, np.ndarray]], int]:
    """Return rows (n, d) and labels (n,) of each file or folder, and the index of the first column, 0 or 1.

    The files of a folder follow each other in the natural order of their names. All have `columns` columns,
    or, if that is None, as many as the file with the most. With `zero_based` None the first column is 1
    unless a file has an index 0. Raises DataError for a file that is not readable.
    """
    parts = [[(file, *_read(file)) for file in _files(path)] for path in paths]
    read = [x for part in parts for _, x, _ in part]
    lowest = min((int(x.indices.min()) for x in read if x.nnz), default=1)
    first = (0 if lowest == 0 else 1) if zero_based is None else int(not zero_based)
    highest = max((int(x.indices.max()) for x in read if x.nnz), default=first)
    width = columns or max(1, highest + 1 - first)
    out = []
    for part in parts:
        rows = [_shifted(file, x, first, width) for file, x, _ in part]
        joined = rows[0] if len(rows) == 1 else sp.csr_array(sp.vstack(rows, format="csr"))
        out.append((joined, np.concatenate([y for *_, y in part])))
    return out, first


def _files(path: Path) -> list[Path]:
    """Return a file, or the files of a folder except hidden ones."""
    if not path.is_dir():
        return [path]
    files = sorted(
        (p for p in path.iterdir() if p.is_file() and p.name[0] != "."), key=lambda p: natural(p.name)
    )
    if not files:
        raise DataError(f"{path} is a folder without files. Name a file of `label index:value ...` lines.")
    return files


def _read(path: Path) -> tuple[Any, np.ndarray]:
    """Return the rows and labels of a file, with its indices as they are."""
    from sklearn.datasets import load_svmlight_file

    if not path.is_file():
        raise DataError(must_be("path", "Svmlight", "an existing file", str(path)))
    try:
        # one line may not decide where the columns begin, so the file is read as if at 0
        x, y = load_svmlight_file(str(path), zero_based=True)
    except (*DAMAGED, OverflowError, MemoryError) as error:
        reason = _fault(path) or "".join(str(error).splitlines()[:1])
        raise DataError(f"{path} is not a file of `label index:value ...` lines: {reason}.") from error
    if not len(y):
        raise DataError(f"{path} has no rows. Each is a line `label index:value ...`.")
    return x, y


def _shifted(path: Path, x: Any, first: int, width: int) -> sp.csr_array:
    """Return the rows with `width` columns, the first of which had the index `first`."""
    outside = np.flatnonzero((x.indices < first) | (x.indices >= width + first))
    if len(outside):
        row = int(np.searchsorted(x.indptr, outside[0], "right")) - 1
        need = f"indices in {first}..{width + first - 1} (row {row} is not)"
        remedy = "dataset.columns and dataset.zero_based say otherwise."
        raise DataError(must_be(str(path), "Svmlight", need, int(x.indices[outside[0]]), remedy))
    out = sp.csr_array((x.data, x.indices - first, x.indptr), shape=(x.shape[0], width))
    out.eliminate_zeros()
    return finite(str(path), "Svmlight", out)  # here, since a part of the rows would number them anew


def _fault(path: Path) -> str | None:
    """Return what is wrong with the first wrong line of a file; None if it cannot be read that far."""
    try:
        with OPENERS.get(path.suffix, open)(path, "rb") as file:
            for number, line in enumerate(file, 1):
                if wrong := _wrong(line.partition(b"#")[0].split()):
                    return f"line {number} {wrong}"
    except (*DAMAGED, MemoryError):
        return None
    return None


def _wrong(words: list[bytes]) -> str | None:
    """Return what is wrong with the words of a line, None if nothing is."""
    if not words:
        return None
    if _number(words[0]) is None:
        return f"begins with {_shown(words[0])}, which is no number"
    before = -1
    for word in words[1 + words[1:2][0].startswith(b"qid:") if words[1:] else 1 :]:
        index, colon, value = word.partition(b":")
        if not colon or not index.removeprefix(b"-").isdigit() or _number(value) is None:
            return f"has {_shown(word)}, which is no index:value"
        at = int(index)
        if at < 0:
            return f"has the negative index {at}"
        if at > LARGEST:
            return f"has the index {at}, above {LARGEST}"
        if at == before:
            return f"has the index {at} twice"
        if at < before:
            return f"has the index {at} after {before}"
        before = at
    return None


def _number(word: bytes) -> float | None:
    try:
        return float(word)
    except ValueError:
        return None


def _shown(word: bytes) -> str:
    return repr(word[:40].decode("utf-8", "replace"))
