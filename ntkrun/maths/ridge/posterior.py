"""Variance of the Gaussian process whose posterior mean is a ridge solution; see docs/math.md, section 10.

The model is y = b + <z - mean z, w> + noise, with independent noise of variance s^2 (s^2 / g for a row of
weight g), w ~ N(0, s^2 / (n lambda) I) and a flat prior on b. Its posterior mean is the minimum of
(1/n) ‖Z w + b - Y‖² + lambda ‖w‖². The variance of b + <z - mean z, w> is s^2 times `variance` here.
Rasmussen and Williams (2006), sections 2.1, 2.2 and 2.7.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ntkrun.maths.eigen import eigh
from ntkrun.maths.ridge.cholesky import mirrored

Half = Callable[[Tensor], Tensor]


class PrimalPosterior:
    """Variance from the sums of NormalEquations.

    Parameters
    ----------
    gram : Tensor (m, m), float64
        Sum of (z - mean)(z - mean)^T over rows; only its lower triangle is read.
    mean : Tensor (m,)
    n : float
        Number of rows, or the sum of their weights.
    lam : float
        Absolute ridge parameter.

    Notes
    -----
    Cost: m^3 / 3 once, m^2 per row. Memory: 16 m^2 bytes while factoring, then 8 m^2 for the factor.
    """

    def __init__(self, gram: Tensor, mean: Tensor, n: float, lam: float):
        self._mean, self._n = mean, n
        self._half = inverse_root(gram, n * lam)

    def variance(self, z: Tensor) -> Tensor:
        """Return 1/n + z_c^T (G + n lambda I)^-1 z_c for features z (r, m), z_c = z - mean: (r,) float64."""
        return 1 / self._n + self._half((z.to(self._mean) - self._mean).T).square().sum(0)


class DualPosterior:
    """Variance from the kernel values of all pairs of fitted rows: the same number as in the primal.

    Parameters
    ----------
    gram : Tensor (n, n), float64
        Not centred.
    lam : float
        Absolute ridge parameter, as in `dual_path`.
    weight : Tensor (n,) or None
        Weights of the rows; None means one each.

    Notes
    -----
    Cost: n^3 / 3 once, n^2 per row. Memory: 16 n^2 bytes. Digits are lost in a difference of two numbers of
    the size of the kernel: for a small lambda the primal is more exact.
    """

    def __init__(self, gram: Tensor, lam: float, weight: Tensor | None = None):
        weight = gram.new_ones(len(gram)) if weight is None else weight.to(gram)
        self._n, self._lam = float(weight.sum()), lam
        self._share, self._root = weight / self._n, weight.sqrt()
        self._row = gram @ self._share
        self._mean = self._share @ self._row
        centred = gram - self._row[:, None] - self._row + self._mean
        centred = self._root[:, None] * centred * self._root
        self._half = inverse_root(centred, self._n * lam)

    def variance(self, cross: Tensor, own: Tensor) -> Tensor:
        """Return the variance (r,), float64, for kernel values (r, n) with fitted rows and own ones (r,)."""
        cross, own = cross.to(self._row), own.to(self._row)
        mine = cross @ self._share
        own = own - 2 * mine + self._mean
        cross = (cross - mine[:, None] - self._row + self._mean) * self._root
        left = own - self._half(cross.T).square().sum(0)
        return 1 / self._n + left.clamp(min=0) / (self._n * self._lam)


def inverse_root(gram: Tensor, shift: float) -> Half:
    """Return the function x (m, r) -> R x with R^T R = (gram + shift I)^-1.

    By a Cholesky factor; by the eigenvalues, of which negative ones count as zero, if rounding leaves none.
    Only the lower triangle of `gram` (m, m), float64, is read.
    """
    matrix = gram.tril()
    matrix.diagonal().add_(shift)
    factor, failed = torch.linalg.cholesky_ex(matrix)
    if int(failed) == 0:
        return lambda x: torch.linalg.solve_triangular(factor, x, upper=False)
    matrix.diagonal().sub_(shift)
    values, vectors = eigh(mirrored(matrix))
    scale = (values.clamp(min=0) + shift).rsqrt()[:, None]
    return lambda x: scale * (vectors.T @ x)


def noise_variance(missing: Tensor, variance: Tensor, weight: Tensor) -> Tensor:
    """Return the s^2 (k,) under which held-out rows are most likely, each by itself.

    Row i with the error missing_i (r, k) has the density N(0, s^2 (1 + variance_i)), variance (r, k); one of
    weight (r,) g counts as g rows. The maximum is at the weighted mean of missing_i^2 / (1 + variance_i).
    """
    return (weight[:, None] * missing.square() / (1 + variance)).sum(0) / weight.sum()
