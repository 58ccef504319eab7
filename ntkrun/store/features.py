"""Features of a run, stored or computed when they are read, one type per role.

The choice of lambda takes Train and Valid, never Test.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import torch
from torch import Tensor

from ntkrun.maths import metrics
from ntkrun.store.computed import Clock, Computed, Extent
from ntkrun.store.shards import ShardStore

GROUPS = 256
S = TypeVar("S", bound="Shards")


@dataclass(frozen=True)
class Shards:
    """Shards of one role, in order: features or kernel values, with labels.

    Attributes
    ----------
    store : ShardStore or Computed
    names : list of str
    device : torch.device
        Device of the batches.
    columns : int
        Width of a row.
    views : int
        Consecutive rows per example.
    classes : int or None
        None for regression.
    """

    store: ShardStore | Computed
    names: list[str]
    device: torch.device
    columns: int
    views: int
    classes: int | None

    def __len__(self) -> int:
        return sum(self.sizes)

    @property
    def sizes(self) -> list[int]:
        """Rows of each shard."""
        return [receipt.rows for receipt in self._receipts()]

    def batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield (features, labels) per shard, each checked before use."""
        store = self.store
        for x, y in store.each(self.names) if isinstance(store, Computed) else _ahead(store, self.names):
            yield torch.as_tensor(x).to(self.device), torch.as_tensor(y).to(self.device)

    def targets(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield (features, targets of the regression) per shard."""
        for z, y in self.batches():
            yield z, metrics.targets(y, self.classes)

    def groups(self) -> list[list[str]]:
        """Return the names in groups, the same for any executor.

        A group has at least as many rows as columns, so its sums are worth their size. There are at most
        GROUPS groups, so adding up their sums reads less than all features.
        """
        most = max(self.columns, len(self) // GROUPS)
        out, rows = list[list[str]](), most
        for name, size in zip(self.names, self.sizes, strict=True):
            if rows >= most:
                rows = 0
                out.append([])
            out[-1].append(name)
            rows += size
        return out

    def some(self: S, names: Sequence[str]) -> S:
        """Return the named shards only."""
        return replace(self, store=self.store.only(names), names=list(names))

    @property
    def stored(self) -> bool:
        """Whether the features are in files, not computed when they are read."""
        return not isinstance(self.store, Computed)

    @property
    def clock(self) -> Clock:
        """Time spent on features that are not stored; zero if they are."""
        return self.store.clock if isinstance(self.store, Computed) else Clock()

    def _receipts(self) -> list[Extent]:
        return [self.store.receipts[name] for name in self.names]


def _ahead(store: ShardStore, names: Sequence[str]) -> Iterator[tuple[Any, Any]]:
    """Yield the shards; the next one is read and checked while the caller works on this one."""
    with ThreadPoolExecutor(1) as reader:
        ahead = reader.submit(store.read, names[0])
        for following in [*names[1:], None]:
            pair = ahead.result()
            if following is not None:
                ahead = reader.submit(store.read, following)
            yield pair


class Train(Shards):
    """Rows to fit."""


class Valid(Shards):
    """Rows of the training data held out to choose lambda; the final fit includes them."""


class Test(Shards):
    """Rows to score once."""

    __test__ = False  # not a pytest class


@dataclass(frozen=True)
class Features:
    """All shards of a run.

    Attributes
    ----------
    train, valid, test : Train, Valid, Test
    found : int
        Number of stored shards that are of earlier runs.
    took : float
        Seconds to compute the stored shards, also in earlier runs, and to fit the method.
    """

    train: Train
    valid: Valid
    test: Test
    found: int
    took: float

    @property
    def reused(self) -> int:
        """Number of shards that were not computed, so far: they are of earlier runs, or in sums of them."""
        return self.found + self.train.clock.reused

    @property
    def seconds(self) -> float:
        """Computing time so far, also that of earlier runs; with the sums of features that are not stored."""
        return self.took + self.train.clock.spent + self.train.clock.earlier

    @property
    def store(self) -> ShardStore | Computed:
        """Store of the training shards; its folder is that of the run's features."""
        return self.train.store

    @property
    def columns(self) -> int:
        """Width of a row."""
        return self.train.columns
