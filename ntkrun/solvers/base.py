"""Base class of solvers: a grid of ridge parameters, and the problems to solve."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch

from ntkrun.executors.base import Executor
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
    """

    name: ClassVar[str]

    lambda_min: float = 1e-10
    lambda_max: float = 1e-1
    lambda_count: int = 28

    def problems(self) -> list[str]:
        """Return one sentence for every parameter that is wrong."""
        return grid_problems(type(self).__name__, self.lambda_min, self.lambda_max, self.lambda_count)

    def grid(self) -> list[float]:
        """Return the relative ridge parameters, ascending."""
        return grid(self.lambda_min, self.lambda_max, self.lambda_count)

    @abstractmethod
    def bytes(self, rows: int, columns: int, targets: int, dtype: torch.dtype) -> int:
        """Return the bytes that `primal` needs for features (rows, columns) of `dtype` and targets."""

    @abstractmethod
    def primal(self, train: Train, valid: Valid, executor: Executor) -> Problem:
        """Return the problem for features, after the work that does not depend on lambda."""

    def dual(self, train: Train, valid: Valid, executor: Executor) -> Problem:
        """Return the problem for kernel values."""
        return KernelProblem(train, valid)
