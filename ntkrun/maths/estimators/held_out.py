"""Choice of held-out rows, and a sample of them to learn from how sure predictions are."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Tensor

from ntkrun.maths.probability import temperature
from ntkrun.maths.ridge.normal import Linear
from ntkrun.maths.ridge.posterior import noise_variance
from ntkrun.maths.rng import Stream
from ntkrun.maths.sparse import Rows, SparseRows, add_at

# held-out rows kept to fit the temperature or the noise, enough for two digits
LIMIT = 2048


def draws(x: Rows, seed: int) -> Tensor:
    """Return a number in [0, 1) per row of x (n, ...), float64: a hash of the row and the seed.

    Equal rows get equal numbers wherever they are. Weight two thus equals the row given twice, and no copy of
    a fitted row is held out. Zeros add nothing, so sparse and dense rows get the same. Multilinear hashing
    modulo 2^64 (Lemire and Kaser 2014).
    """
    if isinstance(x, SparseRows):
        factor = _factors(x.width, seed).to(x.device)
        mixed = factor[:1].repeat(len(x))
        add_at(mixed, x.numbers(), _bits(x.values) * factor[x.columns + 1])
    else:
        bits = _bits(x.flatten(1))
        factor = _factors(bits.shape[1], seed).to(bits.device)
        mixed = (bits * factor[1:]).sum(1) + factor[0]
    return ((mixed >> 11) & (2**53 - 1)).to(torch.float64) / 2**53


def _bits(x: Tensor) -> Tensor:
    """Return the bits of numbers, int64, in float32: a row is then the same in either precision."""
    return (x.to(torch.float32) + 0.0).contiguous().view(torch.int32).to(torch.int64)  # -0.0 + 0.0 is 0.0


@lru_cache(maxsize=1)
def _factors(width: int, seed: int) -> Tensor:
    generator = Stream(seed).child("held_out").generator()
    return torch.randint(-(2**63), 2**63 - 1, (width + 1,), generator=generator)


class Sample:
    """The held-out rows with the smallest draws, at most LIMIT; batches and their order do not matter."""

    def __init__(self) -> None:
        self.n = 0
        self._columns: list[Tensor] = []

    def add(self, z: Tensor, y: Tensor, weight: Tensor, draw: Tensor) -> None:
        """Add features z (n, m), classes (n,) or targets (n, k), weights (n,) and draws (n,) of some rows."""
        new = [z, y, weight, draw]
        if self.n:
            new = [torch.cat(pair) for pair in zip(self._columns, new, strict=True)]
        first = new[-1].argsort(stable=True)[:LIMIT]
        self._columns = [column[first] for column in new]
        self.n = len(first)

    def temperature(self, fit: Linear) -> float:
        """Return the most likely temperature of a fit's predictions, with one row more for each class."""
        z, index, weight, _ = self._columns
        values = fit.predict(z)
        return temperature(values, index, weight, extra=values.shape[1])

    def noise_variance(self, fit: Linear, spread: Callable[[Tensor], Tensor]) -> Tensor:
        """Return the most likely variance of the noise, (k,) float64.

        `spread` gives the fit's own variance (n, k) for features (n, m), per unit of noise.
        """
        z, y, weight, _ = self._columns
        return noise_variance(fit.predict(z) - y, spread(z), weight)
