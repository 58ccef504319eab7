"""Decide the kind of each column of a table, and bring its values to that kind."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ntkrun.errors import DataError, few, must_be

NUMBER, CATEGORY, DATE, TEXT = "number", "category", "date", "text"
# a column of words is free text, or a name of rows, if it has more values than TOO_MANY and they are
# more than MOSTLY of the rows
TOO_MANY, MOSTLY = 50, 0.5
DATES = {
    "%Y-%m-%d": r"\d{4}-\d{1,2}-\d{1,2}",
    "%Y/%m/%d": r"\d{4}/\d{1,2}/\d{1,2}",
    "%d.%m.%Y": r"\d{1,2}\.\d{1,2}\.\d{4}",
    "ISO8601": r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:?\d{2})?",
}
# 3/4/2020 is a day of March or of April; a number above 12 decides
SLASHED = re.compile(r"(\d{1,2})/(\d{1,2})/\d{4}")


@dataclass(frozen=True)
class Kind:
    """Kind of a column, and the format of its dates if it holds dates."""

    kind: str
    format: str | None = None


def kind_of(values: Any, categorical: bool) -> Kind:
    """Return the kind of a pandas Series."""
    import pandas as pd

    if categorical:
        return Kind(CATEGORY)
    if pd.api.types.is_datetime64_any_dtype(values):
        return Kind(DATE)
    if pd.api.types.is_bool_dtype(values) or pd.api.types.is_numeric_dtype(values):
        return Kind(NUMBER)
    words = words_of(values).dropna()
    if not len(words) or pd.to_numeric(words, errors="coerce").notna().all():
        return Kind(NUMBER)
    if form := date_format(words):
        return Kind(DATE, form)
    distinct = words.nunique()
    return Kind(TEXT if distinct > TOO_MANY and distinct > MOSTLY * len(words) else CATEGORY)


def date_format(words: Any) -> str | None:
    """Return the format of a Series of dates; None if any value is no date, or its day is unclear."""
    import pandas as pd

    def parses(form: str) -> bool:
        return bool(pd.to_datetime(words, format=form, errors="coerce", utc=True).notna().all())

    first = str(words.iloc[0])
    for form, pattern in DATES.items():
        if re.fullmatch(pattern, first) and parses(form):
            return form
    if SLASHED.fullmatch(first):
        fitting = [form for form in ("%m/%d/%Y", "%d/%m/%Y") if parses(form)]
        return fitting[0] if len(fitting) == 1 else None
    return None


def words_of(values: Any) -> Any:
    """Return a Series as words without spaces around them; whole numbers lose their point."""
    import pandas as pd

    def word(value: Any) -> Any:
        if isinstance(value, float | np.floating) and float(value).is_integer():
            value = int(value)
        out = str(value).strip()
        return None if out in ("", "-", ".") else out

    return values.map(word, na_action="ignore").astype(object).where(lambda s: ~pd.isna(s), None)


def numbers_of(values: Any, name: str, owner: str) -> np.ndarray:
    """Return a Series as float64, nan for missing values; DataError for a word and for infinity."""
    import pandas as pd

    if not (pd.api.types.is_numeric_dtype(values) or pd.api.types.is_bool_dtype(values)):
        words = words_of(values)
        values = pd.to_numeric(words, errors="coerce")
        wrong = np.flatnonzero((values.isna() & words.notna()).to_numpy())
        if len(wrong):
            constraint = f"numbers, as in training (row {_row(values, wrong[0])} is not)"
            raise DataError(must_be(f"column {name}", owner, constraint, words.iloc[wrong[0]]))
    out = values.to_numpy(np.float64, na_value=np.nan)
    endless = np.flatnonzero(np.isinf(out))
    if len(endless):
        constraint = f"finite (row {_row(values, endless[0])} is not)"
        raise DataError(must_be(f"column {name}", owner, constraint, float("inf")))
    return out


def days_of(values: Any, form: str | None, name: str, owner: str) -> np.ndarray:
    """Return a Series of dates as days since 1970, float64, nan for missing ones."""
    import pandas as pd

    if not pd.api.types.is_datetime64_any_dtype(values):
        words = words_of(values)
        values = pd.to_datetime(words, format=form, errors="coerce", utc=True)
        wrong = np.flatnonzero((values.isna() & words.notna()).to_numpy())
        if len(wrong):
            constraint = f"dates in the form {form} (row {_row(values, wrong[0])} is not)"
            raise DataError(must_be(f"column {name}", owner, constraint, words.iloc[wrong[0]]))
    elif values.dt.tz is not None:
        values = values.dt.tz_convert("UTC")
    stamp = values.dt.tz_localize(None) if values.dt.tz is not None else values
    return ((stamp - pd.Timestamp(0)) / pd.Timedelta(days=1)).to_numpy(np.float64, na_value=np.nan)


def _row(values: Any, i: int) -> int:
    """Return the number of row i of a Series in its file, from 1; its index counts them from 0."""
    label = values.index[i]
    return int(label if isinstance(label, int | np.integer) else i) + 1


def known(frame: Any, names: Sequence[str], key: str, owner: str) -> None:
    """Raise DataError unless the frame has columns of these names."""
    if absent := [name for name in names if name not in frame.columns]:
        constraint = f"columns of the table: {few(list(frame.columns))}"
        raise DataError(must_be(key, owner, constraint, few(absent)))
