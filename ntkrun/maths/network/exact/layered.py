"""Exact CNTK of any order of convolutions, ReLUs and average pools (MATH: section 2).

Pools couple different displacements, so the fast recursion of `cntk` does not apply: whole maps over
pairs of positions are kept. A reference for a few hundred pairs, not for a data set.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ntkrun.maths.dual.activation import Dual, ReluDual
from ntkrun.maths.kernel.gram import gram

RELU = ReluDual()


@dataclass(frozen=True)
class LayeredCNTK:
    """The exact kernel of a network given as words; calling it gives the Gram matrix of image batches.

    Parameters
    ----------
    layers : tuple of {"conv", "act", "pool"}
        As `layer.network.problems` allows them.
    filter_size : int
    trained : {"inner", "all", "last"}
        "last" gives the kernel of the activations.
    padding : {"same", "valid"}
    dual : Dual
        The non-linearity.
    cells : int
        The last average is taken over pairs of positions in the same one of cells x cells parts.
    """

    layers: tuple[str, ...]
    filter_size: int = 3
    trained: str = "inner"
    padding: str = "same"
    dual: Dual = RELU
    cells: int = 1

    def __call__(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Return Theta (n, m) for x (n, H, W, C), y (m, H, W, C); y None computes symmetric entries once."""
        return gram(self.pairs, x, y)

    def pairs(self, x: Tensor, y: Tensor, ix: np.ndarray, iy: np.ndarray) -> Tensor:
        """Return Theta(x[ix[p]], y[iy[p]]) for all p, shape (len(ix),)."""
        norms_x = {int(i): self._norms(x[i]) for i in np.unique(ix)}
        norms_y = norms_x if y is x else {}
        norms_y |= {int(j): self._norms(y[j]) for j in np.unique(iy) if int(j) not in norms_y}
        out = [self._pair(x[i], y[j], norms_x[int(i)], norms_y[int(j)]) for i, j in zip(ix, iy, strict=True)]
        return torch.stack(out) if out else x.new_empty(0)

    def _norms(self, x: Tensor) -> list[Tensor]:
        """Return Sigma(x, x) at every position before each act."""
        norms: list[Tensor] = []
        self._pair(x, x, norms, norms)
        return norms

    def _pair(self, x: Tensor, y: Tensor, norms_x: list[Tensor], norms_y: list[Tensor]) -> Tensor:
        """Return Theta(x, y); a norms list that is still too short is filled with the diagonal of Sigma."""
        c = torch.einsum("abk,cdk->abcd", x, y)
        theta = c if self.trained == "all" else torch.zeros_like(c)
        acts, last = 0, self.layers.count("act") - 1
        for word in self.layers:
            if word == "conv":
                c, theta = self._patch_sum(c), self._patch_sum(theta)
            elif word == "pool":
                c, theta = _pool(c), _pool(theta)
            else:
                if acts == len(norms_x):
                    h, w = c.shape[:2]
                    norms_x.append(c.reshape(h * w, h * w).diagonal().reshape(h, w).clone())
                scale = (norms_x[acts][:, :, None, None] * norms_y[acts]).sqrt()
                rho = torch.where(scale > 0, c / scale, 0)
                c = scale * self.dual.first(rho)
                theta = theta * self.dual.second(rho)
                if acts < last or self.trained == "all":
                    theta = theta + c
                acts += 1
        return self._average(c if self.trained == "last" else theta)

    def _average(self, c: Tensor) -> Tensor:
        """Return the mean over pairs of positions of the same cell."""
        k = self.cells
        (h, w), (p, q) = c.shape[:2], c.shape[2:]
        by_cell = c.reshape(k, h // k, k, w // k, k, p // k, k, q // k).mean((1, 3, 5, 7))
        return torch.einsum("abab->", by_cell) / k**2

    def _patch_sum(self, c: Tensor) -> Tensor:
        """Average over the q^2 offsets, which both positions share, (h, w, h', w')."""
        q = self.filter_size
        if self.padding == "same":
            c = F.pad(c, (q // 2,) * 8)
        sizes = [s - q + 1 for s in c.shape]
        out = c.new_zeros(sizes)
        for a in range(q):
            for b in range(q):
                out += c[a : a + sizes[0], b : b + sizes[1], a : a + sizes[2], b : b + sizes[3]]
        return out.div_(q * q)


def _pool(c: Tensor) -> Tensor:
    """Average over 2 x 2 positions on both sides, (h, w, h', w')."""
    for _ in range(2):
        c = F.avg_pool2d(c, 2).permute(2, 3, 0, 1)
    return c
