"""Ridge regression by its normal equations."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ntkrun.executors.base import Call, Executor
from ntkrun.executors.serial import Serial
from ntkrun.maths.ridge.normal import NormalEquations
from ntkrun.maths.ridge.path import EIGH_LIMIT
from ntkrun.solvers.base import Solver
from ntkrun.solvers.problem import Predictor, counted, scores
from ntkrun.store.features import Shards, Train, Valid


@dataclass(frozen=True)
class Ridge(Solver):
    """Solve ridge regression exactly, from sums over the features. Parameters are those of Solver.

    Notes
    -----
    Memory: 8 columns^2 bytes for the sums, and as much again while solving.
    """

    name = "ridge"

    def bytes(self, columns: int, targets: int) -> int:
        """Return the bytes of the sums, and as much again for a group's sums or for the factor."""
        return 2 * 8 * columns * columns

    def primal(self, train: Train, valid: Valid, executor: Executor) -> Equations:
        """Return the problem with the sums over the training rows.

        They are computed in this process with all threads, unless the executor may have workers elsewhere.
        """
        return Equations(train, valid, executor if executor.elsewhere else Serial())


class Equations:
    """Normal equations of stored features; sums over groups of shards are added in the groups' order."""

    def __init__(self, train: Train, valid: Valid, executor: Executor):
        self.valid, self.executor, self.sums = valid, executor, NormalEquations()
        self._add(train)

    def _add(self, shards: Shards) -> None:
        tasks = [Call(f"summing {g[0]} and on", (shards.some(g),)) for g in shards.groups()]
        early: dict[int, NormalEquations] = {}
        done = 0
        for number, sums in self.executor.run(group_sums, tasks):
            early[number] = sums
            while done in early:
                self.sums.merge(early.pop(done))
                done += 1

    @property
    def coarse_first(self) -> bool:
        """See Problem."""
        return len(self.sums.gram) > EIGH_LIMIT

    def path(self, relative: list[float]) -> Iterator[Predictor]:
        """See Problem."""
        return counted(self.sums.path(relative), len(relative))

    def valid_scores(self, predictors: Sequence[Predictor]) -> tuple[str, list[float]]:
        """See Problem."""
        return scores(predictors, self.valid.batches(), self.valid)

    def refit(self, relative: float) -> Predictor:
        """See Problem."""
        self._add(self.valid)
        return next(self.sums.path([relative]))


def group_sums(shards: Shards) -> NormalEquations:
    """Return the sums over some shards, as a task of an executor."""
    sums = NormalEquations()
    for z, y in shards.targets():
        sums.add(z, y)
    return sums
