"""Nystrom maps: a kernel as inner products of short vectors, exact at landmarks; see docs/math.md, section 7.

    phi(x) = k(x, landmarks) K_zz^(-1/2),     K_zz the kernel between landmarks

followed by the leading directions of a sample. Williams & Seeger 2001. Landmarks are drawn by randomly
pivoted Cholesky (Chen, Epperly, Tropp & Webber 2022): each with probability proportional to what the earlier
ones leave unexplained, which is near the best possible choice. `choose` has the kernel of all candidates in
memory; `pivots` asks for a few of its columns at a time.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ntkrun.maths.eigen import eigh

# eigenvalues of K_zz below this share of the largest count as zero: float32 features carry no more; `pivots`
# ends at this share of the trace, and `cholesky` adds it to the diagonal
FLOOR = 1e-6
# landmarks proposed at a time, and candidates treated at a time
BLOCK, ROWS = 256, 1024

Correlation = Callable[[Tensor | slice, Tensor], Tensor]


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


def pivots(correlation: Correlation, diagonal: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Return at most `count` distinct row numbers as `choose` draws them, without the matrix it takes.

    Epperly, Tropp and Webber 2024, accelerated randomly pivoted Cholesky. Proposals are drawn in blocks from
    what the earlier landmarks leave, and accepted with the share of it that those of their own block leave.
    So the law is that of drawing one by one, at the speed of matrix products. It ends early if less than
    FLOOR of the trace is left.

    Parameters
    ----------
    correlation : callable
        correlation(i, j) is k(x, y) / sqrt(k(x, x) k(y, y)) between rows i and rows j, float64, on the device
        of `diagonal`.
    diagonal : Tensor (s,)
        k(x, x) of all candidates but for a common factor, float64.
    count : int
    generator : torch.Generator
        On the CPU.

    Returns
    -------
    Tensor (r,)
        int64 on the CPU; empty if the diagonal is zero.

    Notes
    -----
    Memory: 4 s count bytes for the factor. Cost: s count^2 multiply-adds in float32.
    """
    s, count = len(diagonal), min(count, len(diagonal))
    factor = torch.empty(s, count, dtype=torch.float32, device=diagonal.device)
    left, taken = torch.ones_like(diagonal), torch.empty(0, dtype=torch.int64)
    while (done := len(taken)) < count:
        weights = (diagonal * left).cpu()
        if not float(weights.sum()) > FLOOR * float(diagonal.sum()):
            break
        drawn = torch.multinomial(weights, min(BLOCK, count), replacement=True, generator=generator)
        residual = correlation(drawn, drawn) - _product(factor[drawn, :done], factor[drawn, :done])
        left[drawn] = residual.diagonal().clamp(min=0)  # free of the rounding that sums up in `left`
        kept, lower = accepted(residual.cpu(), count - done, generator)
        new = drawn[kept]
        for start in range(0, s, ROWS):
            rows = slice(start, start + ROWS)
            columns = correlation(rows, new) - _product(factor[rows, :done], factor[new, :done])
            columns = torch.linalg.solve_triangular(lower.to(columns).T, columns, upper=True, left=False)
            factor[rows, done : done + len(new)] = columns
            left[rows] = (left[rows] - columns.square().sum(1)).clamp(min=0)
        taken = torch.cat([taken, new])
        left[taken] = 0
    return taken


def _product(x: Tensor, y: Tensor) -> Tensor:
    return (x @ y.T).to(torch.float64)


def accepted(residual: Tensor, room: int, generator: torch.Generator) -> tuple[list[int], Tensor]:
    """Return which of a block of proposals become landmarks, at most `room`, and their Cholesky factor.

    residual (b, b), changed in place, is the kernel between the proposals less what is explained. Each is
    accepted with the share of its diagonal entry that those accepted before it leave. The factor is (r, r).
    """
    proposed = residual.diagonal().clone()
    bar = proposed * torch.rand(len(residual), generator=generator, dtype=torch.float64)
    kept: list[int] = []
    factor = torch.zeros_like(residual)
    for i in range(len(residual)):
        if len(kept) < room and bool(residual[i, i] > bar[i].clamp(min=0)):
            column = residual[:, i] / residual[i, i].sqrt()
            residual -= torch.outer(column, column)
            factor[:, len(kept)] = column
            kept.append(i)
    return kept, factor[kept, : len(kept)]


def cholesky(between: Tensor) -> Tensor:
    """Return L with L L^T = between + FLOOR I, for correlations (r, r) float64, whose diagonal is changed."""
    between.diagonal().add_(FLOOR)
    return torch.linalg.cholesky(between)


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
