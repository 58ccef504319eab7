"""Inner products of all pairs of rows that are read block by block."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from ntkrun.maths.ridge.cholesky import gram_dtype, mirrored

# Bytes of rows held while later rows pass by. It is fixed, since the rounding of a product depends
# on its shape: the memory that happens to be free must not change digits.
HELD_BYTES = 1 << 31
COLUMNS = 4096  # of a product in float32


def row_products(blocks: Callable[[int], Iterable[Tensor]], n: int) -> tuple[Tensor, Tensor]:
    """Return (Z - p)(Z - p)^T (n, n), and p (m,) in float64, for rows Z (n, m).

    p is the mean of the first block. Any p gives the same regression, since the products are centred later;
    this one keeps a large constant in the features from costing digits. If the result is float32 (see
    `gram_dtype`), the products of COLUMNS columns are too, and are added in float64.

    Parameters
    ----------
    blocks : callable
        blocks(start) yields the rows (r, m) from row `start` on. Every call cuts them at the same places.
    n : int
        Number of rows.

    Notes
    -----
    Memory: the result and HELD_BYTES. The rows are read ceil(8 n m / HELD_BYTES) times, or half as often in
    float32, later ones more often than earlier ones. Cost: n^2 m / 2 multiply-adds.
    """
    gram = pivot = torch.empty(0)
    start = 0
    while start < n:
        at, room, held = start, 0, torch.empty(0)
        for z in blocks(start):
            if not pivot.numel():
                pivot = z.to(torch.float64).mean(0)
                gram = z.new_empty(n, n, dtype=gram_dtype(n, z.dtype))
            z = (z.to(torch.float64) - pivot).to(gram)
            if at == start:
                room = min(n - start, max(len(z), HELD_BYTES // (z.element_size() * z.shape[1])))
                held, stop = z.new_empty(room, z.shape[1]), start
            if stop == at and at + len(z) - start <= room:
                held[at - start : at - start + len(z)] = z
                stop = at + len(z)
            gram[at : at + len(z), start:stop] = _products(z, held[: stop - start])
            at += len(z)
        if at != n:
            raise ValueError(f"blocks must yield {n} rows. Got {at} instead.")
        start = stop
    return mirrored(gram), pivot


def _products(x: Tensor, y: Tensor) -> Tensor:
    if x.dtype == torch.float64:
        return x @ y.T
    pairs = zip(x.split(COLUMNS, 1), y.split(COLUMNS, 1), strict=True)
    return sum((a @ b.T).to(torch.float64) for a, b in pairs)
