"""Sketches of all tensor powers of x up to a degree, from one binary tree; see docs/math.md, section 3."""

from __future__ import annotations

import torch
from torch import Tensor

from ntkrun.maths.rng import Stream
from ntkrun.maths.sketch.product import make_product


class PolySketch:
    """Z_l with E<Z_l(x), Z_l(y)> = <x, y>^l for every l = 1..degree; Z_1 = x itself.

    The tree of Ahle et al. 2020 (theorem 1): the left subtree serves the largest power of two below `degree`,
    the right one the rest, and one node joins the left subtree's highest power with every power of the right
    one. Lower powers are read off the left subtree, where Zandieh et al. put unit vectors at the spare
    leaves; so any degree is allowed and no noise is spent on constants. Nodes are independent and every power
    passes each at most once: unbiased, at depth log2(degree).

    Parameters
    ----------
    degree : int
        Highest power, >= 1.
    dim : int
        Dimension of x and of every sketch.
    stream : Stream
        Source of the random numbers.
    dtype : torch.dtype
        Precision of the sketch.
    product : {"auto", "dense", "srht"}
        Kind of the nodes.
    """

    def __init__(
        self, degree: int, dim: int, stream: Stream, dtype: torch.dtype = torch.float32, product: str = "auto"
    ):
        self.degree = degree
        if degree == 1:
            return
        self.split = 1 << ((degree - 1).bit_length() - 1)  # largest power of two below degree
        self.low = PolySketch(self.split, dim, stream.child("low"), dtype, product)
        self.high = PolySketch(degree - self.split, dim, stream.child("high"), dtype, product)
        self.node = make_product(dim, dim, dim, stream.child("node"), dtype, product)

    def to(self, device: torch.device) -> PolySketch:
        """Move the whole tree to `device` and return self."""
        if self.degree > 1:
            for part in (self.low, self.high, self.node):
                part.to(device)
        return self

    def __call__(self, x: Tensor) -> list[Tensor]:
        """Return [Z_1(x), ..., Z_degree(x)], each shaped like x (..., dim)."""
        if self.degree == 1:
            return [x]
        low = self.low(x)
        left = self.node.apply_left(low[-1])
        return low + [self.node.apply_right(z).mul_(left) for z in self.high(x)]
