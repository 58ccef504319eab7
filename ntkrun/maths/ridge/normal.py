"""Ridge regression from streamed normal equations, primal and dual; see docs/math.md, section 6."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ntkrun.maths.ridge.path import solve_path

# columns of the Gram matrix computed at a time, enough for the full rate of a matrix product
BLOCK = 1024


@dataclass
class Linear:
    """A fitted predictor Z w + b: w (m, k), b (k,), float64; `lam` is the absolute ridge parameter."""

    weight: Tensor
    bias: Tensor
    lam: float

    def predict(self, z: Tensor) -> Tensor:
        """Return Z w + b, (n, k) float64, for features z (n, m)."""
        return z.to(self.weight) @ self.weight + self.bias


class NormalEquations:
    """Sums that determine ridge regression with an unpenalised intercept, batch by batch.

        minimise (1/n) ‖Z w + b - Y‖² + lambda ‖w‖²

    The sums are about the mean of all rows so far and move with it (Chan, Golub & LeVeque 1983), since a
    large constant would otherwise cost the Gram matrix its digits. Only its lower triangle is computed.
    Features are not kept.

    Parameters
    ----------
    single : bool
        Compute products in float32, at twice the rate, and keep their sums in float32. Such sums are merged
        into others in float64; `refined` says whether that was enough. Otherwise everything is float64.

    Attributes
    ----------
    n : int
        Number of rows, or the sum of their weights (a float) if they have any.
    mean_z, mean_y : Tensor (m,), (k,)
    gram : Tensor (m, m)
        sum (z - mean_z) (z - mean_z)^T; undefined above the diagonal.
    cross : Tensor (m, k)
        sum (z - mean_z) (y - mean_y)^T.
    square_y : Tensor (k,)
        sum (y - mean_y)^2.

    Notes
    -----
    Memory: 8 m^2 bytes, and as much again while solving.
    """

    def __init__(self, single: bool = False) -> None:
        self.single = single
        self.n: float = 0

    def add(self, z: Tensor, y: Tensor, weight: Tensor | None = None) -> None:
        """Add a batch of features z (n, m) and targets y (n, k); a row of weight w counts as w rows.

        Weights (n,) are positive; None means one each.
        """
        rows, y = len(z), y.to(torch.float64)
        total: float = rows
        # one copy in float64, centred in place, with room for one more row
        centred = z.new_empty((rows + 1, z.shape[1]), dtype=torch.float64)
        centred[:rows] = z
        if weight is None:
            mean_z, mean_y = centred[:rows].mean(0), y.mean(0)
        else:
            weight = weight.to(y)
            total = float(weight.sum())
            mean_z, mean_y = weight @ centred[:rows] / total, weight @ y / total
        if self.n == 0:
            m, k = z.shape[1], y.shape[1]
            dtype = torch.float32 if self.single else torch.float64
            self.gram, self.cross = z.new_zeros(m, m, dtype=dtype), centred.new_zeros(m, k)
            self.mean_z, self.mean_y = torch.zeros_like(mean_z), torch.zeros_like(mean_y)
            self.square_y = torch.zeros_like(mean_y)
        # moving both means to the common one adds a rank-one term, appended as one more row
        step_z, step_y = mean_z - self.mean_z, mean_y - self.mean_y
        length = (self.n * total / (self.n + total)) ** 0.5
        centred[:rows] -= mean_z
        y = y - mean_y
        if weight is not None:
            root = weight.sqrt()[:, None]
            centred[:rows] *= root
            y = y * root
        centred[rows] = length * step_z
        y = torch.cat([y, length * step_y[None]])
        factor = centred.to(self.gram)
        for start in range(0, z.shape[1], BLOCK):
            stop = start + BLOCK
            self.gram[start:, start:stop].addmm_(factor[:, start:].T, factor[:, start:stop])
        self.cross.addmm_(centred.T, y)
        self.square_y += y.square().sum(0)
        self.n += total
        self.mean_z += step_z * (total / self.n)
        self.mean_y += step_y * (total / self.n)

    def __sizeof__(self) -> int:
        """Return the bytes of the sums: schedulers ask before they move them."""
        arrays = (self.gram, self.cross, self.mean_z) if self.n else ()
        return object.__sizeof__(self) + sum(array.nbytes for array in arrays)

    def merge(self, other: NormalEquations) -> None:
        """Add the rows of `other`, whose sums may then be shared. These sums are float64 from then on."""
        if self.n == 0:
            self.__dict__ = other.__dict__ | {"gram": other.gram.to(torch.float64), "single": False}
            return
        if other.n == 0:
            return
        n = self.n + other.n
        share, weight = other.n / n, self.n * other.n / n
        step_z, step_y = other.mean_z - self.mean_z, other.mean_y - self.mean_y
        self.n = n
        self.mean_z, self.mean_y = self.mean_z + share * step_z, self.mean_y + share * step_y
        # by rows, since a sum of two precisions copies the whole of the lower one
        for mine, theirs in zip(self.gram.split(BLOCK), other.gram.split(BLOCK), strict=True):
            mine.add_(theirs)
        self.gram.addr_(step_z, step_z, alpha=weight)
        self.cross.add_(other.cross).addr_(step_z, step_y, alpha=weight)
        self.square_y = self.square_y + other.square_y + weight * step_y.square()

    def merged(self, other: NormalEquations) -> NormalEquations:
        """Return the sums over the rows of both; neither changes."""
        out = copy.deepcopy(self)
        out.merge(copy.deepcopy(other) if self.n == 0 else other)
        return out

    def mse(self, fit: Linear) -> float:
        """Return the mean squared error over all rows and targets, from the sums alone."""
        w = fit.weight
        gram_w, shift = self._products(fit)
        total = (w * gram_w).sum() - 2 * (w * self.cross).sum() + self.square_y.sum()
        return float(total / self.n + shift.square().sum()) / w.shape[1]

    def mse_per_target(self, fit: Linear) -> Tensor:
        """Return the mean squared error over all rows for each target, (k,) float64."""
        w = fit.weight
        gram_w, shift = self._products(fit)
        total = (w * gram_w).sum(0) - 2 * (w * self.cross).sum(0) + self.square_y
        return total / self.n + shift.square()

    def _products(self, fit: Linear) -> tuple[Tensor, Tensor]:
        w, lower = fit.weight, self.gram.tril(-1)
        gram_w = lower @ w + lower.T @ w + self.gram.diagonal()[:, None] * w
        return gram_w, self.mean_z @ w + fit.bias - self.mean_y

    def path(self, relative: list[float], floor: float = 0.0) -> Iterator[Linear]:
        """Yield the solution for every relative lambda.

        lambda = relative * trace of the centred covariance, the mean squared row norm, which depends neither
        on n nor on the number of features. `floor` as for solve_path.
        """
        if self.n == 0:
            raise ValueError("NormalEquations holds no rows. Add a batch before solving.")
        lambdas = absolute(relative, float(self.gram.trace()) / self.n)
        weights = solve_path(self.gram, self.cross, [self.n * lam for lam in lambdas], floor)
        for w, lam in zip(weights, lambdas, strict=True):
            yield Linear(w, self.mean_y - self.mean_z @ w, lam)


def absolute(relative: list[float], trace: float) -> list[float]:
    """Return absolute ridge parameters; constant features (trace 0) keep the relative ones, which are > 0."""
    return [r * trace if trace > 0 else r for r in relative]
