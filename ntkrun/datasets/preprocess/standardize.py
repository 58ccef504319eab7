"""Standardisation of inputs."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ntkrun.datasets.preprocess.base import BATCH, Preprocess
from ntkrun.datasets.rows import Rows, blocks


class Standardize(Preprocess):
    """Bring each channel (images) or column (rows) to zero mean and unit variance.

    Attributes
    ----------
    mean, std : ndarray (last axis of x,), float64
    """

    name = "standardize"
    fitted = ("mean", "std")

    def __init__(self, x: Rows, rows: np.ndarray):
        axes = tuple(range(x.ndim - 1))
        total, square, count = np.zeros(x.shape[-1]), np.zeros(x.shape[-1]), 0
        shift = x[rows[:1]].astype(np.float64).reshape(-1, x.shape[-1]).mean(0)
        for block in blocks(x, rows, BATCH):
            block = block.astype(np.float64) - shift
            total += block.sum(axes)
            square += (block**2).sum(axes)
            count += block.size // x.shape[-1]
        mean = total / count
        std = np.sqrt(np.maximum(square / count - mean**2, 0))
        std[std == 0] = 1.0  # a constant channel stays zero after centring
        self.mean, self.std = mean + shift, std

    def __call__(self, x: Tensor) -> Tensor:
        """Return x (n, ...) standardised, float64."""
        mean, std = (torch.from_numpy(a).to(x.device) for a in (self.mean, self.std))
        return (x.to(torch.float64) - mean) / std
