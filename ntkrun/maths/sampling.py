"""Gaussian weights reweighted by squared length, the leverage-score proposal; see docs/math.md, section 4.

The density is |w|^2 exp(-|w|^2 / 2) / (d (2 pi)^(d/2)); Zandieh et al. 2021, theorem 3. Its direction is
uniform and |w|^2 follows chi^2 with d + 2 degrees of freedom.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ntkrun.maths.rng import Stream


def leverage_exact(count: int, dim: int, stream: Stream) -> Tensor:
    """Return `count` independent samples (count, dim), float64: a uniform direction times a chi_{d+2}."""
    w = stream.child("direction").gaussian(count, dim, dtype=torch.float64)
    radius = stream.child("radius").gaussian(count, dim + 2, dtype=torch.float64).norm(dim=1)
    return w * (radius / w.norm(dim=1))[:, None]


def leverage_gibbs(count: int, dim: int, stream: Stream, sweeps: int = 3) -> Tensor:
    """Return `count` samples (count, dim), float64, of a Gibbs chain started at standard normals.

    The paper's sampler (its appendix on Gibbs sampling): coordinate by coordinate from the conditional F(t) =
    Phi(t) - t phi(t) / (S + 1), where S is the sum of the other squares, inverted by bisection and Newton
    steps. All chains advance together. Cost O(count dim sweeps).
    """
    w = stream.child("start").gaussian(count, dim, dtype=torch.float64)
    total = w.square().sum(1)
    for sweep in range(sweeps):
        u = torch.rand(
            dim, count, generator=stream.child("sweep").child(sweep).generator(), dtype=torch.float64
        )
        for i in range(dim):
            rest = (total - w[:, i].square()).clamp_(min=0)
            w[:, i] = conditional_inverse(u[i], rest)
            total = rest + w[:, i].square()
    return w


def conditional_cdf(t: Tensor, rest: Tensor) -> Tensor:
    """Return F(t) = Phi(t) - t phi(t) / (rest + 1)."""
    phi = torch.exp(-t.square() / 2) / math.sqrt(2 * math.pi)
    return torch.special.ndtr(t) - t * phi / (rest + 1)


def conditional_inverse(u: Tensor, rest: Tensor) -> Tensor:
    """Return t with F(t) = u: 12 bisections from [-12, 12], then guarded Newton steps."""
    low, high = torch.full_like(u, -12.0), torch.full_like(u, 12.0)
    t = torch.zeros_like(u)
    for step in range(20):
        value = conditional_cdf(t, rest) - u
        low, high = torch.where(value < 0, t, low), torch.where(value < 0, high, t)
        middle = (low + high) / 2
        if step < 12:
            t = middle
            continue
        density = torch.exp(-t.square() / 2) / math.sqrt(2 * math.pi) * (rest + t.square()) / (rest + 1)
        newton = t - value / density.clamp(min=1e-300)
        t = torch.where((newton >= low) & (newton <= high), newton, middle)
    return t
