"""OSNAP for sparse rows, whose places and signs are hash values; see docs/math.md, section 3."""

from __future__ import annotations

import torch
from torch import Tensor

from ntkrun.maths.rng import Stream
from ntkrun.maths.sparse import SparseRows, add_at

BITS = 11  # of a column's number per table: a table of 2,048 rows stays in the first cache
PRECISION = 30  # bits that choose the place
ENTRIES = 1 << 15  # entries sketched at a time, so that what lies between stays in the cache


class HashedOSNAP:
    """Sparse sketch with s non-zeros +-1/sqrt(s) per input coordinate, one in each of s blocks of rows.

    E<Sx, Sy> = <x, y>. Nelson and Nguyen 2013; s = 1 is CountSketch. Nothing is stored per coordinate: place
    and sign are hash values of its number by simple tabulation, which is 3-independent and, for a sketch, as
    good as full randomness (Patrascu and Thorup 2012; Dahlgaard, Knudsen and Thorup 2017).

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
    Cost: O(s nnz(x)), the input sparsity time of Zandieh et al. 2021, theorem 1. Memory: 8 KiB s per 11 bits
    of dim_in, and the sketch. Rows are added up one after the other, so that the bits of a row do not depend
    on the batch.
    """

    def __init__(
        self, dim_in: int, dim: int, stream: Stream, sparsity: int = 4, dtype: torch.dtype = torch.float32
    ):
        s = min(sparsity, dim)
        edges = torch.linspace(0, dim, s + 1).long()
        self.dim, self.dtype = dim, dtype
        self.first, self.count = edges[:-1], edges.diff()
        tables = -(-max(1, (dim_in - 1).bit_length()) // BITS)
        words = [stream.child("table").child(i).generator() for i in range(tables)]
        self.tables = [
            torch.randint(0, 1 << (PRECISION + 1), (1 << BITS, s), generator=g, dtype=torch.int32)
            for g in words
        ]

    def to(self, device: torch.device) -> HashedOSNAP:
        """Move the sketch to `device` and return self."""
        self.first, self.count = self.first.to(device), self.count.to(device)
        self.tables = [table.to(device) for table in self.tables]
        return self

    def __call__(self, x: SparseRows) -> Tensor:
        """Return the sketch (n, dim) of rows x (n, dim_in)."""
        out = torch.zeros(len(x) * self.dim, dtype=self.dtype, device=x.device)
        first = x.numbers() * self.dim
        values = x.values.to(self.dtype) / len(self.first) ** 0.5
        for start in range(0, len(values), ENTRIES):
            part = slice(start, start + ENTRIES)
            places, odd = self._hashed(x.columns[part])
            places += first[part, None]
            signed = torch.where(odd, -values[part, None], values[part, None])
            add_at(out, places.flatten(), signed.flatten())
        return out.view(len(x), self.dim)

    def _hashed(self, columns: Tensor) -> tuple[Tensor, Tensor]:
        """Return the places (k, s) of columns (k,) in a sketched row, and which of them are negative."""
        mask = (1 << BITS) - 1
        word = self.tables[0].index_select(0, columns & mask)
        for i, table in enumerate(self.tables[1:], 1):
            word ^= table.index_select(0, (columns >> (BITS * i)) & mask)
        places = ((word >> 1) * self.count).bitwise_right_shift_(PRECISION).add_(self.first)
        return places, (word & 1).bool()
