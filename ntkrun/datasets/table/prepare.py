"""Make numbers of the columns of a table, as fitted to its training rows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ntkrun.datasets.table.columns import (
    CATEGORY,
    DATE,
    NUMBER,
    TEXT,
    Kind,
    days_of,
    kind_of,
    numbers_of,
    words_of,
)
from ntkrun.errors import few

# levels of a category that get a column of their own; the others share one
LEVELS, RAREST = 50, 2
ABSENT, OTHER = "(missing)", "(other)"


@dataclass
class Prepare:
    """Columns of a table as numbers: medians for missing ones, a column per level of a category.

    Parameters
    ----------
    kinds : dict of str to Kind
        Kind of each column, in their order; text is left out.

    Attributes
    ----------
    medians : dict of str to float
        Of numbers and dates, over the training rows; constant columns are left out.
    marked : list of str
        Numbers and dates with missing values: each has one more column, 1 where they are missing.
    levels : dict of str to list of str
        Levels of each category, sorted. "(missing)" is one of them if a training row lacks the value;
        "(other)", always the last if it is there, takes rare and unknown ones. Without it these give zeros.
    """

    kinds: dict[str, Kind]
    medians: dict[str, float] = field(default_factory=dict)
    marked: list[str] = field(default_factory=list)
    levels: dict[str, list[str]] = field(default_factory=dict)

    @classmethod
    def of(cls, frame: Any, categorical: list[str]) -> Prepare:
        """Return the unfitted object of a table, in which the columns `categorical` hold categories."""
        return cls({name: kind_of(frame[name], name in categorical) for name in frame.columns})

    def fit(self, frame: Any) -> Prepare:
        """Choose medians and levels from the training rows, a DataFrame."""
        for name, kind in self.kinds.items():
            if kind.kind == TEXT:
                continue
            if kind.kind == CATEGORY:
                levels = self._chosen(self._words(frame, name))
                if len(levels) > 1:
                    self.levels[name] = levels
                continue
            values = self._numbers(frame, name)
            present = values[~np.isnan(values)]
            some_missing = len(present) < len(values)
            if len(present) and (some_missing or present.min() < present.max()):
                self.medians[name] = float(np.median(present))
                self.marked += [name] if some_missing else []
        return self

    def __call__(self, frame: Any) -> np.ndarray:
        """Return the numbers (n, d), float64, of a DataFrame with these columns.

        Raises DataError for words in columns of numbers and for infinity.
        """
        out: list[np.ndarray] = []
        for name, median in self.medians.items():
            values = self._numbers(frame, name)
            absent = np.isnan(values)
            out.append(np.where(absent, median, values)[:, None])
            if name in self.marked:
                out.append(absent[:, None].astype(np.float64))
        out += [self._one_hot(self._words(frame, name), levels) for name, levels in self.levels.items()]
        return np.concatenate(out, 1) if out else np.empty((len(frame), 0))

    @property
    def used(self) -> list[str]:
        """Return the columns that are not left out."""
        return [name for name in self.kinds if name in self.medians or name in self.levels]

    def numbers(self, frame: Any) -> np.ndarray | None:
        """Return the columns (n, d), float64, if all hold numbers and none is missing; else None."""
        if any(kind.kind != NUMBER for kind in self.kinds.values()):
            return None
        out = np.stack([self._numbers(frame, name) for name in self.kinds], 1)
        return None if np.isnan(out).any() else out

    @property
    def _dates(self) -> list[str]:
        return [name for name in self.medians if self.kinds[name].kind == DATE]

    def described(self) -> list[str]:
        """Return a line per kind of column: how many, and how they became numbers."""
        numbers = len(self.medians) - len(self._dates)
        out = []
        if self.levels:
            width = sum(map(len, self.levels.values()))
            shared = sum(levels[-1] == OTHER for levels in self.levels.values())
            rare = f", rare ones shared in {shared}" if shared else ""
            known = [_count(numbers, "column of numbers", "columns of numbers")] if numbers else []
            known.append(f"{_count(len(self.levels), 'category', 'categories')}, {width} levels{rare}")
            out.append(", ".join(known))
        if self._dates:
            out.append(f"dates as days since 1970: {few(self._dates)}")
        if self.marked:
            out.append(f"missing values replaced by the median and marked: {few(self.marked)}")
        texts = [name for name, kind in self.kinds.items() if kind.kind == TEXT]
        constant = [n for n in self.kinds if n not in {*self.medians, *self.levels, *texts}]
        if texts:
            out.append(f"left out, nearly every row has another word: {few(texts)}")
        if constant:
            out.append(f"left out, constant: {few(constant)}")
        return out

    def record(self) -> list[dict[str, Any]]:
        """Return a record per column, from which `restored` makes the object again."""
        rows = []
        for name, kind in self.kinds.items():
            row: dict[str, Any] = {"column": name, "kind": kind.kind}
            row |= {"format": kind.format} if kind.format else {}
            row |= {"median": self.medians[name]} if name in self.medians else {}
            row |= {"missing_marked": True} if name in self.marked else {}
            row |= {"levels": self.levels[name]} if name in self.levels else {}
            row |= {} if name in self.medians or name in self.levels else {"left_out": True}
            rows.append(row)
        return rows

    @classmethod
    def restored(cls, record: list[dict[str, Any]]) -> Prepare:
        """Return the object of a record."""
        out = cls({row["column"]: Kind(row["kind"], row.get("format")) for row in record})
        for row in record:
            name = row["column"]
            out.medians |= {name: float(row["median"])} if "median" in row else {}
            out.marked += [name] if row.get("missing_marked") else []
            out.levels |= {name: list(row["levels"])} if "levels" in row else {}
        return out

    def _numbers(self, frame: Any, name: str) -> np.ndarray:
        kind = self.kinds[name]
        if kind.kind == DATE:
            return days_of(frame[name], kind.format, name, "the table")
        return numbers_of(frame[name], name, "the table")

    def _words(self, frame: Any, name: str) -> np.ndarray:
        words = words_of(frame[name]).to_numpy(object)
        return np.array([ABSENT if word is None else word for word in words], object)

    def _chosen(self, words: np.ndarray) -> list[str]:
        levels, counts = np.unique(words.astype(str), return_counts=True)
        order = np.argsort(-counts, kind="stable")
        kept = [i for i in order[:LEVELS] if counts[i] >= RAREST]
        return sorted(str(levels[i]) for i in kept) + ([OTHER] if len(kept) < len(levels) else [])

    def _one_hot(self, words: np.ndarray, levels: list[str]) -> np.ndarray:
        at = {level: i for i, level in enumerate(levels)}
        index = np.array([at.get(word, at.get(OTHER, -1)) for word in words])
        out = np.zeros((len(words), len(levels)))
        rows = np.flatnonzero(index >= 0)
        out[rows, index[rows]] = 1.0
        return out


def _count(n: int, one: str, many: str) -> str:
    return f"{n} {one if n == 1 else many}"
