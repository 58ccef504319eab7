"""Exact convolutional neural tangent kernel with global average pooling; see docs/math.md, section 2.

Source: Arora et al. 2019, "On exact computation with an infinitely wide neural net", in the form that Zandieh
et al. 2021 (section 4) sketch. `depth` counts convolutions: Arora's "depth d" has d-1.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ntkrun.maths.dual.arccos import kappa0, kappa1
from ntkrun.maths.dual.cpu import compiled_settings
from ntkrun.maths.dual.polynomial import Activation
from ntkrun.maths.kernel.gram import gram
from ntkrun.maths.network.exact import cntk_cpu
from ntkrun.maths.network.exact.kernel import ExactKernel
from ntkrun.maths.network.layers import read, steps
from ntkrun.maths.network.positions import patch_sum, planar


@dataclass(frozen=True)
class CNTK:
    """The exact kernel; a call with two image batches gives the Gram matrix between them.

    Parameters
    ----------
    depth : int
        Convolutions, L >= 1 (>= 2 for trained="inner", since depth 1 trains nothing).
    filter_size : int
        Odd side q of the filters.
    trained : {"inner", "all"}
        "inner" leaves the first convolution and the last linear layer untrained (the paper's kernel); "all"
        trains every layer.
    padding : {"same", "valid"}
        "same" adds zeros so that images keep their size; "valid" does not.
    duals : tuple of (kappa1, kappa0) for each layer, or None
        Dual activations that replace the ReLU's, such as the polynomials of a sketch.

    Notes
    -----
    Cost: 4 (HW)^2 L arccosines per pair of H x W images, O(HW) memory per thread on the CPU.
    """

    depth: int = 3
    filter_size: int = 3
    trained: str = "inner"
    padding: str = "same"
    duals: tuple[tuple[Activation, Activation], ...] | None = None

    def __call__(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Return Theta (n, m); entries of a symmetric block (y None) are computed once.

        x (n, H, W, C) and y (m, H, W, C), float32 or float64, on one device.
        """
        return gram(self.pairs, x, y)

    def pairs(self, x: Tensor, y: Tensor, ix: np.ndarray, iy: np.ndarray) -> Tensor:
        """Return Theta(x[ix[p]], y[iy[p]]) for all p, shape (len(ix),)."""
        if x.device.type == "cpu" and self.duals is None:
            return self._pairs_cpu(x, y, ix, iy)
        return self._pairs_torch(x, y, ix, iy)

    def _pairs_cpu(self, x: Tensor, y: Tensor, ix: np.ndarray, iy: np.ndarray) -> Tensor:
        same, dtype = self.padding == "same", x.numpy().dtype
        px, sx, rx = self._flat(x)
        py, sy, ry = (px, sx, rx) if y is x else self._flat(y)
        poly, snap, threads = compiled_settings(dtype)
        chunks = min(len(ix), 64 * threads)  # enough for an even share, few enough to reuse buffers
        out = np.empty(len(ix), np.float64)
        q, stride = self.filter_size, x.shape[2] + self.filter_size // 2
        form = (stride, q, same, self.trained == "all", poly, snap)
        lanes = cntk_cpu.LANES if px.shape[2] <= cntk_cpu.SMALL and len(ix) >= cntk_cpu.LANES else 1
        cntk_cpu.cntk_pairs(px, py, ix, iy, sx, sy, rx, ry, *form, lanes, chunks, out)
        positions = (x.shape[1] - self._shrink) * (x.shape[2] - self._shrink)
        return torch.from_numpy(out / positions**2).to(x.dtype)

    def _flat(self, x: Tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return pixels (n, C, P), roots of the norms and their reciprocals (n, L, P)."""
        n, height, width, channels = x.shape
        spare = self.filter_size // 2
        planar = x.numpy().transpose(0, 3, 1, 2)
        pixels = np.zeros((n, channels, height, width + spare), planar.dtype)
        pixels[..., :width] = planar
        roots = np.zeros((n, self.depth, height, width + spare), planar.dtype)
        for h, norm in enumerate(
            cntk_cpu.norms(planar, self.depth, self.filter_size, self.padding == "same")
        ):
            roots[:, h, : norm.shape[1], : norm.shape[2]] = np.sqrt(norm)
        reciprocals = np.divide(1, roots, out=np.zeros_like(roots), where=roots > 0)
        return (
            pixels.reshape(n, channels, -1),
            roots.reshape(n, self.depth, -1),
            reciprocals.reshape(n, self.depth, -1),
        )

    def _pairs_torch(self, x: Tensor, y: Tensor, ix: np.ndarray, iy: np.ndarray) -> Tensor:
        """Do the same on any device: loop over displacements, batch the pairs."""
        height, width = x.shape[1:3]
        batch = max(1, (1 << 24) // (height * width * (x.shape[3] + 8)))
        layers = steps(("conv", "act") * self.depth, self.filter_size)
        parts = []
        for start in range(0, len(ix), batch):
            a = planar(x[torch.from_numpy(ix[start : start + batch]).to(x.device)])
            b = planar(y[torch.from_numpy(iy[start : start + batch]).to(y.device)])
            na, nb = self._norms(a), self._norms(b)
            total = x.new_zeros(len(a), dtype=torch.float64)
            for corner_x, corner_y in _displacements(height, width):
                shape = height - max(corner_x[0], corner_y[0]), width - max(corner_x[1], corner_y[1])
                if min(shape) > self._shrink:
                    reading = ExactKernel(
                        _Displaced(self, na, nb, corner_x, corner_y), self._duals, self.trained
                    )
                    products = (_crop(a, corner_x, shape) * _crop(b, corner_y, shape)).sum(1)
                    total += read(layers, reading)(reading.start(products))
            parts.append(total / (na[-1].shape[1] * na[-1].shape[2]) ** 2)
        return torch.cat(parts).to(x.dtype) if parts else x.new_empty(0)

    @property
    def _shrink(self) -> int:
        """Pixels that all convolutions together take off a side."""
        return 0 if self.padding == "same" else (self.filter_size - 1) * self.depth

    def _duals(self, layer: int) -> tuple[Activation, Activation]:
        return self.duals[layer] if self.duals else (kappa1, kappa0)

    def _mean(self, z: Tensor) -> Tensor:
        """Return the mean over q x q windows of z (n, h, w), with zeros outside for "same"."""
        return patch_sum(z, self.filter_size, self.padding == "same") / self.filter_size**2

    def _norms(self, x: Tensor) -> list[Tensor]:
        """Return the norms (n, h, w) before each activation, for planar images x (n, C, H, W)."""
        out = [self._mean(x.square().sum(1))]
        for _ in range(self.depth - 1):
            out.append(self._mean(out[-1]))
        return out


@dataclass
class _Displaced:
    """All pairs of positions with one displacement, for a batch of image pairs, (n, h, w).

    Convolutions and activations do not mix displacements.
    """

    kernel: CNTK
    norms_x: list[Tensor]
    norms_y: list[Tensor]
    corner_x: tuple[int, int]
    corner_y: tuple[int, int]

    def mean(self, z: Tensor) -> Tensor:
        return self.kernel._mean(z)

    def pool(self, z: Tensor) -> Tensor:
        raise NotImplementedError("a pool mixes displacements")

    def scale(self, acts: int, sigma: Tensor) -> Tensor:
        norm_x, norm_y = self.norms_x[acts], self.norms_y[acts]
        size = sigma.shape[1], sigma.shape[2]
        return (_crop(norm_x, self.corner_x, size) * _crop(norm_y, self.corner_y, size)).sqrt()

    def average(self, z: Tensor) -> Tensor:
        """Return the sum in double precision; the mean is taken over all displacements together."""
        return z.sum((1, 2), dtype=torch.float64)


def _crop(z: Tensor, corner: tuple[int, int], shape: tuple[int, int]) -> Tensor:
    (i, j), (h, w) = corner, shape
    return z[..., i : i + h, j : j + w]


def _displacements(height: int, width: int) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    """Yield the corners (in x, in y) of the overlap for every displacement of y against x."""
    for di in range(1 - height, height):
        for dj in range(1 - width, width):
            yield (max(0, -di), max(0, -dj)), (max(0, di), max(0, dj))
