"""Ascending row numbers in one bit per row."""

from __future__ import annotations

import numpy as np

GROUP = 1 << 16  # rows whose bits are unpacked together, a multiple of 8


class Chosen:
    """Some of `total` rows, by their numbers. It takes total / 8 bytes.

    Parameters
    ----------
    rows : ndarray of int (k,)
        Ascending, each once.
    total : int
    """

    def __init__(self, rows: np.ndarray, total: int):
        if len(rows) and (rows[0] < 0 or rows[-1] >= total or (np.diff(rows) <= 0).any()):
            raise ValueError(f"rows must be ascending numbers below {total}")
        self.total = total
        flags = np.zeros(total, bool)
        flags[rows] = True
        self.bits = np.packbits(flags)
        ends = [np.count_nonzero(flags[i : i + GROUP]) for i in range(0, total, GROUP)]
        self.ends = np.cumsum(ends, dtype=np.int64)  # members up to the end of each group

    def __len__(self) -> int:
        return int(self.ends[-1]) if len(self.ends) else 0

    def between(self, start: int, stop: int) -> np.ndarray:
        """Return the rows of members start..stop, (stop - start,) int64."""
        if start >= stop:
            return np.empty(0, np.int64)
        first, last = np.searchsorted(self.ends, [start, stop - 1], side="right")
        before = int(self.ends[first - 1]) if first else 0
        rows = self._rows(int(first), int(last) + 1)
        return rows[start - before : stop - before]

    def at(self, members: np.ndarray) -> np.ndarray:
        """Return the rows of any members, (k,) int64."""
        out = np.empty(len(members), np.int64)
        group = np.searchsorted(self.ends, members, side="right")
        for number in np.unique(group):
            before = self.ends[number - 1] if number else 0
            here = group == number
            out[here] = self._rows(int(number), int(number) + 1)[members[here] - before]
        return out

    def _rows(self, first: int, last: int) -> np.ndarray:
        """Return the rows in groups first..last."""
        bits = self.bits[first * GROUP // 8 : last * GROUP // 8]
        return np.flatnonzero(np.unpackbits(bits)) + first * GROUP
