"""A dense sketch with orthonormal rows or columns."""

from __future__ import annotations

import torch
from torch import Tensor

from ntkrun.maths.rng import Stream
from ntkrun.maths.sparse import Rows


class Orthonormal:
    """x -> S x with a random S: an isometry for dim >= dim_in, else E<Sx, Sy> = <x, y>.

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
    Cost: dim_in dim multiply-adds per row.
    """

    def __init__(self, dim_in: int, dim: int, stream: Stream, dtype: torch.dtype = torch.float32):
        self.matrix = stream.orthonormal(dim_in, dim, dtype=dtype)

    def to(self, device: torch.device) -> Orthonormal:
        """Move the sketch to `device` and return self."""
        self.matrix = self.matrix.to(device)
        return self

    def __call__(self, x: Rows) -> Tensor:
        """Return the sketch (..., dim) of x (..., dim_in), which may be sparse."""
        return x @ self.matrix
