"""Convert a large table of numbers by the chunk, so that it need not fit into memory."""

from __future__ import annotations

import logging
import zipfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ntkrun.datasets.fetch import DAMAGED
from ntkrun.datasets.sliced.convert import Growing, converted
from ntkrun.datasets.sliced.file_rows import FileRows
from ntkrun.datasets.sliced.hdf5 import Hdf5Array
from ntkrun.datasets.sliced.stored import IN_MEMORY
from ntkrun.datasets.table import target
from ntkrun.datasets.table.chunks import chunks, parquet_size
from ntkrun.datasets.table.columns import NUMBER, kind_of, known, numbers_of
from ntkrun.datasets.table.file import PACKED, ZIP
from ntkrun.datasets.table.read import Form, Table
from ntkrun.errors import DataError, few
from ntkrun.progress import progress

log = logging.getLogger(__name__)

CHUNK = 8 << 20  # bytes of numbers converted together
RATIO = 4  # of a packed table of numbers to its file, about


class Whole(Exception):
    """The table cannot be converted by the chunk, for a reason that the reader of whole tables deals with."""


@dataclass(frozen=True)
class Numbers:
    """A table of numbers in a file that is read by the slice.

    Attributes
    ----------
    x : FileRows
        (n, d), float64.
    y : ndarray
        (n,) or (n, k) float64.
    columns, targets : list of str
    named : bool
        Whether the file names its columns.
    """

    x: FileRows
    y: np.ndarray
    columns: list[str]
    targets: list[str]
    named: bool


def size(path: Path) -> int:
    """Return about how many bytes a table has, unpacked."""
    with path.open("rb") as file:
        first = file.read(6)
    if first.startswith(b"PAR1"):
        return parquet_size(path)
    if first.startswith(ZIP):
        with zipfile.ZipFile(path) as archive:
            files = archive.infolist()
        nested = any(info.filename.endswith(".zip") for info in files)
        return sum(info.file_size for info in files) * (RATIO if nested else 1)
    packed = any(first.startswith(mark) for mark in PACKED)
    return path.stat().st_size * (RATIO if packed else 1)


def read(
    path: Path, form: Form, wanted: str | list[str] | None, drop: list[str], cache: Path
) -> Numbers | None:
    """Return a table above IN_MEMORY bytes as it is kept in the `cache`, after the first time.

    None for a smaller one, and for one that has words, dates or missing numbers among its inputs or words
    for a target: such tables are read whole.

    Parameters
    ----------
    path : Path
    form : Form
    wanted : str, list of str or None
        Target columns, as for target.names.
    drop : list of str
        Columns that are left out.
    cache : Path
    """
    try:
        if (total := size(path)) <= IN_MEMORY:
            return None
        key = [asdict(form), wanted, drop]
        place, record = converted(
            path, key, cache, lambda file: _write(file, path, form, wanted, drop, total)
        )
    except Whole as reason:
        log.warning("data       %s is read whole, which needs memory: %s", path.name, reason)
        return None
    except DataError:
        raise
    except DAMAGED:  # the reader of whole tables says why
        return None
    for note in record["notes"]:
        log.info("data       %s: %s", path.name, note)
    with h5py.File(place, "r", locking="best-effort") as file:
        y = file["y"][...]
    x = FileRows.of(Hdf5Array(place, "x"))
    return Numbers(x, y, record["columns"], record["targets"], record["named"])


def _write(
    file: h5py.File, path: Path, form: Form, wanted: str | list[str] | None, drop: list[str], total: int
) -> dict[str, Any]:
    """Fill an HDF5 file with inputs x and targets y, and return what else is known of the table."""
    left_out, first, done = 0, None, 0.0
    with progress("convert   ", total, "bytes") as advance:
        for table, position in _tables(path, form):
            if first is None:
                first, names = table, list(table.frame.columns)
                targets = target.names(names, wanted, None)
                known(table.frame, drop, "drop", "Csv")
                columns = [name for name in names if name not in (*targets, *drop)]
                several = (len(targets),) if len(targets) > 1 else ()
                x, y = Growing(file, "x", (len(columns),), float), Growing(file, "y", several, float)
            absent = table.frame[targets].isna().any(axis=1)
            left_out, frame = left_out + int(absent.sum()), table.frame[~absent]
            y.append(_numbers(frame, targets).reshape(len(frame), *several))
            x.append(_numbers(frame, columns))
            advance(position - done)
            done = position
    if first is None:
        raise Whole("it has no rows")
    notes = [", ".join(first.notes)] if first.notes else []
    notes += [f"{left_out} rows without {few(targets)} are left out"] if left_out else []
    return {"columns": columns, "targets": targets, "named": first.named, "notes": notes}


def _tables(path: Path, form: Form) -> Iterator[tuple[Table, float]]:
    """Yield the rows of a table, CHUNK bytes of numbers at a time, and the bytes that were read so far."""
    try:
        yield from chunks(path, form, CHUNK)
    except DAMAGED as error:
        raise Whole((str(error) or type(error).__name__).splitlines()[0]) from error


def _numbers(frame: Any, names: list[str]) -> np.ndarray:
    """Return columns as (n, d) float64; Whole if one holds other than numbers or lacks one."""
    out = np.empty((len(frame), len(names)))
    for i, name in enumerate(names):
        if kind_of(frame[name], False).kind != NUMBER:
            raise Whole(f"column {name} holds words or dates")
        out[:, i] = numbers_of(frame[name], name, "the table")
        if np.isnan(out[:, i]).any():
            raise Whole(f"column {name} lacks numbers")
    return out
