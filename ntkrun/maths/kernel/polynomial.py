"""Polynomials with non-negative coefficients that stand in for kappa0 and kappa1 (MATH: section 5)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.optimize import nnls

from ntkrun.maths.kernel.arccos import kappa0, kappa1, maclaurin


def taylor(order: int, degree: int) -> np.ndarray:
    """Return the truncated Maclaurin coefficients of kappa_order with P(1) = 1, shape (degree+1,).

    The tail beyond `degree` is folded into the highest coefficient that the series has, which
    keeps the diagonal of the kernel exact.
    """
    c = maclaurin(order, degree)
    c[np.flatnonzero(c)[-1]] += 1 - c.sum()
    return c


def fitted(order: int, degree: int, low: float = -1.0) -> np.ndarray:
    """Return non-negative coefficients fitted to kappa_order on [low, 1], shape (degree+1,).

    Minimises the squared error over a uniform grid subject to P(1) = 1 and c >= 0. The grid is
    uniform because the correlations a layer sees are spread, while the value at 1 is held.

    Parameters
    ----------
    order : {0, 1}
    degree : int
    low : float
        Smallest correlation that the layer can see: after a ReLU layer it is at least kappa1(-1..)
        of the one before, so a fit on [low, 1] is far better than one on [-1, 1].
    """
    import torch

    grid = np.linspace(low, 1, 401)
    function: Callable = kappa1 if order == 1 else kappa0
    target = function(torch.from_numpy(grid)).numpy()
    powers = grid[:, None] ** np.arange(degree + 1)
    # A heavy row makes the equality P(1) = 1; what remains of the misfit goes by rescaling.
    weight = 1e4
    c, _ = nnls(np.vstack([powers, weight * np.ones(degree + 1)]), np.append(target, weight))
    return c / c.sum()


def smallest_correlation(depth: int) -> float:
    """Return the smallest cosine that ReLU layer number `depth` (1 is the first) can see."""
    import torch

    low = torch.tensor(-1.0, dtype=torch.float64)
    for _ in range(depth - 1):
        low = kappa1(low)
    return float(low)


def coefficients(kind: str, order: int, degree: int, layer: int) -> np.ndarray:
    """Return coefficients of `kind` "taylor" or "fitted" for ReLU layer number `layer` (from 1)."""
    if kind == "taylor":
        return taylor(order, degree)
    return fitted(order, degree, smallest_correlation(layer))
