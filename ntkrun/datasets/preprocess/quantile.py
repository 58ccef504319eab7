"""Ranks of inputs as quantiles of a normal distribution."""

from __future__ import annotations

import numpy as np
import torch
from scipy.stats import norm
from torch import Tensor

from ntkrun.datasets.preprocess.base import Preprocess
from ntkrun.datasets.rows import Rows

ROWS, KNOTS = 10_000, 1000  # most training rows that the ranks are taken from, most knots per column


class Quantile(Preprocess):
    """Bring each column (rows) or channel (images) to a normal distribution by its ranks.

    A value of rank r among n becomes the r / n quantile of the standard normal distribution (van der Waerden
    1952). Equal values share the middle of their ranks, so that a column of zeros and ones keeps two moderate
    values. Between training values it is linear, beyond them constant: outliers cannot stretch a column.

    Attributes
    ----------
    knots, scores : ndarray (k, last axis of x), float64
        Training values of each column, ascending, and what they become; short columns repeat the last.
    """

    name = "quantile"
    fitted = ("knots", "scores")

    def __init__(self, x: Rows, rows: np.ndarray):
        some = rows[np.arange(min(len(rows), ROWS)) * len(rows) // min(len(rows), ROWS)]
        curves = [_curve(column) for column in x[some].reshape(-1, x.shape[-1]).astype(np.float64).T]
        length = max(2, *(len(values) for values, _ in curves))
        padded = [[np.pad(a, (0, length - len(a)), "edge") for a in curve] for curve in curves]
        self.knots, self.scores = (np.stack(side, 1) for side in zip(*padded, strict=True))

    def __call__(self, x: Tensor) -> Tensor:
        """Return x (n, ...) with normal quantiles for values, float64."""
        knots, scores = (torch.from_numpy(a.T.copy()).to(x.device) for a in (self.knots, self.scores))
        z = x.reshape(-1, x.shape[-1]).T.to(torch.float64).contiguous()
        right = torch.searchsorted(knots, z).clamp(1, knots.shape[1] - 1)
        left = right - 1
        low, high = knots.gather(1, left), knots.gather(1, right)
        share = ((z - low) / (high - low).clamp(min=1e-300)).clamp(0, 1)
        out = torch.lerp(scores.gather(1, left), scores.gather(1, right), share)
        return out.T.reshape(x.shape)


def _curve(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return at most KNOTS of the values (n,), ascending, and the normal quantiles of their ranks."""
    distinct, counts = np.unique(values, return_counts=True)
    middle = (np.cumsum(counts) - counts / 2) / len(values)
    kept = np.unique(np.searchsorted(middle, np.linspace(middle[0], middle[-1], KNOTS)))
    kept = kept[kept < len(distinct)]
    return distinct[kept], norm.ppf(middle[kept])
