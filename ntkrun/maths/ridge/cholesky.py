"""Solve with gram + lambda I by a Cholesky factor, in the precision that suits the size."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

Solve = Callable[[Tensor], Tensor]

# rows from which a factor in float32 and some products with the matrix are faster than one in float64
MIXED_FROM = 4096
# relative error of the solution in the norm of the system, squared: that of a factor in float64
TOLERANCE = 1e-20
STEPS = 1000
BLOCK = 1024


def factor_space(gram: Tensor) -> Tensor:
    """Return the matrix (m, m) that `factored` overwrites, in float32 from MIXED_FROM rows on."""
    return torch.empty_like(gram, dtype=torch.float32 if len(gram) >= MIXED_FROM else gram.dtype)


def factor_bytes(m: int) -> int:
    """Return the bytes of that matrix for a `gram` in float64."""
    return (4 if m >= MIXED_FROM else 8) * m * m


def factored(gram: Tensor, lam: float, space: Tensor) -> Solve | None:
    """Return the function target -> (gram + lam I)^-1 target; None if there is no factor in float64.

    If `space` is float32, the factor preconditions conjugate gradients with `gram` in float64. If rounding to
    float32 leaves no factor at `lam`, it takes the next power of ten times `lam` that has one, at the cost of
    more steps.

    Parameters
    ----------
    gram : Tensor (m, m), float64, symmetric positive semidefinite
        Only its lower triangle is read; the upper one may be overwritten with it.
    lam : float, > 0
    space : Tensor (m, m)
        From `factor_space`. It holds the factor for as long as the function is used.

    Notes
    -----
    Cost: m^3 / 3 multiply-adds, and 2 m^2 per column of a target, each step in float32.
    """
    if space.dtype == gram.dtype:
        return _plain(gram, lam, space)
    mirrored(gram)
    shift, plain = lam, None
    while plain is None:
        plain, shift = _plain(gram, shift, space), 10 * shift
    return partial(_corrected, gram, lam, plain)


def _plain(gram: Tensor, lam: float, space: Tensor) -> Solve | None:
    info = torch.empty((), dtype=torch.int32, device=gram.device)
    space.copy_(gram)
    space.diagonal().add_(lam)
    # the transpose is in LAPACK's order, so nothing is copied
    torch.linalg.cholesky_ex(space.mT, upper=True, out=(space.mT, info))
    if int(info) != 0:
        return None

    def solve(target: Tensor) -> Tensor:
        # unlike cholesky_solve, these two do not copy the factor
        half = torch.linalg.solve_triangular(space, target, upper=False)
        return torch.linalg.solve_triangular(space.mT, half, upper=True)

    return solve


def _corrected(gram: Tensor, lam: float, plain: Solve, target: Tensor) -> Tensor:
    """Return (gram + lam I)^-1 target by conjugate gradients with `plain` as preconditioner.

    Each column has its own step lengths. After STEPS steps the solution is returned as it is.
    """

    def inner(a: Tensor, b: Tensor) -> Tensor:
        return (a * b).sum(0)

    def precondition(r: Tensor) -> Tensor:
        # scaled, since float32 has a smaller range
        scale = r.abs().amax(0).clamp(min=torch.finfo(r.dtype).tiny)
        return plain((r / scale).to(torch.float32)).to(r) * scale

    tiny = torch.finfo(target.dtype).tiny
    w, r = torch.zeros_like(target), target.clone()
    z = precondition(r)
    p, rho = z, inner(r, z)
    aim = TOLERANCE * rho
    for _ in range(STEPS):
        image = gram @ p + lam * p
        step = rho / inner(p, image).clamp(min=tiny)
        w, r = w + step * p, r - step * image
        z = precondition(r)
        before, rho = rho, inner(r, z)
        if bool((rho <= aim).all()):
            break
        p = z + rho / before.clamp(min=tiny) * p
    return w


def mirrored(lower: Tensor) -> Tensor:
    """Copy the lower triangle of a square matrix to its upper one, in place, and return it."""
    for start in range(0, len(lower), BLOCK):
        stop = start + BLOCK
        corner = lower[start:stop, start:stop].tril()
        lower[start:stop, start:stop] = corner + corner.tril(-1).T
        lower[start:stop, stop:] = lower[stop:, start:stop].T
    return lower
