"""Read a table with pandas, and refuse it if pandas would misread it."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from ntkrun.datasets.fetch import DAMAGED
from ntkrun.datasets.table import arff
from ntkrun.datasets.table.dialect import LINES, all_numbers, decimal_of, fields, has_header, separator_of
from ntkrun.datasets.table.file import LINE, encoding_of, first_lines, head, opened, text
from ntkrun.errors import DataError, few, must_be

WIDEST = 100_000  # columns; pandas takes minutes for a million
# files that have no header by custom (UCI, KEEL)
BARE = (".dat", ".data")


@dataclass(frozen=True)
class Form:
    """How a table is written. None leaves it to a guess.

    Attributes
    ----------
    header : bool or None
        Whether the first line names the columns.
    separator, decimal : str or None
        One character each; a space stands for any white space.
    encoding : str or None
        Name of a Python codec.
    missing_values : list of str or None
        Words that stand for a missing value, beside those that pandas knows and "?".
    unnamed : bool
        Whether a column may have no name.
    """

    header: bool | None = None
    separator: str | None = None
    decimal: str | None = None
    encoding: str | None = None
    missing_values: list[str] | None = None
    unnamed: bool = False


@dataclass(frozen=True)
class Table:
    """A table as it was read: a pandas DataFrame with names of type str.

    Attributes
    ----------
    frame : DataFrame
    named : bool
        Whether the file names the columns; else they are called "0", "1", ...
    categorical : list of str
        Columns that the file itself declares as categories.
    target : str or None
        Column that the file itself declares as the target.
    notes : list of str
        Guesses that a user should know of.
    """

    frame: Any
    named: bool
    categorical: list[str] = field(default_factory=list)
    target: str | None = None
    notes: list[str] = field(default_factory=list)


def read(path: Path, form: Form) -> Table:
    """Return the table in a file: CSV and its relatives, Parquet, ARFF or KEEL.

    Raises DataError for a file that is none of these, for rows of another length than the first line, for
    missing or repeated names, and for a first line that may or may not be a header.
    """
    try:
        if (start := head(path)).startswith(b"PAR1"):
            return _filled(_parquet(path))
        encoding = encoding_of(start, form.encoding)
        lines = first_lines(start, encoding)
        if max((line.count(",") for line in lines[:1]), default=0) >= WIDEST:
            raise ValueError(f"its first line has {lines[0].count(',') + 1:,} columns, more than {WIDEST:,}")
        about = arff.header(lines)
        return _filled(_arff(path, form, encoding, about) if about else _csv(path, form, encoding, lines))
    except DataError:
        raise
    except DAMAGED as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise DataError(f"{path} is not a table: {reason}") from error


def _parquet(path: Path) -> Table:
    import pandas as pd

    frame = pd.read_parquet(path)
    frame.columns = pd.Index([str(name) for name in frame.columns])
    check_names(path, list(frame.columns))
    return Table(frame, True)


def _arff(path: Path, form: Form, encoding: str, about: arff.Header) -> Table:
    cut = Dialect(",", form.decimal or ".", about.names, False, about.lines, [])
    frame = _frame(path, form, encoding, cut, quote="'")
    return Table(frame, True, about.categorical, about.target)


@dataclass(frozen=True)
class Dialect:
    """How a CSV is written: names of its columns, from a first line or not, and the lines before its rows."""

    separator: str
    decimal: str
    names: list[str]
    header: bool
    skipped: int
    notes: list[str]


def dialect_of(path: Path, form: Form, lines: list[str]) -> Dialect:
    """Return the dialect of a CSV, given its first lines; ValueError if they are uneven or none."""
    notes, skipped = [], 0
    told = lines[0].strip() if lines else ""
    separator = form.separator
    if told.lower().startswith("sep=") and len(told) == 5:  # a line that Excel writes and reads
        separator, skipped = separator or told[4], 1
    separator = separator or separator_of(lines[skipped:])
    rows = fields(lines[skipped : skipped + LINES], separator)
    if not rows:
        raise ValueError("it has no rows")
    decimal = form.decimal or decimal_of(rows, separator)
    names = _names(path, form, rows, decimal)
    header = bool(names)
    names = names or [str(i) for i in range(len(rows[0]))]
    shown = {"\t": "tab", " ": "white space"}.get(separator, separator)
    notes += [] if separator == "," else [f"separator {shown}"]
    notes += [] if decimal == "." else ["decimal comma"]
    if not header and form.header is None:
        notes.append(f"no header: its columns are called 0..{len(names) - 1}")
    if reason := _uneven(rows, header):
        raise ValueError(reason)
    skipped += next(i for i, line in enumerate(lines[skipped:]) if line.strip())
    return Dialect(separator, decimal, names, header, skipped, notes)


def _csv(path: Path, form: Form, encoding: str, lines: list[str]) -> Table:
    cut = dialect_of(path, form, lines)
    separator, skipped, header, notes = cut.separator, cut.skipped, cut.header, cut.notes
    try:
        frame, read_as = _decoded(path, form, encoding, cut)
    except UnicodeDecodeError:
        raise
    except ValueError as error:  # one of the rows is too long
        raise ValueError(_uneven_file(path, encoding, separator, skipped, header) or error) from error
    notes += [] if read_as.startswith("utf-8") else [f"encoding {read_as}"]
    # a missing value may be a row that is too short
    if frame.iloc[:, -1].isna().any() and (reason := _uneven_file(path, read_as, separator, skipped, header)):
        raise ValueError(reason)
    return Table(frame, header, notes=notes)


def _names(path: Path, form: Form, rows: list[list[str]], decimal: str) -> list[str]:
    """Return the names in the first line, an empty list without a header."""
    header = form.header
    if header is None and all_numbers(rows[0], decimal):
        if Path(path.name.removesuffix(".gz")).suffix not in BARE:
            remedy = "If it is a row: dataset.header=false. If it names the columns: dataset.header=true."
            constraint = f"true or false: the first line of {path} is all numbers"
            raise DataError(must_be("header", "Csv", constraint, None, remedy))
        header = False
    if header is None:
        header = has_header(rows, decimal)
    if header:
        check_names(path, rows[0], form.unnamed)
    return rows[0] if header else []


def _decoded(path: Path, form: Form, encoding: str, cut: Dialect) -> tuple[Any, str]:
    """Return the frame and the encoding in which it could be read: Windows' Western one if not UTF-8."""
    try:
        return _frame(path, form, encoding, cut), encoding
    except UnicodeDecodeError:
        if form.encoding or not encoding.startswith("utf-8"):
            raise
        return _frame(path, form, "cp1252", cut), "cp1252"


