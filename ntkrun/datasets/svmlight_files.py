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
from ntkrun.errors import DataError, must_be

OPENERS: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".bz2": bz2.open}
LARGEST = 2**31 - 1  # index


def read_svmlight(
    paths: Sequence[Path], columns: int | None, zero_based: bool | None
) -> tuple[list[tuple[sp.csr_array, np.ndarray]], int]:
    """Return rows (n, d) and labels (n,) of each file, and the index of the first column, 0 or 1.

    All have `columns` columns, or, if that is None, as many as the file with the most. With `zero_based` None
    the first column is 1 unless a file has an index 0. Raises DataError for a file that is not readable.
    """
    from sklearn.datasets import load_svmlight_file

    read = []
    for path in paths:
        if not path.is_file():
            raise DataError(must_be("path", "Svmlight", "an existing file", str(path)))
        try:
            # one line may not decide where the columns begin, so the file is read as if at 0
            read.append(load_svmlight_file(str(path), zero_based=True))
        except (*DAMAGED, OverflowError, MemoryError) as error:
            reason = _fault(path) or "".join(str(error).splitlines()[:1])
            raise DataError(f"{path} is not a file of `label index:value ...` lines: {reason}.") from error
        if not len(read[-1][1]):
            raise DataError(f"{path} has no rows. Each is a line `label index:value ...`.")
    lowest = min((int(x.indices.min()) for x, _ in read if x.nnz), default=1)
    first = (0 if lowest == 0 else 1) if zero_based is None else int(not zero_based)
    highest = max((int(x.indices.max()) for x, _ in read if x.nnz), default=first)
    width = columns or max(1, highest + 1 - first)
    return [(_shifted(path, x, first, width), y) for path, (x, y) in zip(paths, read, strict=True)], first


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
