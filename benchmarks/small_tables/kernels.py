"""Variants of the ReLU NTK of rows that the exploration compares."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from benchmarks.small_tables.splits import Fold
from ntkrun.maths.dual.arccos import kappa0, kappa1


@dataclass(frozen=True)
class Variant:
    """Choices of a kernel; the defaults are those of `exact_ntk`.

    Attributes
    ----------
    scaling : str
        As `Fold.rows`.
    bias : float
        Each row gets one more coordinate, bias times the root of the number of columns.
    sphere : bool
        Rows (with their bias) are scaled to length 1.
    trained : {"all", "last", "inner"}
        Layers whose weights are trained: "last" gives the kernel of the random network's features, "inner"
        leaves out the first and the last; depth 1, which has no other, is as "last".
    average : bool
        The mean of the kernels of all depths up to this one, each divided by its value at equal rows.
    solver : {"ridge", "balanced", "pairs", "svc"}
        "balanced" divides the targets of a class by the root of its share. "pairs" is one against one.
    """

    scaling: str = "standardize"
    bias: float = 0.0
    sphere: bool = False
    trained: str = "all"
    average: bool = False
    solver: str = "ridge"

    def rows(self, fold: Fold) -> tuple[Tensor, Tensor]:
        """Return the rows to fit and to score with their bias."""
        own, other = fold.rows(self.scaling)
        return self.biased(own), self.biased(other)

    def biased(self, rows: np.ndarray) -> Tensor:
        """Return rows (n, d) with their bias, (n, d + 1) unless it is zero."""
        x = torch.from_numpy(rows)
        if self.bias:
            x = torch.cat([x, x.new_full((len(x), 1), self.bias * x.shape[1] ** 0.5)], 1)
        return x / x.norm(dim=1, keepdim=True).clamp(min=1e-300) if self.sphere else x

    def grams(self, x: Tensor, y: Tensor, depths: int) -> list[Tensor]:
        """Return the kernels (n, m) of depths 1 .. `depths`, 1 at equal rows of length 1."""
        nx, ny = x.norm(dim=1), y.norm(dim=1)
        scale = nx[:, None] * ny[None]
        s = (x @ y.T / scale.clamp(min=1e-300)).clamp(-1, 1)
        theta, out = (torch.zeros_like(s) if self.trained == "inner" else s), []
        for depth in range(1, depths + 1):
            new = kappa1(s)
            inner = theta * kappa0(s)
            theta, s = inner + new, new
            used = {
                "all": theta / (depth + 1),
                "last": s,
                "inner": inner / (depth - 1) if depth > 1 else theta,
            }[self.trained]
            out.append(used)
        if self.average:
            out = [torch.stack(out[: i + 1]).mean(0) for i in range(depths)]
        return [scale * k for k in out]
