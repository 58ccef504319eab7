"""Ridge regression by its normal equations."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ntkrun import checks
from ntkrun.executors.base import Call, Executor
from ntkrun.executors.serial import Serial
from ntkrun.maths.ridge.cholesky import dual_bytes
from ntkrun.maths.ridge.gram import HELD_BYTES
from ntkrun.maths.ridge.normal import NormalEquations
from ntkrun.maths.ridge.path import EIGH_LIMIT
from ntkrun.maths.ridge.refine import refined
from ntkrun.solvers.base import Solver
from ntkrun.solvers.problem import HeldOut, Predictor, Problem, counted, scores
from ntkrun.solvers.products import Products
from ntkrun.store.features import Shards, Train, Valid

log = logging.getLogger(__name__)

SINGLE = 4096  # columns from which float32 sums are worth a check
ROWS = 2048  # rows of a float32 product: its sums are read and written once per product


@dataclass(frozen=True)
class Ridge(Solver):
    """Solve ridge regression exactly, on the cheaper side.

    Rows that are fewer than their columns are solved by the inner products of all pairs of them (dual),
    others by sums over the rows (primal). The solution is the same.

    Parameters
    ----------
    lambda_min, lambda_max, lambda_count, select_by, level
        As for Solver.
    sums : {"auto", "float32", "float64"}
        Precision of the products in the sums of the primal. "float32" takes half the time and is checked at
        the chosen lambda: if the objective cannot be brought within 1e-6 of its minimum, the sums are
        computed again in float64. "auto" is "float32" for float32 features of at least SINGLE columns.

    Notes
    -----
    Memory: primal 16 columns^2 bytes, or 12 with sums in float32; dual 24 rows^2, or 8 from 4,096 rows on,
    and up to 2 GiB of rows.
    """

    name = "ridge"

    sums: str = "auto"

    def problems(self) -> list[str]:
        """Return one sentence for every parameter that is wrong."""
        return super().problems() + checks.choice("Ridge", "sums", self.sums, ("auto", "float32", "float64"))

    def bytes(self, rows: int, columns: int, targets: int, dtype: torch.dtype) -> int:
        """Return the bytes of the sums, and of a group's sums or of the factor.

        In the dual: those of the products, centred and factored, and of the rows that are held.
        """
        if rows < columns:
            return dual_bytes(rows, dtype) + min(HELD_BYTES, 8 * rows * columns)
        if single(self.sums, columns, dtype):
            # a batch joined, centred in float64 and in float32
            return 12 * columns**2 + 16 * ROWS * columns
        return 16 * columns**2

    def primal(self, train: Train, valid: Valid, executor: Executor) -> Problem:
        """Return the problem with the sums over the training rows, or with the products of all rows.

        They are computed in this process with all threads, except that sums go to an executor that may have
        workers elsewhere.
        """
        if len(train) + len(valid) < train.columns:
            return Products(train, valid)
        return Equations(train, valid, executor if executor.elsewhere else Serial(), self.sums)


class Equations:
    """Normal equations of stored features; sums over groups of shards are added in the groups' order."""

    def __init__(self, train: Train, valid: Valid, executor: Executor, precision: str = "auto"):
        self.train, self.valid, self.executor, self.precision = train, valid, executor, precision
        self.sums, self.rounded = NormalEquations(), False
        self._add(train)

    def _add(self, shards: Shards) -> None:
        tasks = [Call(f"summing {g[0]} and on", (shards.some(g), self.precision)) for g in shards.groups()]
        early: dict[int, NormalEquations] = {}
        done = 0
        for number, sums in self.executor.run(group_sums, tasks):
            early[number] = sums
            self.rounded |= sums.single
            del sums  # they are as large as the next group's
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

    def valid_scores(self, predictors: Sequence[Predictor]) -> HeldOut:
        """See Problem."""
        return scores(predictors, self.valid.batches(), self.valid)

    def refit(self, relative: float) -> Predictor:
        """See Problem. Sums in float32 are refined, or computed again in float64 if that fails."""
        self._add(self.valid)
        if self.rounded:
            found = refined(self.sums, relative, self._targets)
            if found is not None:
                log.info("regress    sums in float32: objective within %.0e of its minimum", found.gap)
                return found.fit
            log.info("regress    sums in float32 are not enough for relative lambda %.1e: float64", relative)
            self.sums, self.precision = NormalEquations(), "float64"
            self._add(self.train)
            self._add(self.valid)
        return next(self.sums.path([relative]))

    def _targets(self) -> Iterator[tuple[Tensor, Tensor]]:
        return itertools.chain(self.train.targets(), self.valid.targets())


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
