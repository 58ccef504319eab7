"""Subsampled randomised Hadamard and Fourier transforms (MATH: section 3)."""

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
    """`count` rows of H D for fresh random signs D: what SRHT and TensorSRHT are made of.

    Rows are drawn without replacement; where more are wanted than there are, a further block with signs
    of its own begins. <row_i, x> <row_i, y> has the mean <x, y> for Hadamard rows, and so has the
    real part of conj(<row_i, x>) <row_i, y> for Fourier rows.
    """

    def __init__(self, dim_in: int, count: int, transform: str, stream: Stream, dtype: torch.dtype):
        self.transform, self.dim_in, self.count = transform, dim_in, count
        self.padded = 1 << max(0, (dim_in - 1).bit_length()) if transform == "hadamard" else dim_in
        blocks = -(-count // self.padded)
        self.signs = stream.child("signs").rademacher(blocks, dim_in, dtype=dtype)
        here = stream.child("rows")
        orders = [here.child(b).permutation(self.padded) + b * self.padded for b in range(blocks)]
        self.rows = torch.cat(orders)[:count]

    def to(self, device: torch.device) -> SignedRows:
        """Move to `device` and return self."""
        self.signs, self.rows = self.signs.to(device), self.rows.to(device)
        return self

    def __call__(self, x: Tensor) -> Tensor:
        """Return the products (..., count) with x (..., dim_in); complex for Fourier rows."""
        z = x[..., None, :] * self.signs  # (..., blocks, dim_in)
        if self.transform == "hadamard":
            z = hadamard(F.pad(z, (0, self.padded - self.dim_in)))
        else:
            z = torch.fft.fft(z)
        return z.flatten(-2)[..., self.rows]


def real_columns(z: Tensor, dim: int) -> Tensor:
    """Return Re and Im of complex z as `dim` real columns; real z as it is."""
    return torch.view_as_real(z).flatten(-2)[..., :dim] if z.is_complex() else z


class SRHT:
    """x -> sqrt(1/m) P H D x: random signs, a fast transform, m rows without replacement.

    Ailon and Chazelle 2009. E<Sx, Sy> = <x, y>; with all rows an isometry. Cost O(d log d) a row.

    Parameters
    ----------
    dim_in, dim : int
        `dim` counts real columns: dim / 2 complex ones for "fourier", which needs an even dim.
    stream : Stream
    transform : {"hadamard", "fourier"}
    dtype : torch.dtype
    """

    def __init__(
        self,
        dim_in: int,
        dim: int,
        stream: Stream,
        transform: str = "hadamard",
        dtype: torch.dtype = torch.float32,
    ):
        self.dim = dim
        self.count = dim if transform == "hadamard" else dim // 2
        self.rows = SignedRows(dim_in, self.count, transform, stream, dtype)

    def to(self, device: torch.device) -> SRHT:
        """Move to `device` and return self."""
        self.rows.to(device)
        return self

    def __call__(self, x: Tensor) -> Tensor:
        """Return the sketch (..., dim) of x (..., dim_in)."""
        return real_columns(self.rows(x), self.dim) * self.count**-0.5


class TensorSRHT:
    """S(x (x) y) = sqrt(1/m) (P1 H D1 x) * (P2 H D2 y), never forming x (x) y.

    Ahle et al. 2020, definition 15 in the numbering of Zandieh et al. E<S(x (x) y), S(x' (x) y')> =
    <x, x'><y, y'>. Same interface as DenseProduct, which is faster below about a thousand dimensions.

    Parameters
    ----------
    left, right, dim : int
        `dim` counts real columns.
    stream : Stream
    dtype : torch.dtype
    transform : {"hadamard", "fourier"}
    """

    def __init__(
        self,
        left: int,
        right: int,
        dim: int,
        stream: Stream,
        dtype: torch.dtype = torch.float32,
        transform: str = "hadamard",
    ):
        self.dim = dim
        self.count = dim if transform == "hadamard" else dim // 2
        self.left = SignedRows(left, self.count, transform, stream.child("left"), dtype)
        self.right = SignedRows(right, self.count, transform, stream.child("right"), dtype)

    def to(self, device: torch.device) -> TensorSRHT:
        """Move to `device` and return self."""
        self.left.to(device)
        self.right.to(device)
        return self

    def apply_left(self, x: Tensor) -> Tensor:
        """Return the factor of x, which may be multiplied with several `apply_right`."""
        return self.left(x) * self.count**-0.5

    def apply_right(self, y: Tensor) -> Tensor:
        """Return the factor of y."""
        return self.right(y)

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the sketch (..., dim) of x (..., left) and y (..., right)."""
        return real_columns(self.apply_left(x) * self.apply_right(y), self.dim)
