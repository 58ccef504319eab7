"""Ridge regression by conjugate gradients that read the stored features once per step."""

from __future__ import annotations

import itertools
import logging
import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ntkrun import checks
from ntkrun.executors.base import Executor
from ntkrun.maths.ridge.normal import Linear
from ntkrun.maths.ridge.streamed import Streamed
from ntkrun.progress import progress
from ntkrun.solvers.base import Solver
from ntkrun.solvers.problem import HeldOut, Predictor, scores
from ntkrun.store.features import Train, Valid

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RidgeCG(Solver):
    """Solve ridge regression to a tolerance, in memory linear in the columns.

    Parameters
    ----------
    lambda_min, lambda_max, lambda_count, select_by, level
        As for Solver; all points of the grid are solved together.
    rank : int
        Number of eigenvectors of the covariance in the preconditioner.
    tolerance : float
        Relative distance of the objective from its minimum at which a lambda is done.
    max_passes : int
        Most passes over the features for the whole path.
    """

    name = "ridge_cg"

    lambda_min: float = 1e-6
    lambda_count: int = 6
    rank: int = 512
    tolerance: float = 1e-4
    max_passes: int = 200

    def problems(self) -> list[str]:
        """Return one sentence for every parameter that is wrong."""
        out = super().problems() + checks.integer("RidgeCG", "rank", self.rank, 1)
        out += checks.real("RidgeCG", "tolerance", self.tolerance, 0, 1)
        return out + checks.integer("RidgeCG", "max_passes", self.max_passes, 1)

    def operations(self, rows: int, columns: int) -> float:
        """See Solver: the entries of a pass. Passes are taken to be as many as before."""
        return float(rows) * columns

    def bytes(self, rows: int, columns: int, targets: int, dtype: torch.dtype) -> int:
        """Return the bytes to make the preconditioner, and of the vectors per lambda and target."""
        return 8 * columns * (3 * min(self.rank, columns) + 7 * targets * self.lambda_count)

    def primal(self, train: Train, valid: Valid, executor: Executor) -> Passes:
        """Return the problem with its preconditioner."""
        return Passes(train, valid, self)


class Passes:
    """Problem that reads the stored features again for each step."""

    coarse_first = False  # all lambdas share each pass

    def __init__(self, train: Train, valid: Valid, solver: RidgeCG):
        self.train, self.valid, self.solver = train, valid, solver
        self.problem = Streamed(train.targets, solver.rank)
        self.found: dict[float, Linear] = {}

    def path(self, relative: list[float]) -> Iterator[Predictor]:
        """See Problem."""
        self.found = dict(zip(relative, self._solve(self.problem, relative), strict=True))
        yield from self.found.values()

    def valid_scores(self, predictors: Sequence[Predictor]) -> HeldOut:
        """See Problem."""
        return scores(predictors, self.valid.batches(), self.valid)

    def refit(self, relative: float) -> Predictor:
        """See Problem. The preconditioner is kept: a few more rows hardly change the eigenvectors."""

        def every() -> Iterator[tuple[Tensor, Tensor]]:
            return itertools.chain(self.train.targets(), self.valid.targets())

        problem = Streamed(every, self.solver.rank, preconditioner=self.problem.preconditioner)
        return self._solve(problem, [relative], self.found[relative].weight)[0]

    def _solve(self, problem: Streamed, relative: list[float], start: Tensor | None = None) -> list[Linear]:
        digits, shown = -math.log10(self.solver.tolerance), 0.0
        with progress("regress   ", 100, "%") as advance:

            def watch(gap: float) -> None:
                nonlocal shown
                now = 100 * min(1.0, -math.log10(max(gap, sys.float_info.min)) / digits)
                advance(max(0.0, now - shown))
                shown = max(shown, now)

            solution = problem.solve(relative, self.solver.tolerance, self.solver.max_passes, start, watch)
        log.info("regress    %d passes over the features", solution.passes)
        for lam, gap in zip(relative, solution.gaps, strict=True):
            if gap > self.solver.tolerance:
                log.warning(
                    "relative lambda %.1e is %.1g above its minimum after solver.max_passes=%d; a larger "
                    "solver.rank needs fewer passes",
                    lam,
                    gap,
                    self.solver.max_passes,
                )
        return solution.fits
