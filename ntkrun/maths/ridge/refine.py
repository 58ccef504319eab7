"""Iterative refinement: sums in single precision, the solution as in double precision."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from ntkrun.maths.ridge.cholesky import factor_space, factored
from ntkrun.maths.ridge.normal import Linear, NormalEquations, absolute

TOLERANCE = 1e-6
STEPS = 3
Batches = Callable[[], Iterable[tuple[Tensor, Tensor]]]


@dataclass(frozen=True)
class Refined:
    """A fit, and a bound on the distance of its objective from the minimum, relative to the objective."""

    fit: Linear
    gap: float


def refined(sums: NormalEquations, relative: float, batches: Batches) -> Refined | None:
    """Return the fit to `sums` in single precision, corrected until its gap is at most TOLERANCE.

    Each step reads the features once, for the gradient g in float64 of

        F(w) = (1/n) ‖Z w + b - Y‖² + lambda ‖w‖²

    and moves w by the Newton step with the Gram matrix of the sums (Higham, Accuracy and Stability of
    Numerical Algorithms, chapter 12). The gap is the decrease that this step promises.

    Parameters
    ----------
    sums : NormalEquations
    relative : float
        As in NormalEquations.path.
    batches : callable
        Yields (features (r, m), targets (r, k)) of the rows in `sums`, batch by batch, at every call.

    Returns
    -------
    Refined or None
        None if the sums have no Cholesky factor at this lambda, or if STEPS steps were not enough: the sums
        then need float64.

    Notes
    -----
    Memory: that of the factor, which is computed once.
    """
    n = sums.n
    (lam,) = absolute([relative], float(sums.gram.trace()) / n)
    solve = factored(sums.gram, n * lam, factor_space(sums.gram))
    if solve is None:
        return None
    w = solve(sums.cross)
    for _ in range(STEPS):
        half, error = torch.zeros_like(w), 0.0
        for z, y in batches():
            z = z.to(w) - sums.mean_z
            missing = y.to(w) - sums.mean_y - z @ w
            half.addmm_(z.T, missing)
            error += float(missing.square().sum())
        half -= n * lam * w  # minus half the gradient of n F
        step = solve(half)
        value = error + n * lam * float(w.square().sum())
        gap = float((half * step).sum()) / max(value, torch.finfo(torch.float64).tiny)
        w = w + step
        if gap <= TOLERANCE:
            return Refined(Linear(w, sums.mean_y - sums.mean_z @ w, lam), gap)
    return None
