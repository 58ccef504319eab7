"""Read a table by the chunk."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ntkrun.datasets.table import arff
from ntkrun.datasets.table.file import encoding_of, first_lines, head, opened
from ntkrun.datasets.table.read import Form, Table, check_names, dialect_of, from_csv, only_rows


def chunks(path: Path, form: Form, size: int) -> Iterator[tuple[Table, float]]:
    """Yield the rows of CSV or Parquet as tables of about `size` bytes, and the bytes that were read so far.

    ValueError, or another of DAMAGED, for what `read` refuses or reads in another way.
    """
    if (start := head(path)).startswith(b"PAR1"):
        yield from _parquet_chunks(path, size)
        return
    encoding = encoding_of(start, form.encoding)
    lines = first_lines(start, encoding)
    if arff.header(lines):
        raise ValueError("it is ARFF or KEEL")
    cut = dialect_of(path, form, lines)
    rows = max(1, size // (8 * len(cut.names)))
    with opened(path) as file, from_csv(file, form, encoding, cut, chunksize=rows) as parts:
        for frame in parts:
            yield Table(only_rows(frame), cut.header, notes=cut.notes), file.tell()


def parquet_size(path: Path) -> int:
    """Return the bytes of a Parquet table as numbers of eight bytes."""
    import pyarrow.parquet as pq

    about = pq.ParquetFile(path).metadata
    return 8 * about.num_rows * about.num_columns


def _parquet_chunks(path: Path, size: int) -> Iterator[tuple[Table, float]]:
    import pandas as pd
    import pyarrow.parquet as pq

    file = pq.ParquetFile(path)
    width = 8 * file.metadata.num_columns
    done = 0
    for batch in file.iter_batches(batch_size=max(1, size // max(1, width))):
        frame = batch.to_pandas()
        frame.columns = pd.Index([str(name) for name in frame.columns])
        check_names(path, list(frame.columns))
        done += width * len(frame)
        yield Table(frame, True), done
