"""Stored features of a run, one type per role: the choice of lambda takes Train and Valid, never Test."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TypeVar

import torch
from torch import Tensor

from ntkrun.maths import metrics
from ntkrun.store.shards import ShardStore

GROUPS = 256
S = TypeVar("S", bound="Shards")


@dataclass(frozen=True)
class Shards:
    """Finished shards of one role, in order: features or kernel values, with labels.

    Attributes
    ----------
    store : ShardStore
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

    store: ShardStore
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
        """Yield (features, labels) per shard, each checked before use.

        The next shard is read and checked while the caller works on this one.
        """
        with ThreadPoolExecutor(1) as reader:
            ahead = reader.submit(self.store.read, self.names[0])
            for following in [*self.names[1:], None]:
                x, y = ahead.result()
                if following is not None:
                    ahead = reader.submit(self.store.read, following)
                yield torch.from_numpy(x).to(self.device), torch.from_numpy(y).to(self.device)

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
        for receipt in self._receipts():
            if rows >= most:
                rows = 0
                out.append([])
            out[-1].append(receipt.name)
            rows += receipt.rows
        return out

    def some(self: S, names: Sequence[str]) -> S:
        """Return the named shards only."""
        return replace(self, store=self.store.only(names), names=list(names))

    def _receipts(self) -> list:
        return [self.store.receipts[name] for name in self.names]


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

    `reused` counts the shards of earlier runs. `seconds` is the computing time, also that of earlier runs.
    """

    train: Train
    valid: Valid
    test: Test
    reused: int
    seconds: float

    @property
    def store(self) -> ShardStore:
        """Store of all shards."""
        return self.train.store

    @property
    def columns(self) -> int:
        """Width of a row."""
        return self.train.columns
