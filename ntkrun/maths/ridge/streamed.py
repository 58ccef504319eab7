"""Ridge regression without a Gram matrix, by conjugate gradients that reread the features."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from ntkrun.maths.eigen import eigh
from ntkrun.maths.ridge.normal import Linear, absolute
from ntkrun.maths.rng import Stream

TINY = torch.finfo(torch.float64).tiny
# every call yields (features (r, m), targets (r, k)) of all rows, batch by batch
Batches = Callable[[], Iterable[tuple[Tensor, Tensor]]]


@dataclass(frozen=True)
class Preconditioner:
    """Leading eigenvectors (m, r) and eigenvalues (r,) of a covariance, float64, as a preconditioner.

    Frangella, Tropp & Udell, Randomized Nystrom preconditioning (SIMAX 2023), algorithm 2.1 and section 5.
    """

    vectors: Tensor
    values: Tensor

    def apply(self, r: Tensor, lam: Tensor) -> Tensor:
        """Return P^-1 r for residuals r (L, m, k) and ridge parameters lam (L,)."""
        if not len(self.values):
            return r
        inside = self.vectors.T @ r
        gain = (self.values[-1] + lam[:, None]) / (self.values + lam[:, None]) - 1
        return r + self.vectors @ (gain[:, :, None] * inside)


@dataclass
class Solution:
    """Weights for some ridge parameters, and their accuracy.

    Attributes
    ----------
    fits : list of Linear
    gaps : list of float
        Estimated distance of each objective from its minimum, relative to the objective.
    passes : int
        Passes over the features.
    """

    fits: list[Linear]
    gaps: list[float]
    passes: int


class Streamed:
    """The covariance of features that are reread for each product with it.

        minimise (1/n) ‖Z w + b - Y‖² + lambda ‖w‖²

    One pass takes means, variances and the right-hand side; one takes a sketch of the leading eigenvectors;
    then each pass is a step of conjugate gradients for all lambdas and targets together.

    Parameters
    ----------
    batches : callable
        Yields (features, targets) of all rows, batch by batch, at every call.
    rank : int
        Eigenvectors in the preconditioner.
    seed : int
        Seed of the sketch; it changes only the number of passes.
    preconditioner : Preconditioner or None
        That of another `Streamed` on much the same rows.

    Notes
    -----
    Memory: 3 m rank numbers while sketching, 7 m k per lambda; no m^2.
    """

    def __init__(
        self, batches: Batches, rank: int, seed: int = 0, preconditioner: Preconditioner | None = None
    ):
        self.batches = batches
        n, square = 0, 0.0
        for z, y in batches():
            z, y = z.to(torch.float64), y.to(z.device, torch.float64)
            if n == 0:
                sum_z, sum_y = z.new_zeros(z.shape[1]), y.new_zeros(y.shape[1])
                cross = z.new_zeros(z.shape[1], y.shape[1])
                square_y = torch.zeros_like(sum_y)
            n += len(z)
            sum_z += z.sum(0)
            sum_y += y.sum(0)
            cross.addmm_(z.T, y)
            square += float(z.square().sum())
            square_y += y.square().sum(0)
        if n == 0:
            raise ValueError("batches must hold rows. Got none instead.")
        self.n, self.mean_z, self.mean_y = n, sum_z / n, sum_y / n
        self.cross = cross / n - torch.outer(self.mean_z, self.mean_y)
        self.trace = max(0.0, square / n - float(self.mean_z.square().sum()))
        self.variance_y = (square_y / n - self.mean_y.square()).clamp(min=0)
        self.preconditioner = preconditioner or self._precondition(min(rank, len(self.mean_z)), seed)

    def product(self, w: Tensor) -> Tensor:
        """Return covariance @ w for w (m, c), in w's dtype, in one pass."""
        out, mean = torch.zeros_like(w), self.mean_z.to(w)
        for z, _ in self.batches():
            z = z.to(w) - mean
            out.addmm_(z.T, z @ w, alpha=1 / self.n)
        return out

    def _precondition(self, rank: int, seed: int) -> Preconditioner:
        m = len(self.mean_z)
        # single precision is enough, since this only steers the steps
        test = Stream(seed).child("sketch").gaussian(m, rank).to(self.mean_z.device)
        test = torch.linalg.qr(test).Q
        image = self.product(test)
        shift = float(image.norm()) * torch.finfo(image.dtype).eps * m**0.5
        image, test = image.to(torch.float64).add_(test, alpha=shift), test.to(torch.float64)
        values, turn = eigh(test.T @ image)
        del test
        keep = values > shift / 2
        image = image @ (turn[:, keep] / values[keep].sqrt())
        squares, turn = eigh(image.T @ image)
        keep = squares > 1e-12 * squares.sum()
        squares, turn = squares[keep].flip(0), turn[:, keep].flip(1)
        return Preconditioner(image @ (turn / squares.sqrt()), (squares - shift).clamp(min=0))

    def solve(
        self,
        relative: list[float],
        tolerance: float,
        most: int,
        start: Tensor | None = None,
        watch: Callable[[float], None] | None = None,
    ) -> Solution:
        """Return the fits for relative ridge parameters, in order.

        Parameters
        ----------
        relative : list of float
            As in NormalEquations.path.
        tolerance : float
            Largest accepted gap (F(w) - min F) / F(w) of the objective, estimated by <r, P^-1 r> / lambda >=
            F(w) - min F, which holds as far as the sketch does for the leading eigenvalues.
        most : int
            Maximum passes; fits that have not converged by then are returned with their gap.
        start : Tensor (m, k) or None
            Weights to start from.
        watch : callable or None
            Receives the largest gap after each pass.
        """
        lam = torch.tensor(absolute(relative, self.trace), dtype=torch.float64, device=self.cross.device)
        count, (m, k) = len(relative), self.cross.shape
        w = torch.zeros(count, m, k, dtype=torch.float64, device=self.cross.device)
        r = self.cross.expand(count, m, k).clone()
        passes = 0
        if start is not None:
            w += start
            r -= self.product(start) + lam[:, None, None] * start
            passes = 1
        z = self.preconditioner.apply(r, lam)
        p, rho = z.clone(), (r * z).sum((1, 2))
        gaps = self._gaps(w, r, lam, rho)
        while passes < most and bool((open_ := gaps > tolerance).any()):
            left = open_.nonzero().flatten()
            direction = p[left]
            # one pass serves all lambdas and targets
            wide = direction.permute(1, 0, 2).reshape(m, -1)
            image = self.product(wide).reshape(m, len(left), k).permute(1, 0, 2)
            image = image + lam[left, None, None] * direction
            passes += 1
            # one step length per target: each has its own conjugate gradients
            before = (r[left] * z[left]).sum(1, keepdim=True)
            step = before / (direction * image).sum(1, keepdim=True).clamp(min=TINY)
            w[left] += step * direction
            r[left] -= step * image
            z[left] = self.preconditioner.apply(r[left], lam[left])
            after = (r[left] * z[left]).sum(1, keepdim=True)
            p[left] = z[left] + after / before.clamp(min=TINY) * direction
            gaps = self._gaps(w, r, lam, (r * z).sum((1, 2)))
            if watch is not None:
                watch(float(gaps.max()))
        fits = [Linear(w[i], self.mean_y - self.mean_z @ w[i], float(lam[i])) for i in range(count)]
        return Solution(fits, gaps.tolist(), passes)

    def _gaps(self, w: Tensor, r: Tensor, lam: Tensor, rho: Tensor) -> Tensor:
        # F(w) = var y - 2 <c, w> + <w, (C + lam) w>, where (C + lam) w = c - r
        value = self.variance_y.sum() - ((self.cross + r) * w).sum((1, 2))
        return rho / lam / value.clamp(min=TINY)
