"""Subsampled randomised Hadamard transforms (docs/math.md, section 3)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ntkrun.maths.rng import Stream


def hadamard(x: Tensor) -> Tensor:
    """Return the unnormalised Walsh-Hadamard transform along the last axis, whose length is a power of two.

    Cost O(n log n); every matrix entry is +-1.
    """
    n, shape = x.shape[-1], x.shape
    step = 1
    while step < n:
        x = x.reshape(*shape[:-1], n // (2 * step), 2, step)
        a, b = x[..., 0, :], x[..., 1, :]
        x = torch.stack((a + b, a - b), -2)
        step *= 2
    return x.reshape(shape)


class SignedRows:
    """`count` rows of H D for fresh random signs D, the parts of SRHT and TensorSRHT.

    Rows are drawn without replacement. If there are too few, a further block with new signs begins. <row_i,
    x> <row_i, y> has the mean <x, y>.
    """

    def __init__(self, dim_in: int, count: int, stream: Stream, dtype: torch.dtype):
        self.dim_in, self.count = dim_in, count
        self.padded = 1 << max(0, (dim_in - 1).bit_length())
        blocks = -(-count // self.padded)
        self.signs = stream.child("signs").rademacher(blocks, dim_in, dtype=dtype)
        rows = stream.child("rows")
        orders = [rows.child(b).permutation(self.padded) + b * self.padded for b in range(blocks)]
        self.rows = torch.cat(orders)[:count]

    def to(self, device: torch.device) -> SignedRows:
        """Move to `device` and return self."""
        self.signs, self.rows = self.signs.to(device), self.rows.to(device)
        return self

    def __call__(self, x: Tensor) -> Tensor:
        """Return the products (..., count) with x (..., dim_in)."""
        z = x[..., None, :] * self.signs  # (..., blocks, dim_in)
        z = hadamard(F.pad(z, (0, self.padded - self.dim_in)))
        return z.flatten(-2)[..., self.rows]


class SRHT:
    """x -> sqrt(1/m) P H D x: random signs, a fast transform, m rows without replacement.

    Ailon and Chazelle 2009. E<Sx, Sy> = <x, y>; with all rows it is an isometry.

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
    Cost: O(d log d) per row.
    """

    def __init__(self, dim_in: int, dim: int, stream: Stream, dtype: torch.dtype = torch.float32):
        self.dim, self.rows = dim, SignedRows(dim_in, dim, stream, dtype)

    def to(self, device: torch.device) -> SRHT:
        """Move to `device` and return self."""
        self.rows.to(device)
        return self

    def __call__(self, x: Tensor) -> Tensor:
        """Return the sketch (..., dim) of x (..., dim_in)."""
        return self.rows(x) * self.dim**-0.5


class TensorSRHT:
    """S(x (x) y) = sqrt(1/m) (P1 H D1 x) * (P2 H D2 y), never forming x (x) y.

    Ahle et al. 2020, definition 15 in the numbering of Zandieh et al. E<S(x (x) y), S(x' (x) y')> =
    <x, x'><y, y'>. It has the interface of DenseProduct, which is faster below about a thousand dimensions.

    Parameters
    ----------
    left, right, dim : int
        Dimensions of x, of y and of the result.
    stream : Stream
        Source of the random numbers.
    dtype : torch.dtype
        Precision of the sketch.
    """

    def __init__(self, left: int, right: int, dim: int, stream: Stream, dtype: torch.dtype = torch.float32):
        self.dim = dim
        self.left = SignedRows(left, dim, stream.child("left"), dtype)
        self.right = SignedRows(right, dim, stream.child("right"), dtype)

    def to(self, device: torch.device) -> TensorSRHT:
        """Move to `device` and return self."""
        self.left.to(device)
        self.right.to(device)
        return self

    def apply_left(self, x: Tensor) -> Tensor:
        """Return the factor of x, which serves for several `apply_right`."""
        return self.left(x) * self.dim**-0.5

    def apply_right(self, y: Tensor) -> Tensor:
        """Return the factor of y."""
        return self.right(y)

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the sketch (..., dim) of x (..., left) and y (..., right)."""
        return self.apply_left(x) * self.apply_right(y)
