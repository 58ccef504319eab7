"""Ridge regression from streamed normal equations, in the primal and in the dual (MATH: section 6)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ntkrun.maths.ridge.path import solve_path


@dataclass
class Linear:
    """A fitted predictor Z w + b: w (m, k), b (k,), float64; `lam` the absolute ridge parameter."""

    weight: Tensor
    bias: Tensor
    lam: float

    def predict(self, z: Tensor) -> Tensor:
        """Return Z w + b, (n, k) float64, for features z (n, m)."""
        return z.to(self.weight) @ self.weight + self.bias


class NormalEquations:
    """Sums that determine ridge regression with an unpenalised intercept, batch by batch.

        minimise (1/n) |Z w + b - Y|^2 + lambda |w|^2

    Everything is float64: useful relative lambdas reach 1e-10, below what float32 sums resolve. The
    features are shifted by the first batch's mean before they are squared, since a large constant would
    otherwise eat the digits of the centred Gram matrix. Memory 8 m^2 bytes, no features are kept.
    """

    def __init__(self) -> None:
        self.n = 0
        self.shift: Tensor | None = None

    def add(self, z: Tensor, y: Tensor) -> None:
        """Add a batch of features z (n, m) and targets y (n, k)."""
        z = z.to(torch.float64)
        y = y.to(z)
        if self.shift is None:
            m, k = z.shape[1], y.shape[1]
            self.shift = z.mean(0)
            self.gram, self.cross = z.new_zeros(m, m), z.new_zeros(m, k)
            self.sum_z, self.sum_y = z.new_zeros(m), z.new_zeros(k)
        z = z - self.shift
        self.gram.addmm_(z.T, z)
        self.cross.addmm_(z.T, y)
        self.sum_z += z.sum(0)
        self.sum_y += y.sum(0)
        self.n += len(z)

    def _centred(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        if self.shift is None:
            raise ValueError("NormalEquations holds no rows. Add a batch before solving.")
        mean_z, mean_y = self.sum_z / self.n, self.sum_y / self.n
        gram = self.gram / self.n
        gram.addmm_(mean_z[:, None], mean_z[None], alpha=-1)
        cross = self.cross / self.n
        cross.addmm_(mean_z[:, None], mean_y[None], alpha=-1)
        return gram, cross, mean_z + self.shift, mean_y

    def path(self, relative: list[float]) -> list[Linear]:
        """Return the solution for every relative lambda.

        lambda = relative * trace of the centred covariance, which is the mean squared row norm: a
        number that depends neither on n nor on the number of features.
        """
        gram, cross, mean_z, mean_y = self._centred()
        lambdas = absolute(relative, float(gram.trace()))
        weights = solve_path(gram, cross, lambdas)
        return [Linear(w, mean_y - mean_z @ w, lam) for w, lam in zip(weights, lambdas, strict=True)]


@dataclass
class Dual:
    """A fitted kernel predictor sum_i K(x, x_i) a_i + b: a (n, k), b (k,), float64."""

    weight: Tensor
    bias: Tensor
    lam: float

    def predict(self, gram: Tensor) -> Tensor:
        """Return predictions (r, k) for kernel rows (r, n) against the training set."""
        return gram.to(self.weight) @ self.weight + self.bias


def dual_path(gram: Tensor, y: Tensor, relative: list[float]) -> list[Dual]:
    """Return kernel ridge regression with an intercept for every relative lambda.

    The same problem as NormalEquations, in the same units, for the kernel of the features: with
    H = I - 1 1^T / n,  a = (H K H / n + lambda I)^-1 H y / n.

    Parameters
    ----------
    gram : Tensor (n, n)
    y : Tensor (n, k)
    relative : list of float
    """
    n = len(gram)
    k = gram.to(torch.float64)
    y = y.to(k)
    row = k.mean(1)
    centred = k - row[:, None] - row[None] + row.mean()
    lambdas = absolute(relative, float(centred.trace()) / n)
    mean_y = y.mean(0)
    out = []
    for a, lam in zip(solve_path(centred / n, (y - mean_y) / n, lambdas), lambdas, strict=True):
        a = a - a.mean(0)  # H a: makes the centring of new rows part of the weights
        out.append(Dual(a, mean_y - row @ a, lam))
    return out


def absolute(relative: list[float], trace: float) -> list[float]:
    """Scale relative ridge parameters; constant features (trace 0) still get a positive one."""
    return [r * trace if trace > 0 else r for r in relative]