def _frame(path: Path, form: Form, encoding: str, cut: Dialect, quote: str = '"') -> Any:
    with opened(path) as file:
        return only_rows(from_csv(file, form, encoding, cut, quotechar=quote))


def from_csv(file: IO[bytes], form: Form, encoding: str, cut: Dialect, **options: Any) -> Any:
    """Return what pandas reads of a CSV: a frame, or frames if `chunksize` is set."""
    import pandas as pd

    return pd.read_csv(
        file,
        sep=r"\s+" if cut.separator == " " else cut.separator,
        decimal=cut.decimal,
        encoding=encoding,
        header=None,
        names=cut.names,
        skiprows=cut.skipped + cut.header,
        skipinitialspace=True,
        na_values=["?", "<null>", *(form.missing_values or [])],
        low_memory=False,
        **options,
    )


def only_rows(frame: Any) -> Any:
    """Return the frame; ValueError if pandas took surplus fields for names of rows."""
    import pandas as pd

    if not isinstance(frame.index, pd.RangeIndex):
        raise ValueError("its rows are longer than its first line")
    return frame


def _filled(table: Table) -> Table:
    """Return the table; ValueError if it has no rows."""
    if not len(table.frame):
        raise ValueError("it has no rows")
    return table


def check_names(path: Path, names: Sequence[str], unnamed: bool = False) -> None:
    """Raise DataError for missing or repeated names."""
    absent = [i + 1 for i, name in enumerate(names) if not name.strip()]
    if absent and not unnamed:
        constraint = f"a table with a name for every column ({path})"
        remedy = "If it counts the rows: dataset.drop=['']. If every line ends in a separator, remove it."
        raise DataError(must_be("path", "Csv", constraint, f"no name for column {absent[0]}", remedy))
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        constraint, remedy = f"a table without equal column names ({path})", "Rename or remove one."
        raise DataError(must_be("path", "Csv", constraint, f"more than one column {few(twice)}", remedy))


def _uneven(rows: Iterator[list[str]] | list[list[str]], header: bool) -> str:
    """Return a sentence for the first row that is longer or shorter than the first line; "" for none."""
    lines = iter(rows)
    width = len(next(lines))
    for number, row in enumerate(lines, 1 if header else 2):
        if len(row) != width:
            first = "the header" if header else "row 1"
            remedy = "Name every column in it." if len(row) > width and header else ""
            remedy += " Let no row end in a comma." if len(row) > width and not row[-1] else ""
            return f"row {number} has {len(row)} fields, {first} {width}. {remedy.strip()}".strip()
    return ""


def _uneven_file(path: Path, encoding: str, separator: str, skipped: int, header: bool) -> str:
    """Return the sentence for the first such row of the whole file."""
    try:
        with opened(path) as file:
            return _uneven(_rows(file, encoding, separator, skipped), header)
    except csv.Error:
        return ""


def _rows(file: IO[bytes], encoding: str, separator: str, skipped: int) -> Iterator[list[str]]:
    """Yield the fields of every line that is not blank, after the first `skipped` lines."""
    stream = text(file, encoding)
    lines = iter(lambda: stream.readline(LINE), "")
    for _ in range(skipped):
        next(lines)
    if separator == " ":
        yield from (line.split() for line in lines if line.strip())
        return
    cut = csv.reader(lines, delimiter=separator, skipinitialspace=True)
    yield from (row for row in cut if row and (len(row) > 1 or row[0].strip()))
