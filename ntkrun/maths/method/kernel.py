"""Exact kernels as methods; the features of a row are its kernel values with all training rows."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

from ntkrun.maths.method.base import Method, P, Solves
from ntkrun.maths.ridge.dual import KernelPredictor


class KernelMethod(Method):
    """A method whose `transform` gives kernel values (n, rows of fit). `kernel` and `pairs` need no fit.

    A subclass implements `kernel`, `pairs` and `bytes_per_row`.
    """

    predictor = KernelPredictor

    def problem(self, solver: Solves[P]) -> P:
        """Return the form of `solver` for kernel values."""
        return solver.dual

    @property
    def columns(self) -> int:
        """Number of training rows, after fit."""
        return len(self.X_fit_)

    def columns_for(self, shape: Sequence[int]) -> int:
        """Raise TypeError: the number of training rows is not known before fit."""
        raise TypeError(f"{type(self).__name__} has as many columns as training rows")

    @abstractmethod
    def kernel(self, X: Any, Y: Any = None) -> Any:
        """Return the kernel (n, m) of X and Y; symmetric and cheaper for Y None."""

    @abstractmethod
    def pairs(self, X: Any, Y: Any, ix: np.ndarray, iy: np.ndarray) -> Tensor:
        """Return single kernel entries k(X[ix[p]], Y[iy[p]]), a tensor (len(ix),)."""

    def _fit(self, X: Any) -> None:
        self.X_fit_ = self._tensor(X)

    def _transform(self, batch: Tensor) -> Tensor:
        return self.kernel(batch, self.X_fit_)
