"""Inner products of all pairs of rows that are read block by block."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from ntkrun.maths.ridge.cholesky import mirrored

# Bytes of rows held in float64 while later rows pass by. It is fixed, since the rounding of a product depends
# on its shape: the memory that happens to be free must not change digits.
HELD_BYTES = 1 << 31


def row_products(blocks: Callable[[int], Iterable[Tensor]], n: int) -> tuple[Tensor, Tensor]:
    """Return (Z - p)(Z - p)^T (n, n) and the row p (m,), both float64, for rows Z (n, m).

    p is the mean of the first block. Any p gives the same regression, since the products are centred later;
    this one keeps a large constant in the features from costing digits.

    Parameters
    ----------
    blocks : callable
        blocks(start) yields the rows (r, m) from row `start` on. Every call cuts them at the same places.
    n : int
        Number of rows.

    Notes
    -----
    Memory: 8 n^2 bytes and HELD_BYTES. The rows are read ceil(8 n m / HELD_BYTES) times, later ones more
    often than earlier ones. Cost: n^2 m / 2 multiply-adds.
    """
    gram = pivot = torch.empty(0)
    start = 0
    while start < n:
        at, room, held = start, 0, torch.empty(0)
        for z in blocks(start):
            if not pivot.numel():
                pivot, gram = z.to(torch.float64).mean(0), z.new_empty(n, n, dtype=torch.float64)
            z = z.to(torch.float64) - pivot
            if at == start:
                room = min(n - start, max(len(z), HELD_BYTES // (8 * z.shape[1])))
                held, stop = z.new_empty(room, z.shape[1]), start
            if stop == at and at + len(z) - start <= room:
                held[at - start : at - start + len(z)] = z
                stop = at + len(z)
            gram[at : at + len(z), start:stop] = z @ held[: stop - start].T
            at += len(z)
        if at != n:
            raise ValueError(f"blocks must yield {n} rows. Got {at} instead.")
        start = stop
    return mirrored(gram), pivot
