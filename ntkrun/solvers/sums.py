"""Sums of the normal equations over groups of shards, in this process or in workers."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from ntkrun.executors.base import Call, Executor
from ntkrun.maths.ridge.normal import NormalEquations
from ntkrun.progress import progress
from ntkrun.store.features import Shards, Train, Valid
from ntkrun.store.sums import Kept, SumsFolder

log = logging.getLogger(__name__)

SINGLE = 4096  # columns from which float32 sums are worth a check
ROWS = 2048  # rows of a float32 product: its sums are read and written once per product


class GroupSums:
    """Sums over the groups of the training rows, then over those of the held-out rows, in this order.

    The sums of features that are not stored are kept in files, see SumsFolder: a run that is killed goes on
    from the last one, and a run of the same features finds those of the training rows.

    Attributes
    ----------
    sums : NormalEquations
    rounded : bool
        Whether any of them are in float32.
    """

    def __init__(self, train: Train, valid: Valid, executor: Executor, precision: str):
        self.sums, self.rounded = NormalEquations(), False
        self._executor, self._precision = executor, precision
        self._done, self._seconds = 0, 0.0
        self._kept: SumsFolder | None = None
        if not train.stored:
            groups = [shards.groups() for shards in (train, valid)]
            spec = {"precision": precision, "device": train.device.type, "groups": groups}
            first, every = len(groups[0]), len(groups[0]) + len(groups[1])
            self._kept = SumsFolder(train.store.folder, spec, every, (first, every))

    def add(self, shards: Shards) -> None:
        """Add the sums over the groups of some shards."""
        groups, clock, before = shards.groups(), shards.clock, self._seconds
        todo = groups[self._resume(shards, groups) :]
        tasks = [Call(f"summing {g[0]} and on", (shards.some(g), self._precision)) for g in todo]
        states = self._executor.folded(group_sums, tasks, merged, (self.sums, self.rounded))
        rows = dict(zip(shards.names, shards.sizes, strict=True))
        begin = clock.spent - self._seconds
        title = "sum       " if shards.stored else "featurize "
        with progress(title, sum(rows[name] for g in todo for name in g), "rows") as advance:
            for group, state in zip(todo, clock.timed(states), strict=True):
                self._done += 1
                self._seconds = clock.spent - begin
                advance(sum(rows[name] for name in group))
                if self._kept and self._kept.wants(self._done):
                    self.sums, self.rounded = state()
                    self._kept.write(Kept(self.sums, self._done, self._seconds, self.rounded))
        if todo:
            self.sums, self.rounded = state()
        if not shards.stored:
            log.info("featurize  %d rows in %.1f s, summed", len(shards), self._seconds - before)

    def _resume(self, shards: Shards, groups: list[list[str]]) -> int:
        """Take the sums over most of these groups from a file; return the number of groups that they have."""
        before, last = self._done, self._done + len(groups)
        found = self._kept and self._kept.newest(before + 1, last, shards.device)
        if not found:
            return 0
        self.sums, self.rounded, self._done = found.sums, found.rounded, found.count
        if not shards.stored:
            known = sum(len(group) for group in groups[: found.count - before])
            log.info("featurize  the sums over %d of %d shards are there", known, len(shards.names))
            shards.clock.reused += known
            shards.clock.earlier += found.seconds - self._seconds
        self._seconds = found.seconds
        return found.count - before


def merged(state: tuple[NormalEquations, bool], sums: NormalEquations) -> tuple[NormalEquations, bool]:
    """Add the sums of a group to those of all before it, in place."""
    before, rounded = state
    before.merge(sums)
    return before, rounded or sums.single


def single(precision: str, columns: int, dtype: torch.dtype) -> bool:
    """Return whether features of these columns and this dtype are summed in float32; see `sums` of Ridge."""
    return precision == "float32" or (precision == "auto" and columns >= SINGLE and dtype == torch.float32)


def group_sums(shards: Shards, precision: str) -> NormalEquations:
    """Return the sums over some shards, as a task of an executor."""
    batches = shards.targets()
    first = next(batches)
    sums = NormalEquations(single(precision, shards.columns, first[0].dtype))
    batches = itertools.chain([first], batches)
    for z, y in _joined(batches, ROWS) if sums.single else batches:
        sums.add(z, y)
    return sums


def _joined(batches: Iterable[tuple[Tensor, Tensor]], rows: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield batches joined to at least `rows` rows, except the last."""
    waiting: list[tuple[Tensor, Tensor]] = []
    for batch in batches:
        waiting.append(batch)
        if sum(len(z) for z, _ in waiting) >= rows:
            yield torch.cat([z for z, _ in waiting]), torch.cat([y for _, y in waiting])
            waiting = []
    if waiting:
        yield torch.cat([z for z, _ in waiting]), torch.cat([y for _, y in waiting])
