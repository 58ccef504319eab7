"""Solve one positive-semidefinite system for many ridge parameters; see docs/math.md, section 6."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from ntkrun import checks
from ntkrun.errors import must_be
from ntkrun.maths.eigen import eigh

# eigh costs about 25 Cholesky factorisations of the same size; up to this size it is cheap
EIGH_LIMIT = 1024


def grid(lambda_min: float, lambda_max: float, lambda_count: int) -> list[float]:
    """Return relative ridge parameters, ascending, equally spaced in the logarithm."""
    return [float(v) for v in np.geomspace(lambda_min, lambda_max, lambda_count)]


def grid_problems(owner: str, lambda_min: float, lambda_max: float, lambda_count: int) -> list[str]:
    """Return one sentence per wrong argument of `grid`."""
    out = checks.real(owner, "lambda_min", lambda_min, 0)
    out += checks.real(owner, "lambda_max", lambda_max, 0)
    out += checks.integer(owner, "lambda_count", lambda_count, 1, 1000)
    if not out and lambda_max < lambda_min:
        out.append(must_be("lambda_max", owner, f">= lambda_min = {lambda_min:g}", lambda_max))
    return out


def solve_path(gram: Tensor, target: Tensor, lambdas: list[float], floor: float = 0.0) -> Iterator[Tensor]:
    """Yield (gram + lambda I)^-1 target for each lambda, in order.

    Eigendecomposition up to EIGH_LIMIT rows, one Cholesky factorisation per lambda above. Both handle a
    singular Gram matrix: negative eigenvalues (rounding) count as zero, and a failed factorisation falls back
    to the eigendecomposition.

    Parameters
    ----------
    gram : Tensor (m, m), float64, symmetric positive semidefinite
        Only its lower triangle is read.
    target : Tensor (m, k)
    lambdas : list of float, > 0
    floor : float
        Share of the largest eigenvalue. Directions below it hold only rounding errors of `target`, which a
        lambda near the precision would enlarge to visible digits; the eigendecomposition leaves them out.

    Notes
    -----
    Cost: O(m^3) once, or m^3 / 3 multiply-adds per lambda; one copy of `gram`, which is factored in place.
    """
    factor = None if len(gram) <= EIGH_LIMIT else torch.empty_like(gram)
    eigen: Callable[[float], Tensor] | None = None
    for lam in lambdas:
        solve = None if factor is None or eigen is not None else cholesky(gram, lam, factor)
        if solve is not None:
            yield solve(target)
            continue
        eigen = eigen or _by_eigh(gram, target, floor)
        yield eigen(lam)


def cholesky(gram: Tensor, lam: float, factor: Tensor) -> Callable[[Tensor], Tensor] | None:
    """Return the function target -> (gram + lam I)^-1 target, which keeps `factor`; None if it has no factor.

    `factor` (m, m) is overwritten. Only the lower triangle of `gram` is read.
    """
    info = torch.empty((), dtype=torch.int32, device=gram.device)
    factor.copy_(gram)
    factor.diagonal().add_(lam)
    # the transpose is in LAPACK's order, so nothing is copied
    torch.linalg.cholesky_ex(factor.mT, upper=True, out=(factor.mT, info))
    if int(info) != 0:
        return None

    def solve(target: Tensor) -> Tensor:
        # unlike cholesky_solve, these two do not copy the factor
        half = torch.linalg.solve_triangular(factor, target, upper=False)
        return torch.linalg.solve_triangular(factor.mT, half, upper=True)

    return solve


def _by_eigh(gram: Tensor, target: Tensor, floor: float) -> Callable[[float], Tensor]:
    values, vectors = eigh(gram)
    values = values.clamp_(min=0)
    rotated = vectors.T @ target
    if floor:
        rotated[values <= floor * values.max()] = 0

    def solve(lam: float) -> Tensor:
        return vectors @ (rotated / (values + lam)[:, None])

    return solve
