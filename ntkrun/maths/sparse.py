"""Sparse rows as tensors: at the cost of their non-zeros, on every device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
import torch.nn.functional as F
from torch import Tensor

# bytes of the dense block of rows that `inner` multiplies by
BLOCK_BYTES = 32 << 20


@dataclass(frozen=True, eq=False)
class SparseRows:
    """Rows (n, d) that hold their non-zeros alone, in compressed sparse row form (CSR).

    Attributes
    ----------
    start : Tensor (n + 1,), int64
        Row i has the entries start[i]..start[i + 1].
    columns : Tensor (entries,), int64
        Their columns, ascending and distinct within a row.
    values : Tensor (entries,)
    width : int
        d.
    """

    start: Tensor
    columns: Tensor
    values: Tensor
    width: int

    @classmethod
    def of(cls, x: Any, dtype: torch.dtype, device: torch.device | str = "cpu") -> SparseRows:
        """Return the rows of a scipy sparse matrix, of a tensor of any layout, or of SparseRows."""
        if isinstance(x, Tensor):
            if x.layout == torch.strided:
                x = x.flatten(1)
            x = x.to_sparse_coo().coalesce()
            numbers, columns = x.indices()
            start = F.pad(torch.bincount(numbers, minlength=len(x)).cumsum(0), (1, 0))
            x = cls(start, columns, x.values(), x.shape[1])
        elif not isinstance(x, SparseRows):
            x = canonical(x)
            start, columns = (torch.from_numpy(a.astype(np.int64)) for a in (x.indptr, x.indices))
            x = cls(start, columns, torch.from_numpy(np.require(x.data, None, "W")), x.shape[1])
        values = x.values.to(device=device, dtype=dtype)
        return cls(x.start.to(device), x.columns.to(device), values, x.width)

    @property
    def shape(self) -> tuple[int, int]:
        """Return (n, d)."""
        return len(self), self.width

    @property
    def ndim(self) -> int:
        """Return 2."""
        return 2

    @property
    def dtype(self) -> torch.dtype:
        """Type of the values."""
        return self.values.dtype

    @property
    def device(self) -> torch.device:
        """Device of all tensors."""
        return self.values.device

    def __len__(self) -> int:
        return len(self.start) - 1

    def __getitem__(self, index: slice | Sequence[int] | np.ndarray | Tensor) -> SparseRows:
        """Return the rows of a slice with step 1, or those with the given numbers."""
        if isinstance(index, slice):
            first, stop, _ = index.indices(len(self))
            start = self.start[first : max(first, stop) + 1]
            cut = slice(int(start[0]), int(start[-1]))
            return replace(self, start=start - start[0], columns=self.columns[cut], values=self.values[cut])
        rows = torch.as_tensor(index, device=self.device)
        length = self.start.diff()[rows]
        start = F.pad(length.cumsum(0), (1, 0))
        shift = torch.repeat_interleave(self.start[rows] - start[:-1], length)
        taken = torch.arange(int(start[-1]), device=self.device) + shift
        return replace(self, start=start, columns=self.columns[taken], values=self.values[taken])

    def __matmul__(self, matrix: Tensor) -> Tensor:
        """Return the product (n, m) with a dense matrix (d, m); a row's bits do not depend on the others."""
        if not len(self.columns):
            return matrix.new_zeros(len(self), matrix.shape[1])
        weights = self.values.to(matrix.dtype)
        return F.embedding_bag(
            self.columns,
            matrix,
            self.start,
            mode="sum",
            per_sample_weights=weights,
            include_last_offset=True,
        )

    def to(self, dtype: torch.dtype) -> SparseRows:
        """Return the rows with values of this type."""
        return replace(self, values=self.values.to(dtype))

    def flatten(self, start_dim: int) -> SparseRows:
        """Return the rows themselves, which are flat."""
        return self

    def numbers(self) -> Tensor:
        """Return the row of each entry, (entries,), int64."""
        return torch.repeat_interleave(torch.arange(len(self), device=self.device), self.start.diff())

    def norm(self, dim: int = 1, keepdim: bool = False) -> Tensor:
        """Return the lengths of the rows, (n,) or (n, 1), summed in float64."""
        squares = self.values.to(torch.float64).square()
        total = squares.new_zeros(len(self))
        add_at(total, self.numbers(), squares)
        out = total.sqrt_().to(self.dtype)
        return out[:, None] if keepdim else out

    def unit(self) -> SparseRows:
        """Return rows scaled to length 1; zero rows stay zero."""
        norm = self.norm()
        return replace(self, values=self.values / torch.where(norm > 0, norm, 1)[self.numbers()])

    def over(self, divisor: Tensor) -> SparseRows:
        """Return rows with each column divided by a number, (d,)."""
        return replace(self, values=self.values / divisor[self.columns])

    def lifted(self, value: float) -> SparseRows:
        """Return rows (n, d + 1) with `value` as the last entry of each."""
        entries = len(self.columns) + len(self)
        columns = self.columns.new_full((entries,), self.width)
        values = self.values.new_full((entries,), value)
        places = torch.arange(len(self.columns), device=self.device) + self.numbers()
        columns[places], values[places] = self.columns, self.values
        start = self.start + torch.arange(len(self) + 1, device=self.device)
        return SparseRows(start, columns, values, self.width + 1)

    def dense(self) -> Tensor:
        """Return the rows as a tensor (n, d)."""
        out = self.values.new_zeros(len(self), self.width)
        out[self.numbers(), self.columns] = self.values
        return out


