"""Ridge regression by its normal equations."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ntkrun import checks
from ntkrun.executors.base import Executor
from ntkrun.executors.serial import Serial
from ntkrun.maths.ridge.cholesky import dual_bytes
from ntkrun.maths.ridge.gram import HELD_BYTES
from ntkrun.maths.ridge.normal import NormalEquations
from ntkrun.maths.ridge.path import EIGH_LIMIT
from ntkrun.maths.ridge.refine import refined
from ntkrun.solvers.base import Solver
from ntkrun.solvers.problem import HeldOut, Predictor, Problem, counted, scores
from ntkrun.solvers.products import Products
from ntkrun.solvers.sums import ROWS, GroupSums, single
from ntkrun.store.features import Train, Valid

log = logging.getLogger(__name__)


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
        workers elsewhere, or if they compute the features.
        """
        if len(train) + len(valid) < train.columns:
            return Products(train, valid)
        summing = executor if executor.elsewhere or not train.stored else Serial()
        return Equations(train, valid, summing, self.sums)

    def rereads(self, rows: int, columns: int) -> tuple[str, str] | None:
        """See Solver."""
        if rows >= columns:
            return None
        why = f"fewer rows ({rows}) than columns ({columns}), whose products are taken"
        return why, f"Take features=stored or feature_dim={rows}."

    def group_bytes(self, columns: int, dtype: torch.dtype) -> int:
        """See Solver."""
        return (4 if single(self.sums, columns, dtype) else 8) * columns**2


class Equations:
    """Normal equations of features, from their sums over groups of shards."""

    def __init__(self, train: Train, valid: Valid, executor: Executor, precision: str = "auto"):
        self.train, self.valid, self.executor = train, valid, executor
        self.groups = self._summed(precision)

    def _summed(self, precision: str) -> GroupSums:
        """Return the sums over the training rows."""
        out = GroupSums(self.train, self.valid, self.executor, precision)
        out.add(self.train)
        return out

    @property
    def sums(self) -> NormalEquations:
        """The sums so far."""
        return self.groups.sums

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
        self.groups.add(self.valid)
        if self.groups.rounded:
            found = refined(self.sums, relative, self._targets)
            if found is not None:
                log.info("regress    sums in float32: objective within %.0e of its minimum", found.gap)
                return found.fit
            log.info("regress    sums in float32 are not enough for relative lambda %.1e: float64", relative)
            self.groups = self._summed("float64")
            self.groups.add(self.valid)
        return next(self.sums.path([relative]))

    def _targets(self) -> Iterator[tuple[Tensor, Tensor]]:
        return itertools.chain(self.train.targets(), self.valid.targets())
