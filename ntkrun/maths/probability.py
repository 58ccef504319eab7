"""Class probabilities from the values of a ridge regression, and how good they are.

The values are regressions on one-hot targets minus 1/k (`metrics.targets`), not logits. Probabilities are
softmax(values / T) with a temperature T fitted to held-out rows; see docs/math.md, section 10.
"""

from __future__ import annotations

import math

import torch
from scipy.optimize import brentq
from torch import Tensor

BETAS = (1e-3, 1e6)
BINS = 15


def temperature(values: Tensor, index: Tensor, weight: Tensor | None = None, extra: float = 1.0) -> float:
    """Return the T for which softmax(values / T) fits the classes best: least log-loss.

    A few rows more, of every class alike, keep T > 0 even if all rows are right (Platt 1999 has one per
    class). The log-loss is convex in 1/T, so its minimum is the root of its slope.

    Parameters
    ----------
    values : Tensor (n, k), float64
        Predictions for rows that were not fitted.
    index : Tensor (n,), int64
        Classes of the rows.
    weight : Tensor (n,) or None
        Weights of the rows; None means one each.
    extra : float
        Number of the rows more, of all classes together. Their values are those of the n rows on average.
    """
    weight = values.new_ones(len(values)) if weight is None else weight
    k, n = values.shape[1], float(weight.sum())
    aim = (n * values.gather(1, index[:, None])[:, 0] + extra / k * values.sum(1)) / (n + extra)

    def slope(log_beta: float) -> float:
        # slope of the negative log likelihood, which increases with beta = 1 / T
        p = (math.exp(log_beta) * values).softmax(1)
        return float(weight @ ((p * values).sum(1) - aim)) / n

    low, high = (math.log(beta) for beta in BETAS)
    if slope(low) >= 0:
        return 1 / BETAS[0]
    if slope(high) <= 0:
        return 1 / BETAS[1]
    return math.exp(-brentq(slope, low, high, xtol=1e-13))


def log_loss(values: Tensor, y: Tensor, temperature: float) -> float:
    """Return the mean of -log p of the true classes y (n,) for p = softmax(values / temperature), in nats."""
    return -float((values / temperature).log_softmax(1).gather(1, y.long()[:, None]).mean())


def brier(p: Tensor, y: Tensor) -> float:
    """Return the mean over rows of the squared distance of p (n, k) from the one-hot classes, in [0, 2].

    Brier (1950), as a sum over classes. For two classes it is twice the score of the second class alone.
    """
    return float((p - torch.nn.functional.one_hot(y.long(), p.shape[1])).square().sum(1).mean())


def calibration_error(p: Tensor, y: Tensor, bins: int = BINS) -> float:
    """Return the expected calibration error of the predicted class, in [0, 1] (Guo et al. 2017).

    Rows are put into `bins` bins of equal width by the probability of their predicted class. The error is
    the mean over rows of |accuracy - mean probability| of the row's bin.

    Parameters
    ----------
    p : Tensor (n, k), float64
        Probabilities; each row sums to 1.
    y : Tensor (n,)
        Classes.
    bins : int
        15 as in the reference. A bin holds its upper end.
    """
    sure, chosen = p.max(1)
    at = (sure * bins).ceil().long().sub(1).clamp(0, bins - 1)
    gap = (chosen == y.long()).to(p) - sure
    return float(p.new_zeros(bins).index_add(0, at, gap).abs().sum()) / len(p)


def clipped(values: Tensor) -> Tensor:
    """Return probabilities (n, k) without a temperature: values + 1/k, cut at 0 and scaled to sum 1.

    values + 1/k are the least-squares estimates of the classes' probabilities and sum to 1, but may leave
    [0, 1].
    """
    p = (values + 1 / values.shape[1]).clamp(min=0)
    return p / p.sum(1, keepdim=True).clamp(min=torch.finfo(p.dtype).tiny)
