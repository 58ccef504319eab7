"""Ridge regression by its normal equations."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ntkrun.executors.base import Call, Executor
from ntkrun.executors.serial import Serial
from ntkrun.maths.ridge.gram import HELD_BYTES
from ntkrun.maths.ridge.normal import NormalEquations
from ntkrun.maths.ridge.path import EIGH_LIMIT
from ntkrun.solvers.base import Solver
from ntkrun.solvers.problem import Predictor, Problem, counted, scores
from ntkrun.solvers.products import Products
from ntkrun.store.features import Shards, Train, Valid


@dataclass(frozen=True)
class Ridge(Solver):
    """Solve ridge regression exactly, on the cheaper side. Parameters are those of Solver.

    Rows that are fewer than their columns are solved by the inner products of all pairs of them (dual),
    others by sums over the rows (primal). The solution is the same.

    Notes
    -----
    Memory: primal 16 columns^2 bytes, dual 24 rows^2 and up to 2 GiB of rows.
    """

    name = "ridge"

    def bytes(self, rows: int, columns: int, targets: int) -> int:
        """Return the bytes of the sums, and as much again for a group's sums or for the factor.

        In the dual: those of the products, centred and factored, and of the rows that are held.
        """
        if rows < columns:
            return 3 * 8 * rows**2 + min(HELD_BYTES, 8 * rows * columns)
        return 2 * 8 * columns**2

    def primal(self, train: Train, valid: Valid, executor: Executor) -> Problem:
        """Return the problem with the sums over the training rows, or with the products of all rows.

        They are computed in this process with all threads, except that sums go to an executor that may have
        workers elsewhere.
        """
        if len(train) + len(valid) < train.columns:
            return Products(train, valid)
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
