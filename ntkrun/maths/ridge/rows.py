"""Ridge regression from kept rows in the dual: cheaper than sums if there are fewer rows than columns."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ntkrun.maths.ridge.normal import Linear, NormalEquations, absolute
from ntkrun.maths.ridge.path import solve_path
from ntkrun.maths.ridge.posterior import DualPosterior, PrimalPosterior


@dataclass(frozen=True)
class Batch:
    """Features z (r, m), targets y (r, k), float64, and weights (r,), float64, or None for one each."""

    z: Tensor
    y: Tensor
    weight: Tensor | None

    def weights(self) -> Tensor:
        """Return the weights (r,)."""
        return self.y.new_ones(len(self.y)) if self.weight is None else self.weight


class RowsOrSums:
    """The data of a ridge regression with an unpenalised intercept, in the smaller form.

        minimise (1/n) ‖Z w + b - Y‖² + lambda ‖w‖²

    Rows are kept while there are fewer of them than columns, and solved as K = Z Z^T (n x n). From then on
    only NormalEquations are kept (m x m). Both give the same solution.

    Attributes
    ----------
    n : float
        Number of rows, or the sum of their weights.

    Notes
    -----
    Memory: the rows, 8 n m bytes for their centred copy and 16 n^2 while solving; or see NormalEquations.
    """

    def __init__(self) -> None:
        self._batches: list[Batch] = []
        self._sums = NormalEquations()

    @property
    def n(self) -> float:
        """Number of rows, or the sum of their weights."""
        return self._sums.n or sum(float(b.weights().sum()) for b in self._batches)

    @property
    def size(self) -> int:
        """Order of the system that `path` solves."""
        return len(self._sums.gram) if self._sums.n else self._count

    @property
    def targets(self) -> int:
        """Number of targets."""
        return self._sums.cross.shape[1] if self._sums.n else self._batches[0].y.shape[1]

    @property
    def _count(self) -> int:
        return sum(len(b.z) for b in self._batches)

    def add(self, z: Tensor, y: Tensor, weight: Tensor | None = None) -> None:
        """Add a batch of features z (n, m) and targets y (n, k); a row of weight w counts as w rows."""
        weight = None if weight is None else weight.to(z.device, torch.float64)
        batch = Batch(z, y.to(torch.float64), weight)
        if not self._sums.n and self._count + len(z) <= z.shape[1]:
            self._batches.append(batch)
            return
        self._sum()
        self._sums.add(batch.z, batch.y, batch.weight)

    def merged(self, other: RowsOrSums) -> RowsOrSums:
        """Return the data of both; neither changes."""
        out = RowsOrSums()
        batches = self._batches + other._batches
        rows = sum(len(b.z) for b in batches)
        if not self._sums.n and not other._sums.n and (not rows or rows <= batches[0].z.shape[1]):
            out._batches = batches
            return out
        out._sums = self._summed().merged(other._summed())
        return out

    def _summed(self) -> NormalEquations:
        if self._sums.n:
            return self._sums
        sums = NormalEquations()
        for batch in self._batches:
            sums.add(batch.z, batch.y, batch.weight)
        return sums

    def _sum(self) -> None:
        self._sums, self._batches = self._summed(), []

    def mse(self, fit: Linear) -> float:
        """Return the mean squared error over all rows and targets."""
        return self._sums.mse(fit) if self._sums.n else float(self.mse_per_target(fit).mean())

    def mse_per_target(self, fit: Linear) -> Tensor:
        """Return the mean squared error over all rows for each target, (k,) float64."""
        if self._sums.n:
            return self._sums.mse_per_target(fit)
        total = sum(b.weights() @ (fit.predict(b.z) - b.y).square() for b in self._batches)
        return torch.as_tensor(total) / self.n

    def path(self, relative: list[float], floor: float = 0.0) -> Iterator[Linear]:
        """Yield the solution for every relative lambda; see NormalEquations.path."""
        if self._sums.n:
            yield from self._sums.path(relative, floor)
            return
        if not self._batches:
            raise ValueError("RowsOrSums holds no rows. Add a batch before solving.")
        z, weight = self._rows()
        y = torch.cat([b.y for b in self._batches])
        n = float(weight.sum())
        mean_z, mean_y, root = weight @ z / n, weight @ y / n, weight.sqrt()[:, None]
        z, y = z.sub_(mean_z).mul_(root), (y - mean_y) * root
        gram = z @ z.T
        lambdas = absolute(relative, float(gram.trace()) / n)
        for a, lam in zip(solve_path(gram, y, [n * lam for lam in lambdas], floor), lambdas, strict=True):
            w = z.T @ a
            yield Linear(w, mean_y - mean_z @ w, lam)

    def posterior(self, lam: float) -> Callable[[Tensor], Tensor]:
        """Return the function features (r, m) -> variance (r,), float64, of the fit with the absolute lambda.

        Per unit of noise variance; see ntkrun.maths.ridge.posterior.
        """
        if self._sums.n:
            sums = self._sums
            return PrimalPosterior(sums.gram, sums.mean_z, sums.n, lam).variance
        z, weight = self._rows()
        mean = weight @ z / weight.sum()
        z = z - mean  # a large mean would cost the kernel its digits
        dual = DualPosterior(z @ z.T, lam, weight)

        def variance(new: Tensor) -> Tensor:
            new = new.to(z) - mean
            return dual.variance(new @ z.T, new.square().sum(1))

        return variance

    def _rows(self) -> tuple[Tensor, Tensor]:
        """Return the kept rows (n, m), float64, and their weights (n,)."""
        z = torch.cat([b.z.to(torch.float64) for b in self._batches])
        return z, torch.cat([b.weights() for b in self._batches])
