"""Patches of maps in coordinates that a mirror image keeps or negates; see docs/math.md, section 7.

A map with parity has channels of which the first `even` are the same in the mirror image (left to right),
mirrored, and the others change sign as well. A patch then splits in two halves: the even one is that of the
mirrored patch, the odd one minus that of the mirrored patch. A filter w and its mirror image Tw cost one:

    <x, w> = e + o      <x, Tw> = e - o      e, o the products of the even and of the odd halves
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ntkrun.maths.network.positions import planar


class Halves:
    """The q x q patches of maps (n, h, w, c), without padding, as an even and an odd half.

    Parameters
    ----------
    q : int
    even : int or None
        Number of even channels; None for maps without parity, whose patches have no odd half.
    """

    def __init__(self, q: int, even: int | None):
        self.q, self.even = q, even

    def rows(self, maps: Tensor) -> list[Tensor]:
        """Return the halves of every 1 x q row of pixels, (n, h, w - q + 1, k) each."""
        q, width = self.q, maps.shape[2] - self.q + 1
        pixels = [maps[:, :, a : a + width] for a in range(q)]
        if self.even is None:
            return [torch.cat(pixels, 3)]
        pairs = [(pixels[a], pixels[q - 1 - a]) for a in range(q // 2)]
        same = [(left + right) / 2**0.5 for left, right in pairs] + pixels[q // 2 : q - q // 2]
        opposite = [(left - right) / 2**0.5 for left, right in pairs]
        e = self.even
        return [
            torch.cat([z[..., :e] for z in same] + [z[..., e:] for z in opposite], 3),
            torch.cat([z[..., e:] for z in same] + [z[..., :e] for z in opposite], 3),
        ]

    def take(self, maps: Tensor, index: Tensor) -> list[Tensor]:
        """Return the halves of the patches at `index` of the flattened positions, (s, q k) each."""
        h, w = maps.shape[1] - self.q + 1, maps.shape[2] - self.q + 1
        n, i, j = index // (h * w), index // w % h, index % w
        return [torch.cat([z[n, i + a, j] for a in range(self.q)], 1) for z in self.rows(maps)]

    def filters(self, half: Tensor) -> Tensor:
        """Return halves of patches (r, q k) as filters for `multiply`."""
        shaped = half.reshape(len(half), self.q, half.shape[1] // self.q).transpose(1, 2)[..., None]
        return shaped.contiguous(memory_format=torch.channels_last)

    def multiply(self, rows: Tensor, filters: Tensor) -> Tensor:
        """Return the products (n, h', w', r) of the halves of all patches with filters."""
        if self.q == 1:
            return rows @ filters[:, :, 0, 0].T
        return F.conv2d(planar(rows), filters).permute(0, 2, 3, 1).contiguous()
