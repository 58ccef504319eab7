"""OSNAP: s signed entries per coordinate; sparse input stays sparse. See docs/math.md, section 3."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from ntkrun.maths.rng import Stream


class OSNAP:
    """Sparse sketch with s non-zeros +-1/sqrt(s) per input coordinate, one in each of s blocks of rows.

    E<Sx, Sy> = <x, y>. Nelson and Nguyen 2013; s = 1 is CountSketch.

    Parameters
    ----------
    dim_in, dim : int
        Dimensions before and after.
    stream : Stream
        Source of the random numbers.
    sparsity : int
        s, at most dim.
    dtype : torch.dtype
        Precision of the sketch.

    Notes
    -----
    Cost: O(s nnz(x)), the input sparsity time of Zandieh et al. 2021, theorem 1.
    """

    def __init__(
        self, dim_in: int, dim: int, stream: Stream, sparsity: int = 4, dtype: torch.dtype = torch.float32
    ):
        s = min(sparsity, dim)
        edges = torch.linspace(0, dim, s + 1).long()
        columns = [
            edges[b]
            + torch.randint(
                int(edges[b + 1] - edges[b]), (dim_in,), generator=stream.child("rows").child(b).generator()
            )
            for b in range(s)
        ]
        self.shape = (dim_in, dim)
        self.columns = torch.stack(columns)  # (s, dim_in)
        self.signs = stream.child("signs").rademacher(s, dim_in, dtype=dtype) / s**0.5

    def to(self, device: torch.device) -> OSNAP:
        """Move the sketch to `device` and return self."""
        self.columns, self.signs = self.columns.to(device), self.signs.to(device)
        return self

    def __call__(self, x: Any) -> Tensor:
        """Return the sketch (..., dim) of x (..., dim_in): a tensor, a sparse tensor or a scipy matrix."""
        if sp.issparse(x):
            x = x.tocsr()
            arrays = np.repeat(np.arange(x.shape[0]), np.diff(x.indptr)), x.indices, x.data
            device = self.signs.device
            rows, indices, values = (torch.from_numpy(np.ascontiguousarray(a)).to(device) for a in arrays)
            return self._sparse(rows, indices, values, x.shape[0])
        if x.layout != torch.strided:
            x = x.to_sparse_coo().coalesce()
            return self._sparse(x.indices()[0], x.indices()[1], x.values(), x.shape[0])
        out = x.new_zeros(*x.shape[:-1], self.shape[1])
        for columns, signs in zip(self.columns, self.signs, strict=True):
            out.index_add_(-1, columns, x * signs)
        return out

    def _sparse(self, rows: Tensor, indices: Tensor, values: Tensor, n: int) -> Tensor:
        out = self.signs.new_zeros(n * self.shape[1])
        rows, indices, values = rows.long(), indices.long(), values.to(self.signs.dtype)
        for columns, signs in zip(self.columns, self.signs, strict=True):
            out.index_add_(0, rows * self.shape[1] + columns[indices], values * signs[indices])
        return out.view(n, self.shape[1])