Rows = Tensor | SparseRows


def joined(parts: Sequence[Rows]) -> Rows:
    """Return rows one below the other, all of one kind."""
    sparse = [part for part in parts if isinstance(part, SparseRows)]
    if not sparse:
        return torch.cat([part for part in parts if isinstance(part, Tensor)])
    start = F.pad(torch.cat([part.start.diff() for part in sparse]).cumsum(0), (1, 0))
    columns, values = (torch.cat([getattr(part, key) for part in sparse]) for key in ("columns", "values"))
    return SparseRows(start, columns, values, sparse[0].width)


def is_sparse(x: Any) -> bool:
    """Return whether x is of a sparse kind: of scipy, of torch, or SparseRows."""
    if isinstance(x, Tensor):
        return bool(x.layout != torch.strided)
    return sp.issparse(x) or isinstance(x, SparseRows)


def canonical(x: Any) -> Any:
    """Return a scipy matrix as CSR whose columns ascend without repetition; a copy if they did not."""
    x = x.tocsr()
    if not x.has_canonical_format:
        x = x.copy()
        x.sum_duplicates()
    return x


def add_at(out: Tensor, index: Tensor, values: Tensor) -> None:
    """Add values (k,) to out (n,) at index (k,) in their order, so with the same bits each time."""
    if out.is_cuda:
        out.index_put_((index,), values, accumulate=True)  # sorts first; index_add_ is atomic there
    else:
        out.index_add_(0, index, values)


def inner(x: Rows, y: Rows) -> Tensor:
    """Return the inner products (n, m) of rows x (n, d) and y (m, d), either of them sparse.

    If both are, y enters by blocks of rows, dense in the columns of these rows. No memory depends on d.
    """
    if isinstance(y, Tensor):
        return x @ y.T
    if isinstance(x, Tensor):
        return (y @ x.T).T
    out = x.values.new_empty(len(x), len(y))
    length = len(y.columns) / max(1, len(y))
    size = max(1, int((BLOCK_BYTES / (8 * max(1.0, length))) ** 0.5))
    for start in range(0, len(y), size):
        block = Compact(y[start : start + size])
        out[:, start : start + size] = block(x)
    return out


class Compact:
    """Sparse rows y (m, d) as the matrix of the columns that they have: x -> inner products (n, m)."""

    def __init__(self, y: SparseRows):
        self.columns, places = torch.unique(y.columns, return_inverse=True)
        self.matrix = y.values.new_zeros(len(self.columns), len(y))
        self.matrix[places, y.numbers()] = y.values

    def __call__(self, x: SparseRows) -> Tensor:
        """Return the inner products of rows x (n, d) with all y."""
        if not len(self.columns):
            return x.values.new_zeros(len(x), self.matrix.shape[1])
        places = torch.searchsorted(self.columns, x.columns).clamp_(max=len(self.columns) - 1)
        kept = self.columns[places] == x.columns
        start = F.pad(kept.long().cumsum(0), (1, 0))[x.start]
        return SparseRows(start, places[kept], x.values[kept], len(self.columns)) @ self.matrix
