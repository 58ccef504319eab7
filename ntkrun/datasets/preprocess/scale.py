"""Scaling of inputs that keeps zeros."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from ntkrun.datasets.preprocess.base import BATCH, Preprocess
from ntkrun.datasets.rows import Rows, blocks
from ntkrun.maths.sparse import SparseRows


class Scale(Preprocess):
    """Divide each column (rows) or channel (images) by its largest absolute value in training rows.

    Zeros stay zeros, so sparse rows stay sparse. A column without a non-zero stays as it is.

    Attributes
    ----------
    largest : ndarray (last axis of x,), float64
    """

    name = "scale"
    fitted = ("largest",)
    sparse = True

    def __init__(self, x: Rows, rows: np.ndarray):
        most = np.zeros(x.shape[-1])
        for block in blocks(x, rows, BATCH):
            if isinstance(block, np.ndarray):
                sizes = np.abs(block.reshape(-1, x.shape[-1]).astype(np.float64))
                np.maximum(most, sizes.max(0), out=most)
            else:
                np.maximum.at(most, block.indices, np.abs(block.data.astype(np.float64)))
        self.largest = np.where(most > 0, most, 1.0)

    def __call__(self, x: Any) -> Any:
        """Return x (n, ...) scaled, float64."""
        factor = torch.from_numpy(self.largest).to(x.device)
        return x.over(factor) if isinstance(x, SparseRows) else x.to(torch.float64) / factor
