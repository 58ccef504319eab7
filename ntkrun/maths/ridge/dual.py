"""Kernel ridge regression with an intercept; see docs/math.md, section 6."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ntkrun.maths.ridge.cholesky import BLOCK, preconditioned
from ntkrun.maths.ridge.normal import absolute
from ntkrun.maths.ridge.path import solve_path


@dataclass
class KernelPredictor:
    """A fitted kernel predictor sum_i K(x, x_i) a_i + b: a (n, k), b (k,), float64."""

    weight: Tensor
    bias: Tensor
    lam: float

    def predict(self, gram: Tensor) -> Tensor:
        """Return predictions (r, k) for kernel rows (r, n) with the training set."""
        return gram.to(self.weight) @ self.weight + self.bias


def dual_path(gram: Tensor, y: Tensor, relative: list[float]) -> Iterator[KernelPredictor]:
    """Yield kernel ridge regression with an intercept for every relative lambda.

    The same problem as NormalEquations, in the same units, for the kernel of the features: with
    H = I - 1 1^T / n,  a = (H K H / n + lambda I)^-1 H y / n.

    Parameters
    ----------
    gram : Tensor (n, n)
        float32 takes a factor in float32, corrected by products in float64 (`preconditioned`).
    y : Tensor (n, k)
    relative : list of float

    Notes
    -----
    Memory beside `gram`: 4 n^2 bytes if it is float32; else 8 n^2 and a factor, see `factor_space`.
    """
    y = y.to(torch.float64)
    if gram.dtype == torch.float32:
        yield from _large_path(gram, y, relative)
        return
    n, k = len(gram), gram
    row = k.mean(1)
    centred = (k - row[:, None]).sub_(row[None]).add_(row.mean())
    lambdas = absolute(relative, float(centred.trace()) / n)
    mean_y = y.mean(0)
    for a, lam in zip(solve_path(centred.div_(n), (y - mean_y) / n, lambdas), lambdas, strict=True):
        a = a - a.mean(0)  # H a: the weights then include the centring of new rows
        yield KernelPredictor(a, mean_y - row @ a, lam)


def _large_path(gram: Tensor, y: Tensor, relative: list[float]) -> Iterator[KernelPredictor]:
    """Do the same without a centred copy in float64: its products are taken block by block."""
    n = len(gram)
    row = torch.cat([part.to(torch.float64).mean(1) for part in gram.split(BLOCK)])
    mean = row.mean()
    lambdas = absolute(relative, float(gram.diagonal().to(torch.float64).mean() - mean))
    space = torch.empty(n, n, dtype=torch.float32, device=gram.device)

    def product(p: Tensor) -> Tensor:
        p = p - p.mean(0)
        out = torch.cat([part.to(torch.float64) @ p for part in gram.split(BLOCK)])
        return (out - out.mean(0)).div_(n)

    def fill() -> None:
        for part, own, out in zip(gram.split(BLOCK), row.split(BLOCK), space.split(BLOCK), strict=True):
            out.copy_((part.to(torch.float64) - own[:, None]).sub_(row).add_(mean).div_(n))

    mean_y = y.mean(0)
    for lam in lambdas:
        a = preconditioned(product, fill, lam, space)((y - mean_y) / n)
        a = a - a.mean(0)
        yield KernelPredictor(a, mean_y - row @ a, lam)
