"""The exact kernel of a two-layer convolutional kernel network; see docs/math.md, section 7.

Whole maps over pairs of positions are kept, as in `layered`: a reference for a few hundred pairs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ntkrun.maths.dual.activation import DualActivation
from ntkrun.maths.kernel.gram import gram
from ntkrun.maths.network.exact.layered import patch_mean
from ntkrun.maths.network.positions import reciprocal

Weights = Callable[[int], Tensor]


@dataclass(frozen=True)
class AveragedKernel:
    """A call gives the Gram matrix of images x (n, h, w, c), y (m, h, w, c).

    Parameters
    ----------
    sides : (int, int)
        Sides of the patches of both layers.
    dual : DualActivation
        The non-linearity of both layers.
    pool, cells : callable
        Map a side to the matrix of the averages after the first and after the second layer.
    """

    sides: tuple[int, int]
    dual: DualActivation
    pool: Weights
    cells: Weights

    def __call__(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Return the kernel (n, m); y None computes symmetric entries once."""
        return gram(self.pairs, x, y)

    def pairs(self, x: Tensor, y: Tensor, ix: np.ndarray, iy: np.ndarray) -> Tensor:
        """Return the kernel of x[ix[p]] and y[iy[p]] for all p, shape (len(ix),)."""
        norms_x = {int(i): self._norm(x[i]) for i in np.unique(ix)}
        norms_y = {int(j): self._norm(y[j]) for j in np.unique(iy)}
        out = []
        for i, j in zip(ix, iy, strict=True):
            k = self._activated(self._sigma(x[i], y[j]), norms_x[int(i)], norms_y[int(j)])
            out.append(torch.einsum("abab->", _averaged(k, self.cells)))
        return torch.stack(out)

    def _norm(self, x: Tensor) -> Tensor:
        return _diagonal(self._sigma(x, x))

    def _sigma(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the kernel of the patches of the second layer."""
        norm_x, norm_y = (_diagonal(self._patches(z, z)) for z in (x, y))
        k = self._activated(self._patches(x, y), norm_x, norm_y)
        return patch_mean(_averaged(k, self.pool), self.sides[1])

    def _patches(self, x: Tensor, y: Tensor) -> Tensor:
        return patch_mean(torch.einsum("abk,cdk->abcd", x, y), self.sides[0])

    def _activated(self, sigma: Tensor, x: Tensor, y: Tensor) -> Tensor:
        root = (x[:, :, None, None] * y).sqrt()
        return root * self.dual.first(sigma * reciprocal(root))


def _diagonal(sigma: Tensor) -> Tensor:
    return torch.einsum("abab->ab", sigma)


def _averaged(k: Tensor, weights: Weights) -> Tensor:
    """Return the averages of k (h, w, h', w') over all its positions."""
    for _ in range(4):
        k = torch.tensordot(k, weights(k.shape[0]).to(k), ([0], [1]))
    return k
