"""Exact CNTK of any order of convolutions, activations and average pools (docs/math.md, section 2).

Pools couple different displacements, so the fast recursion of `cntk` does not apply and whole maps over pairs
of positions are kept. Use it as a reference for a few hundred pairs, not for a data set.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ntkrun.maths.dual.activation import DualActivation, ReluDual
from ntkrun.maths.kernel.gram import gram
from ntkrun.maths.network.exact.kernel import ExactKernel
from ntkrun.maths.network.layers import Chain, read, steps

RELU = ReluDual()


def patch_mean(z: Tensor, q: int) -> Tensor:
    """Return the mean over the q x q displacements that z (h, w, h', w') has in both images."""
    sizes = [s - q + 1 for s in z.shape]
    out = z.new_zeros(sizes)
    for a in range(q):
        for b in range(q):
            out += z[a : a + sizes[0], b : b + sizes[1], a : a + sizes[2], b : b + sizes[3]]
    return out.div_(q * q)


@dataclass(frozen=True)
class LayeredCNTK:
    """The exact kernel of a list of layers; a call gives the Gram matrix of image batches.

    Parameters
    ----------
    layers : tuple of {"conv", "act", "pool"}
        As `network.layers.problems` allows them.
    filter_size : int
        Odd side q of the filters.
    trained : {"inner", "all", "last"}
        "last" gives the kernel of the activations.
    padding : {"same", "valid"}
        "same" adds zeros so that images keep their size; "valid" does not.
    dual : DualActivation
        The non-linearity.
    cells : int
        The last average is over pairs of positions in the same one of cells x cells parts.
    """

    layers: tuple[str, ...]
    filter_size: int = 3
    trained: str = "inner"
    padding: str = "same"
    dual: DualActivation = RELU
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
        """Return Sigma(x, x) at every position before each activation."""
        norms: list[Tensor] = []
        self._pair(x, x, norms, norms)
        return norms

    def _pair(self, x: Tensor, y: Tensor, norms_x: list[Tensor], norms_y: list[Tensor]) -> Tensor:
        """Return Theta(x, y); a norms list that is too short is filled with the diagonal of Sigma."""
        functions = self.dual.first, self.dual.second
        reading = ExactKernel(_Maps(self, norms_x, norms_y), lambda _: functions, self.trained)
        chain: Chain = read(steps(self.layers, self.filter_size), reading)
        return chain(reading.start(torch.einsum("abk,cdk->abcd", x, y)))


@dataclass
class _Maps:
    """All pairs of positions, (h, w, h', w')."""

    kernel: LayeredCNTK
    norms_x: list[Tensor]
    norms_y: list[Tensor]

    def mean(self, z: Tensor) -> Tensor:
        q = self.kernel.filter_size
        return patch_mean(F.pad(z, (q // 2,) * 8) if self.kernel.padding == "same" else z, q)

    def pool(self, z: Tensor) -> Tensor:
        for _ in range(2):
            z = F.avg_pool2d(z, 2).permute(2, 3, 0, 1)
        return z

    def scale(self, acts: int, sigma: Tensor) -> Tensor:
        if acts == len(self.norms_x):
            h, w = sigma.shape[:2]
            self.norms_x.append(sigma.reshape(h * w, h * w).diagonal().reshape(h, w).clone())
        return (self.norms_x[acts][:, :, None, None] * self.norms_y[acts]).sqrt()

    def average(self, z: Tensor) -> Tensor:
        """Return the mean over pairs of positions of the same cell."""
        k = self.kernel.cells
        (h, w), (p, q) = z.shape[:2], z.shape[2:]
        by_cell = z.reshape(k, h // k, k, w // k, k, p // k, k, q // k).mean((1, 3, 5, 7))
        return torch.einsum("abab->", by_cell) / k**2
