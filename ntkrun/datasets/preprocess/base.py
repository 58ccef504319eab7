"""Base class and helpers of preprocessing."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor

from ntkrun.datasets.rows import Rows
from ntkrun.maths.sparse import SparseRows, is_sparse

BATCH = 1024  # rows: it is part of the numbers, as sums are rounded batch by batch
# the spread of a row below this share of its norm is rounding
BLANK = 1e-12


class Preprocess(ABC):
    """Map of inputs, fitted to training rows batch by batch.

    Parameters
    ----------
    x : source of rows (n, ...)
    rows : ndarray of int
        Rows of x that it is fitted to.
    """

    name: ClassVar[str]
    fitted: ClassVar[tuple[str, ...]]  # attributes, as a saved model has them
    sparse: ClassVar[bool] = False  # whether it keeps zeros, so that sparse rows stay sparse

    @abstractmethod
    def __init__(self, x: Rows, rows: np.ndarray): ...

    @abstractmethod
    def __call__(self, x: Any) -> Any:
        """Return x (n, ...), a tensor or SparseRows if it keeps zeros, preprocessed, of the same shape."""

    def arrays(self) -> list[np.ndarray]:
        """Return the fitted arrays: they enter the hash of the data and the saved model."""
        return [getattr(self, key) for key in self.fitted]

    @classmethod
    def restore(cls, arrays: list[np.ndarray]) -> Self:
        """Return the object that has these `arrays`."""
        out = cls.__new__(cls)
        for key, array in zip(cls.fitted, arrays, strict=True):
            setattr(out, key, array)
        return out


def prepared(x: Any, preprocess: Preprocess, dtype: torch.dtype, device: torch.device | str) -> Any:
    """Return raw rows x (n, ...) preprocessed: a tensor, or SparseRows of a sparse matrix."""
    if is_sparse(x):
        return preprocess(SparseRows.of(x, torch.float64, device)).to(dtype)
    return preprocess(torch.from_numpy(np.ascontiguousarray(x)).to(device)).to(dtype)


def equal_contrast(z: Tensor) -> Tensor:
    """Return rows z (n, d), each with mean zero and unit norm; blank rows become zero."""
    before = torch.linalg.vector_norm(z, dim=1, keepdim=True)
    z = z - z.mean(1, keepdim=True)
    norm = torch.linalg.vector_norm(z, dim=1, keepdim=True)
    return z / torch.where(norm > BLANK * before, norm, torch.inf)
