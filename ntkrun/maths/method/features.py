"""Methods that turn rows into features whose inner products are the kernel."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ntkrun.maths.method.base import DTYPES, Method, P, Solves, torch_device
from ntkrun.maths.method.kernel import KernelMethod
from ntkrun.maths.ridge.normal import Linear
from ntkrun.maths.rng import Stream
from ntkrun.maths.sketch.count_sketch import CountSketch


class FeatureMethod(Method):
    """A method whose `transform` gives features (n, feature_dim).

    A subclass implements `_draw`, with its randomness from `seed_`, `_features` and `bytes_per_row`.
    """

    predictor = Linear

    def problem(self, solver: Solves[P]) -> P:
        """Return the form of `solver` for features."""
        return solver.primal

    @property
    def columns(self) -> int:
        """Columns of the features, after fit."""
        return self.columns_for(self.input_shape_)

    def columns_for(self, shape: Sequence[int]) -> int:
        """Return the number of columns of the features of rows shaped `shape`, before fit."""
        return self._asked or int(np.prod(shape))

    @property
    def fewest(self) -> int:
        """Minimum columns drawn; smaller requests are folded by a CountSketch."""
        return 16

    @property
    def drawn(self) -> int:
        """Columns that `_features` returns: n_components, or `fewest` if that is more."""
        return max(self._asked, self.fewest)

    @property
    def _asked(self) -> int:
        return int(getattr(self, "n_components", 0))

    def reference(self) -> KernelMethod | None:
        """Return the exact kernel method that this one approximates; None if there is none."""
        return None

    def kernel(self, X: Any, Y: Any = None) -> Any:
        """Return the exact kernel (n, m) that the method approximates; symmetric and cheaper for Y None."""
        reference = self.reference()
        if reference is None:
            raise NotImplementedError(f"{type(self).__name__} has no exact kernel")
        return reference.kernel(X, Y)

    def weight_bytes(self, shape: Sequence[int]) -> int:
        """Return the bytes of the drawn numbers that grow with the size of a row, for rows shaped `shape`."""
        return 0

    def fit_bytes(self, rows: int, shape: Sequence[int]) -> int:
        """Return the bytes of a fit to `rows` rows shaped `shape`, the rows included if they are dense."""
        dense = 0 if self._sparse else rows * int(np.prod(shape)) * torch.finfo(DTYPES[self.dtype]).bits // 8
        # numbers are drawn in float64, then converted
        return dense + 3 * self.weight_bytes(shape)

    def _fit(self, X: Any) -> None:
        self._fold = None
        if 0 < self._asked < self.fewest:
            stream = Stream(self.seed_).child("fold")
            fold = CountSketch(self.fewest, self._asked, stream, DTYPES[self.dtype])
            self._fold = fold.to(torch_device(self.device))
        n, rows = X.shape[0], self.sample_rows
        self._draw(X[spread(n, rows)] if rows < n else X)

    def _transform(self, batch: Any) -> Tensor:
        z = self._features(batch)
        return z if self._fold is None else self._fold(z)

    @abstractmethod
    def _draw(self, X: Any) -> None:
        """Draw all randomness from `seed_`, for rows shaped like X, or fit to X."""

    @abstractmethod
    def _features(self, batch: Any) -> Tensor:
        """Return the features (n, drawn) of a batch, row by row: a Tensor, or SparseRows if they stay so."""


def spread(n: int, rows: int) -> list[int]:
    """Return at most `rows` numbers below n, evenly spread: the rows that a method adapts to."""
    rows = min(rows, n)
    return [i * n // rows for i in range(rows)]
