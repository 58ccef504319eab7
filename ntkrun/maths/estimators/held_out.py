"""Choice of held-out rows, and the temperature of class probabilities fitted to them."""

from __future__ import annotations

import math

import torch
from scipy.optimize import brentq
from torch import Tensor

from ntkrun.maths.ridge.normal import Linear
from ntkrun.maths.rng import Stream

# held-out rows kept to fit the temperature, enough for two digits
LIMIT = 2048
BETAS = (1e-3, 1e6)


def draws(x: Tensor, seed: int) -> Tensor:
    """Return a number in [0, 1) per row of x (n, ...), float64: a hash of the row and the seed.

    Equal rows get equal numbers wherever they are. Weight two thus equals the row given twice, and no copy of
    a fitted row is held out. Multilinear hashing modulo 2^64 (Lemire and Kaser 2014).
    """
    # float32, so that a row is the same in either precision; -0.0 + 0.0 is 0.0
    bits = (x.to(torch.float32) + 0.0).flatten(1).contiguous().view(torch.int32).to(torch.int64)
    generator = Stream(seed).child("held_out").generator()
    factors = torch.randint(-(2**63), 2**63 - 1, (bits.shape[1] + 1,), generator=generator).to(bits.device)
    mixed = (bits * factors[1:]).sum(1) + factors[0]
    return ((mixed >> 11) & (2**53 - 1)).to(torch.float64) / 2**53


class Sample:
    """The held-out rows with the smallest draws, at most LIMIT; batches and their order do not matter."""

    def __init__(self) -> None:
        self.n = 0
        self._columns: list[Tensor] = []

    def add(self, z: Tensor, index: Tensor, weight: Tensor, draw: Tensor) -> None:
        """Add features z (n, m), classes (n,), weights (n,) and draws (n,) of some rows."""
        new = [z, index, weight, draw]
        if self.n:
            new = [torch.cat(pair) for pair in zip(self._columns, new, strict=True)]
        first = new[-1].argsort(stable=True)[:LIMIT]
        self._columns = [column[first] for column in new]
        self.n = len(first)

    def temperature(self, fit: Linear) -> float:
        """Return the most likely temperature of a fit's predictions."""
        z, index, weight, _ = self._columns
        return temperature(fit.predict(z), index, weight)


def temperature(values: Tensor, index: Tensor, weight: Tensor) -> float:
    """Return the T for which softmax(values / T) fits the classes best, by maximum likelihood.

    Each class gets one extra row (Platt 1999), so that T > 0 even if all rows are right.

    Parameters
    ----------
    values : Tensor (n, k)
        Predictions for rows that were not fitted.
    index : Tensor (n,), int64
        Classes of the rows.
    weight : Tensor (n,)
        Weights of the rows.
    """
    k, n = values.shape[1], float(weight.sum())
    aim = (n * values.gather(1, index[:, None])[:, 0] + values.sum(1)) / (n + k)

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
