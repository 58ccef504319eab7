"""Arc-cosine functions of the ReLU and their Maclaurin series; see docs/math.md, section 2.

For w ~ N(0, I) and unit vectors x, y with cosine a,

    E[2 relu(w.x) relu(w.y)] = kappa1(a)        E[2 1(w.x > 0) 1(w.y > 0)] = kappa0(a)

Source: Cho and Saul 2009, "Kernel methods for deep learning"; normalised so that both are 1 at a = 1.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

SNAP_ULPS = 8  # cosines this close to +-1 count as +-1


def _cosine(a: Tensor) -> Tensor:
    """Clamp to [-1, 1] and round values within SNAP_ULPS of +-1 to +-1.

    The slope of arccos is infinite there: one unit in the last place of float32 at 1 is 5e-4 in arccos.
    """
    near = a.abs() > 1 - SNAP_ULPS * torch.finfo(a.dtype).eps
    return torch.where(near, a.sign(), a)


def kappa0(a: Tensor) -> Tensor:
    """Return (pi - arccos a) / pi elementwise; `a` is clamped to [-1, 1]."""
    return 1 - torch.arccos(_cosine(a)) / math.pi


def kappa1(a: Tensor) -> Tensor:
    """Return (sqrt(1 - a^2) + a (pi - arccos a)) / pi elementwise; `a` is clamped to [-1, 1]."""
    a = _cosine(a)
    # (1-a)(1+a) keeps the digits that 1-a^2 loses near a = +-1.
    return torch.sqrt((1 - a) * (1 + a)) / math.pi + a * (1 - torch.arccos(a) / math.pi)


def maclaurin(order: int, degree: int) -> np.ndarray:
    """Return Maclaurin coefficients 0..degree of kappa0 (order 0) or kappa1 (order 1), float64.

    All are non-negative, so every truncation is a positive-definite kernel on the sphere.
    """
    c = np.zeros(degree + 1)
    c[0] = 0.5 if order == 0 else 1 / math.pi
    if order == 1 and degree >= 1:
        c[1] = 0.5
    central = 1.0  # (2i)! / (4^i (i!)^2), by recursion so that no factorial overflows
    for i in range(degree):
        power, denominator = (2 * i + 1, 2 * i + 1) if order == 0 else (2 * i + 2, (2 * i + 1) * (2 * i + 2))
        if power > degree:
            break
        c[power] = central / (math.pi * denominator)
        central *= (2 * i + 1) / (2 * i + 2)
    return c
