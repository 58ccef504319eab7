"""Sketch of a tensor product of two vectors by two dense random matrices; see docs/math.md, section 3."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ntkrun.maths.rng import Stream
from ntkrun.maths.sketch.srht import TensorSRHT
from ntkrun.maths.sparse import Rows


class DenseProduct:
    """S(x (x) y) = (A x) * (B y) / sqrt(m) with random signs A (m, a), B (m, b), on the last axis.

    E<S(x (x) y), S(x' (x) y')> = <x, x'><y, y'>: the estimator of TensorSRHT (Ahle et al. 2020, definition of
    the degree-2 sketch) with a matrix product instead of a transform, which is faster below about a thousand
    dimensions.

    Parameters
    ----------
    left, right : int
        Dimensions a and b.
    dim : int
        Dimension m of the result.
    stream : Stream
        Source of the random numbers.
    dtype : torch.dtype
        Precision of the sketch.

    Notes
    -----
    Cost: 2 m (a + b) per row.
    """

    def __init__(self, left: int, right: int, dim: int, stream: Stream, dtype: torch.dtype = torch.float32):
        scale = dim**-0.25  # shared evenly, so that both factors keep the size of their inputs
        self.left = stream.child("left").rademacher(left, dim, dtype=dtype) * scale
        self.right = stream.child("right").rademacher(right, dim, dtype=dtype) * scale

    def to(self, device: torch.device) -> DenseProduct:
        """Move the matrices to `device` and return self."""
        self.left, self.right = self.left.to(device), self.right.to(device)
        return self

    def apply_left(self, x: Rows) -> Tensor:
        """Return the factor of x, which serves for several `apply_right`."""
        return x @ self.left

    def apply_right(self, y: Tensor) -> Tensor:
        """Return the factor of y."""
        return torch.matmul(y, self.right)

    def __call__(self, x: Rows, y: Tensor) -> Tensor:
        """Return the sketch (..., dim) of x (..., left), which may be sparse, and y (..., right)."""
        return self.apply_left(x).mul_(self.apply_right(y))


# us per row (dense, srht), 2,048 float32 rows on two cores: 512: 17, 19; 1024: 58, 43; 2048: 188, 125
DENSE_LIMIT = 1024
SKETCHES = ("auto", "dense", "srht")


def without_auto(identity: dict[str, Any]) -> dict[str, Any]:
    """Return the identity of a method without its key `sketch` if that is "auto"."""
    return {k: v for k, v in identity.items() if (k, v) != ("sketch", "auto")}


def make_product(
    left: int, right: int, dim: int, stream: Stream, dtype: torch.dtype, kind: str = "auto"
) -> DenseProduct | TensorSRHT:
    """Return a degree-2 sketch, "dense" or "srht"; "auto" decides by size."""
    if kind == "dense" or (kind == "auto" and max(left, right) <= DENSE_LIMIT):
        return DenseProduct(left, right, dim, stream, dtype)
    return TensorSRHT(left, right, dim, stream, dtype)
