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


def gram_dtype(n: int, dtype: torch.dtype) -> torch.dtype:
    """Return the precision in which the kernel (n, n) of values in `dtype` is kept: no more than is known."""
    return torch.float32 if n >= MIXED_FROM and dtype == torch.float32 else torch.float64


def dual_bytes(n: int, dtype: torch.dtype) -> int:
    """Return the bytes of such a kernel, of its centred copy and of its factor."""
    if gram_dtype(n, dtype) == torch.float32:
        return 8 * n * n
    return (16 + (4 if n >= MIXED_FROM else 8)) * n * n


def factored(gram: Tensor, lam: float, space: Tensor) -> Solve | None:
    """Return the function target -> (gram + lam I)^-1 target; None if there is no factor in float64.

    A factor in float32 is used as in `preconditioned`.

    Parameters
    ----------
    gram : Tensor (m, m), float64, symmetric positive semidefinite
        Only its lower triangle is read; the upper one may be overwritten with it.
    lam : float, > 0
    space : Tensor (m, m)
        From `factor_space`. It holds the factor for as long as the function is used.
    """
    if space.dtype == gram.dtype:
        space.copy_(gram)
        return _plain(space, lam)
    mirrored(gram)
    return preconditioned(lambda p: gram @ p, lambda: space.copy_(gram), lam, space)


def preconditioned(product: Solve, fill: Callable[[], object], lam: float, space: Tensor) -> Solve:
    """Return the function target -> (G + lam I)^-1 target for a matrix G given by its products.

    Conjugate gradients in float64, with a Cholesky factor in float32 as preconditioner. If rounding to
    float32 leaves no factor at `lam`, the next power of ten times `lam` that has one is taken, at the cost of
    more steps.

    Parameters
    ----------
    product : callable
        p (m, k) -> G p, float64.
    fill : callable
        Writes G to the lower triangle of `space`.
    lam : float, > 0
    space : Tensor (m, m), float32

    Notes
    -----
    Cost: m^3 / 3 multiply-adds in float32, and a product and m^2 multiply-adds per step and target.
    """
    shift, plain = lam, None
    while plain is None:
        fill()
        plain, shift = _plain(space, shift), 10 * shift
    return partial(_corrected, product, lam, plain)


def _plain(space: Tensor, lam: float) -> Solve | None:
    """Factor the matrix in `space`, plus lam I, in place."""
    info = torch.empty((), dtype=torch.int32, device=space.device)
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


def _corrected(product: Solve, lam: float, plain: Solve, target: Tensor) -> Tensor:
    """Return (G + lam I)^-1 target by conjugate gradients with `plain` as preconditioner.

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
        image = product(p) + lam * p
        curvature = inner(p, image)
        # rounding of G can leave a direction in which it is negative: a target stops there
        step = torch.where(curvature > 0, rho / curvature.clamp(min=tiny), 0.0)
        w, r = w + step * p, r - step * image
        z = precondition(r)
        before, rho = rho, inner(r, z)
        if bool(((rho <= aim) | (step == 0)).all()):
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
