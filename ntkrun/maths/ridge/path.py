"""Solve one positive-semidefinite system for many ridge parameters; see docs/math.md, section 6."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from torch import Tensor

from ntkrun import checks
from ntkrun.errors import must_be
from ntkrun.maths.eigen import eigh
from ntkrun.maths.ridge.cholesky import factor_space, factored

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
        Only its lower triangle is read; the upper one may be overwritten with it.
    target : Tensor (m, k)
    lambdas : list of float, > 0
    floor : float
        Share of the largest eigenvalue. Directions below it hold only rounding errors of `target`, which a
        lambda near the precision would enlarge to visible digits; the eigendecomposition leaves them out.

    Notes
    -----
    Cost: O(m^3) once, or m^3 / 3 multiply-adds per lambda. Memory: one factor, see `factor_space`.
    """
    space = None if len(gram) <= EIGH_LIMIT else factor_space(gram)
    eigen: Callable[[float], Tensor] | None = None
    for lam in lambdas:
        solve = None if space is None or eigen is not None else factored(gram, lam, space)
        if solve is not None:
            yield solve(target)
            continue
        eigen = eigen or _by_eigh(gram, target, floor)
        yield eigen(lam)


def _by_eigh(gram: Tensor, target: Tensor, floor: float) -> Callable[[float], Tensor]:
    values, vectors = eigh(gram)
    values = values.clamp_(min=0)
    rotated = vectors.T @ target
    if floor:
        rotated[values <= floor * values.max()] = 0

    def solve(lam: float) -> Tensor:
        return vectors @ (rotated / (values + lam)[:, None])

    return solve
