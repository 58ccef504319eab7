"""Base class of solvers: a grid of ridge parameters, and the problems to solve."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch

from ntkrun import checks
from ntkrun.errors import ConfigError, must_be
from ntkrun.executors.base import Executor
from ntkrun.maths import scores
from ntkrun.maths.ridge.path import grid, grid_problems
from ntkrun.solvers.kernel import KernelProblem
from ntkrun.solvers.problem import Problem
from ntkrun.store.features import Train, Valid


@dataclass(frozen=True)
class Solver(ABC):
    """Ridge regression over stored features or kernel values; lambda is chosen from a grid.

    Parameters
    ----------
    lambda_min, lambda_max : float
        Ends of the grid, relative to the mean squared norm of the centred features.
    lambda_count : int
        Number of points of the grid, equally spaced in the logarithm.
    select_by : str or None
        Score on the held-out rows that chooses lambda: accuracy, balanced_accuracy, f1_macro, auc, log_loss
        or brier for classes; mse, mae or r2 for targets that are numbers. None is accuracy or mse.
    level : float
        Share of rows whose truth the intervals, or the sets of classes, should hold.
    """

    name: ClassVar[str]

    lambda_min: float = 1e-10
    lambda_max: float = 1e-1
    lambda_count: int = 28
    select_by: str | None = None
    level: float = 0.9

    def problems(self) -> list[str]:
        """Return one sentence for every parameter that is wrong."""
        me = type(self).__name__
        out = grid_problems(me, self.lambda_min, self.lambda_max, self.lambda_count)
        if self.select_by is not None:
            out += checks.choice(me, "select_by", self.select_by, (*scores.CLASSES, *scores.TARGETS))
        return out + checks.real(me, "level", self.level, 0, 1)

    def check(self, classes: int | None) -> None:
        """Raise ConfigError if `select_by` is no score of data with so many classes (None: of numbers)."""
        allowed, kind = (scores.TARGETS, "numbers") if classes is None else (scores.CLASSES, "classes")
        if self.select_by is not None and self.select_by not in allowed:
            constraint = f"one of {', '.join(allowed)}, or null, for targets that are {kind}"
            raise ConfigError(must_be("select_by", type(self).__name__, constraint, self.select_by))

    def grid(self) -> list[float]:
        """Return the relative ridge parameters, ascending."""
        return grid(self.lambda_min, self.lambda_max, self.lambda_count)

    @abstractmethod
    def bytes(self, rows: int, columns: int, targets: int, dtype: torch.dtype) -> int:
        """Return the bytes that `primal` needs for features (rows, columns) of `dtype` and targets."""

    def rereads(self, rows: int, columns: int) -> tuple[str, str] | None:
        """Return why `primal` needs stored features (rows, columns), and the remedy; None if it does not."""
        return f"solver={self.name}, which reads them many times", "Take features=stored or solver=ridge."

    def group_bytes(self, columns: int, dtype: torch.dtype) -> int:
        """Return the bytes of the sums over a group of shards."""
        return 8 * columns**2

    def operations(self, rows: int, columns: int) -> float:
        """Return a number that the time of `primal` for features (rows, columns) is proportional to."""
        least = min(rows, columns)
        return float(rows) * columns * least + 4.0 * least**3  # the products, and a dozen factors

    @abstractmethod
    def primal(self, train: Train, valid: Valid, executor: Executor) -> Problem:
        """Return the problem for features, after the work that does not depend on lambda."""

    def dual(self, train: Train, valid: Valid, executor: Executor) -> Problem:
        """Return the problem for kernel values."""
        return KernelProblem(train, valid)
