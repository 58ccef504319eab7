"""Nystrom maps: a kernel as inner products of short vectors, exact at landmarks; see docs/math.md, section 7.

    phi(x) = k(x, landmarks) K_zz^(-1/2),     K_zz the kernel between landmarks

followed by the leading directions of a sample. Williams & Seeger 2001. Landmarks are drawn by randomly
pivoted Cholesky (Chen, Epperly, Tropp & Webber 2022): each with probability proportional to what the earlier
ones leave unexplained, which is near the best possible choice.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ntkrun.maths.eigen import eigh

# eigenvalues of K_zz below this share of the largest count as zero: float32 features carry no more
FLOOR = 1e-6


def choose(gram: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Return `count` distinct row numbers, or all there are, by randomly pivoted Cholesky, int64 on the CPU.

    gram (s, s) float64 is the kernel between all candidates. If its rank is lower than `count`, candidates
    that are already explained make up the number.
    """
    count = min(count, len(gram))
    left = gram.diagonal().clone()
    factor = gram.new_zeros(len(gram), count)
    taken: list[int] = []
    for i in range(count):
        weights = left.cpu()
        if not float(weights.sum()) > 0:
            weights = torch.ones(len(gram), dtype=torch.float64)
            weights[taken] = 0
        pivot = int(torch.multinomial(weights, 1, generator=generator))
        taken.append(pivot)
        column = gram[:, pivot] - factor[:, :i] @ factor[pivot, :i]
        if float(column[pivot]) > 0:
            factor[:, i] = column / column[pivot].sqrt()
            left = (left - factor[:, i].square()).clamp_(min=0)
        left[taken] = 0
    return torch.tensor(taken)


def nystrom(between: Tensor, gram: Tensor, dim: int) -> Tensor:
    """Return A (r, dim) such that k(x, landmarks) @ A are the features of x.

    between (r, r) is the kernel of the landmarks, gram (s, r) that of a sample with them, both float64. The
    columns are the `dim` directions with the largest second moment over the sample, largest first.
    """
    white = inverse_root(between)
    directions = principal(gram @ white, dim)
    return white @ directions


def inverse_root(between: Tensor) -> Tensor:
    """Return K_zz^(-1/2) (r, r) for K_zz `between`, float64; eigenvalues below FLOOR count as zero."""
    values, vectors = eigh(between)
    keep = values > FLOOR * values[-1].clamp(min=1e-300)
    root = torch.where(keep, values.clamp(min=1e-300).rsqrt(), 0.0)
    return (vectors * root) @ vectors.T


def principal(z: Tensor, dim: int) -> Tensor:
    """Return the leading `dim` directions (d, dim) of the second moment of z (s, d), largest first."""
    _, vectors = eigh(z.T @ z / len(z))
    return vectors.flip(1)[:, :dim].contiguous()
