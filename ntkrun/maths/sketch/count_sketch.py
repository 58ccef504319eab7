"""CountSketch with equally filled buckets; see docs/math.md, section 3."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ntkrun.maths.rng import Stream


class CountSketch:
    """Each coordinate goes to one bucket with a random sign: E<Sx, Sy> = <x, y>.

    Charikar, Chen, Farach-Colton 2002. Buckets are the columns of a random permutation cut into equal rows,
    so that the sums are dense additions. If dim_in <= dim it is an isometry.

    Parameters
    ----------
    dim_in, dim : int
        Dimensions before and after.
    stream : Stream
        Source of the random numbers.
    dtype : torch.dtype
        Precision of the sketch.

    Notes
    -----
    Cost: O(dim_in) per row.
    """

    def __init__(self, dim_in: int, dim: int, stream: Stream, dtype: torch.dtype = torch.float32):
        self.dim = dim
        self.spare = -dim_in % dim  # zeros that fill the last row
        self.order = stream.child("order").permutation(dim_in + self.spare)
        signs = stream.child("signs").rademacher(dim_in + self.spare, dtype=dtype)
        self.signs = signs[self.order]

    def to(self, device: torch.device) -> CountSketch:
        """Move the sketch to `device` and return self."""
        self.order, self.signs = self.order.to(device), self.signs.to(device)
        return self

    def __call__(self, x: Tensor) -> Tensor:
        """Return the sketch (n, dim) of x (n, dim_in)."""
        if self.spare:
            x = F.pad(x, (0, self.spare))
        return (x[:, self.order] * self.signs).view(x.shape[0], -1, self.dim).sum(1)
