"""Shards that are computed when they are read, and the time that this takes."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class Extent(Protocol):
    """A shard, as far as its size goes."""

    @property
    def rows(self) -> int:
        """Number of rows."""


class Clock:
    """Time spent on features that are computed when they are read, and the shards that were not.

    Attributes
    ----------
    spent : float
        Seconds of this process.
    earlier : float
        Seconds of earlier runs, whose results were reused.
    reused : int
        Shards in these results.
    """

    def __init__(self) -> None:
        self.spent = self.earlier = 0.0
        self.reused = 0

    def timed(self, results: Iterable[T]) -> Iterator[T]:
        """Yield the results, and add the time to get them."""
        begin = time.perf_counter()
        for result in results:
            self.spent += time.perf_counter() - begin
            yield result
            del result  # it may be large
            begin = time.perf_counter()
        self.spent += time.perf_counter() - begin


class Computed(ABC):
    """Shards that are computed when they are read, in place of a ShardStore.

    Attributes
    ----------
    folder : Path
        Where a ShardStore would keep them: its name is their content key.
    clock : Clock
    receipts : dict
        The size of every shard, by its name.
    """

    folder: Path
    clock: Clock
    receipts: Mapping[str, Extent]

    @abstractmethod
    def each(self, names: Sequence[str]) -> Iterator[tuple[Any, Any]]:
        """Yield features and labels of the shards in this order."""

    @abstractmethod
    def only(self, names: Sequence[str]) -> Computed:
        """Return some of the shards, for a task: it computes them where it runs, and nothing is timed."""
