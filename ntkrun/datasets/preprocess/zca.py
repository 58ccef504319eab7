"""ZCA whitening of inputs."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ntkrun.datasets.preprocess.base import BATCH, Preprocess, equal_contrast
from ntkrun.datasets.rows import Rows, blocks
from ntkrun.maths.eigen import eigh

# added before the inverse root, as a share of the mean eigenvalue: limits the amplification of noise
REGULARISER = 0.1


class ZCA(Preprocess):
    """Whiten inputs, changing them least: (x - mean) (C + r I)^(-1/2) (Bell & Sejnowski 1997).

    C is the covariance of training rows and r is REGULARISER times its mean eigenvalue. Each image is first
    brought to mean zero and unit norm, so contrast and brightness do not count.

    Attributes
    ----------
    mean, matrix : ndarray (d,) and (d, d), float32
        d is the number of entries of a row.
    """

    name = "zca"
    fitted = ("mean", "matrix")

    def __init__(self, x: Rows, rows: np.ndarray):
        d = int(np.prod(x.shape[1:]))
        total, gram = torch.zeros(d, dtype=torch.float64), torch.zeros(d, d, dtype=torch.float64)
        shift: Tensor | None = None
        for block in blocks(x, rows, BATCH):
            z = self._rows(torch.from_numpy(block))
            shift = z.mean(0) if shift is None else shift
            z = (z - shift).to(torch.float32)
            gram += z.T @ z
            total += z.sum(0, dtype=torch.float64)
        assert shift is not None
        mean = total / len(rows)
        covariance = gram / len(rows) - torch.outer(mean, mean)
        values, vectors = eigh(covariance)
        scale = float(values.mean()) or 1.0  # constant inputs stay zero
        inverse = (values.clamp(min=0) + REGULARISER * scale).rsqrt()
        self.matrix = ((vectors * inverse) @ vectors.T).to(torch.float32).numpy()
        self.mean = (mean + shift).to(torch.float32).numpy()

    def _rows(self, x: Tensor) -> Tensor:
        z = x.flatten(1).to(torch.float64)
        return equal_contrast(z) if x.ndim == 4 else z

    def __call__(self, x: Tensor) -> Tensor:
        """Return x (n, ...) whitened, float32."""
        mean, matrix = (torch.from_numpy(a).to(x.device) for a in (self.mean, self.matrix))
        return ((self._rows(x).to(torch.float32) - mean) @ matrix).reshape(x.shape)
