"""A layer of a convolutional kernel network (Mairal 2016): a Nystrom map, averaged over positions.

    phi = average over positions of k1(x, landmarks) K_zz^(-1/2),    k1 = |x||z| f(cos) / q

The average is linear, so that the root is applied to few positions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from ntkrun.maths.dual.activation import DualActivation
from ntkrun.maths.network.nystrom.clusters import clusters
from ntkrun.maths.network.nystrom.head import LANDMARKS
from ntkrun.maths.network.nystrom.landmarks import inverse_root
from ntkrun.maths.network.nystrom.parity import Halves
from ntkrun.maths.network.positions import patch_sum, reciprocal
from ntkrun.maths.rng import Stream

Weights = Callable[[int], Tensor]


def candidates(count: int) -> int:
    """Return the number of patches that k-means with `count` centres is given."""
    return max(1 << 14, 8 * count)


def gaussian(side: int, stride: int) -> Tensor:
    """Return the matrix (ceil(side / stride), side) of averages with Gaussian weights.

    They are centred on every `stride` positions; their standard deviation is stride / sqrt(2).
    """
    centres = (torch.arange(-(-side // stride), dtype=torch.float64) + 0.5) * stride - 0.5
    away = torch.arange(side, dtype=torch.float64) - centres[:, None]
    weights = torch.exp(-((away / stride) ** 2))
    return weights / weights.sum(1, keepdim=True)


def average(u: Tensor, down: Tensor, across: Tensor) -> Tensor:
    """Return the averages (n, h', w', r) of u (n, h, w, r) for weights down (h', h) and across (w', w)."""
    n, h, w, r = u.shape
    return across @ (down @ u.view(n, h, w * r)).view(n, -1, w, r)


class AveragedLayer:
    """Maps (n, h', w', c') of maps (n, h, w, c).

    With parity the landmarks are closed under mirroring, and the result has parity: its channels are the
    sums, then the differences, of those of a landmark and of its mirror image.

    Parameters
    ----------
    halves : Halves
        The patches.
    count : int
        Landmarks; with parity, pairs of them.
    dual : DualActivation
    weights : callable
        Maps a side to the matrix (side', side) of its averages.
    """

    def __init__(self, halves: Halves, count: int, dual: DualActivation, weights: Weights):
        self.halves, self.count, self.dual, self.weights = halves, count, dual, weights

    @property
    def paired(self) -> bool:
        """Whether maps have parity."""
        return self.halves.even is not None

    @property
    def even(self) -> int | None:
        """Even channels of the result; None without parity."""
        return len(self.filters[0]) if self.paired else None

    def fit(self, images: int, maps: Iterable[Tensor], stream: Stream) -> None:
        """Choose landmarks from the maps of `images` images, which come in blocks."""
        found: list[Tensor] = []
        widths: list[int] = []
        for number, block in enumerate(maps):
            h, w = (side - self.halves.q + 1 for side in block.shape[1:3])
            self.axes = [self.weights(side).to(block) for side in (h, w)]
            share = -(-candidates(self.count) * len(block) // images)
            index = stream.child(number).subset(len(block) * h * w, share).to(block.device)
            halves = self.halves.take(block, index)
            widths = [half.shape[1] for half in halves]
            found.append(torch.cat(halves, 1))
        rows = torch.cat(found)
        del found
        centres = clusters(rows, widths, self.count, stream.generator())
        self.filters = [self.halves.filters(half) for half in centres]
        self.roots = [inverse_root(gram).to(centres[0].dtype) for gram in self._grams(centres)]

    def _grams(self, centres: list[Tensor]) -> list[Tensor]:
        """Return the kernel of landmarks, float64; with parity, of their sums and of their differences."""
        e, *odd = [half.double() @ half.double().T for half in centres]
        if not odd:
            return [self.dual.first(e)]
        same, mirrored = self.dual.first(e + odd[0]), self.dual.first(e - odd[0])
        return [same + mirrored, same - mirrored]

    def __call__(self, maps: Tensor) -> Tensor:
        """Return the maps after the layer."""
        return self.rooted(self.averages(maps))

    def rooted(self, parts: list[Tensor]) -> Tensor:
        """Return averages times the root, (n, h', w', c')."""
        return torch.cat([part @ root for part, root in zip(parts, self.roots, strict=True)], 3)

    def averages(self, maps: Tensor) -> list[Tensor]:
        """Return the averages of k1 (n, h', w', r); with parity, their even and their odd combinations."""
        q = self.halves.q
        root = patch_sum(maps.square().sum(-1), q, same=False).sqrt()
        inverse, rows, out = reciprocal(root), self.halves.rows(maps), []
        for block in zip(*(f.split(LANDMARKS) for f in self.filters), strict=True):
            u = [self.halves.multiply(z, filters) for z, filters in zip(rows, block, strict=True)]
            if self.paired:
                u = [u[0] + u[1], u[0] - u[1]]
            for v in u:
                self.dual.activate(v, None, inverse, root / q)
            u = [average(v, *self.axes) for v in u]
            if self.paired:
                u = [(u[0] + u[1]) / 2**0.5, (u[0] - u[1]) / 2**0.5]
            out.append(u)
        return [torch.cat(parts, 3) for parts in zip(*out, strict=True)]
