"""Polynomials with non-negative coefficients for kappa0 and kappa1; see docs/math.md, section 5."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from scipy.optimize import nnls
from torch import Tensor

from ntkrun.maths.dual.arccos import kappa0, kappa1, maclaurin

Activation = Callable[[Tensor], Tensor]


def taylor(order: int, degree: int) -> np.ndarray:
    """Return the truncated Maclaurin coefficients of kappa_order with P(1) = 1, shape (degree+1,).

    The highest coefficient of the series takes the tail beyond `degree`, which keeps the kernel's diagonal
    exact.
    """
    c = maclaurin(order, degree)
    c[np.flatnonzero(c)[-1]] += 1 - c.sum()
    return c


def fit(function: Callable[[Tensor], Tensor], degree: int, low: float) -> np.ndarray:
    """Return c >= 0 with sum_l c_l a^l ~ function(a) on [low, 1] and equality at 1, shape (degree+1,).

    Least squares over a uniform grid, since the correlations in a layer are spread out.
    """
    grid = np.linspace(low, 1, 401)
    target = function(torch.from_numpy(grid)).numpy()
    powers = grid[:, None] ** np.arange(degree + 1)
    # a heavy row holds the equality at 1; rescaling removes the rest of the misfit
    weight = 1e4
    c, _ = nnls(np.vstack([powers, weight * np.ones(degree + 1)]), np.append(target, weight * target[-1]))
    return c * (target[-1] / c.sum())


def fitted(order: int, degree: int, low: float = -1.0) -> np.ndarray:
    """Return non-negative coefficients fitted to kappa_order on [low, 1] with P(1) = 1, shape (degree+1,).

    `low` is the smallest correlation in the layer: 0 after one ReLU layer, 1/pi after two. A fit on that
    range is far better than one on [-1, 1].
    """
    return fit(kappa1 if order == 1 else kappa0, degree, low)


def tail(order: int, degree: int) -> float:
    """Return the largest error on [-1, 1] of the Maclaurin series cut after `degree`, attained at 1.

    Falls like degree^(-1/2) for kappa0 and degree^(-3/2) for kappa1 (docs/math.md, section 2).
    """
    return 1.0 - float(maclaurin(order, degree).sum())


def as_function(c: np.ndarray) -> Activation:
    """Return a -> sum_l c_l a^l on tensors, by Horner's rule."""

    def polynomial(a: Tensor) -> Tensor:
        out = torch.full_like(a, float(c[-1]))
        for coefficient in c[-2::-1]:
            out = out * a + float(coefficient)
        return out

    return polynomial


def duals(kind: str, degree: int, depth: int) -> tuple[tuple[Activation, Activation], ...]:
    """Return the polynomials (for kappa1, for kappa0) of each ReLU layer: a sketch aims at their kernel."""
    layers = range(1, depth + 1)
    return tuple(
        (as_function(coefficients(kind, 1, degree, h)), as_function(coefficients(kind, 0, degree, h)))
        for h in layers
    )


def smallest_correlation(depth: int) -> float:
    """Return the smallest cosine that can reach ReLU layer number `depth` (from 1)."""
    low = torch.tensor(-1.0, dtype=torch.float64)
    for _ in range(depth - 1):
        low = kappa1(low)
    return float(low)


def coefficients(kind: str, order: int, degree: int, layer: int) -> np.ndarray:
    """Return coefficients of `kind` "taylor" or "fitted" for ReLU layer number `layer` (from 1)."""
    if kind == "taylor":
        return taylor(order, degree)
    return fitted(order, degree, smallest_correlation(layer))
