"""Both sides of a thresholded ReLU, averaged over cells of the image in one pass (Coates and Ng 2011).

Responses are compared and averaged in one read from memory; torch alone would read them five times.
"""

from __future__ import annotations

from itertools import pairwise

import numba as nb
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ntkrun.maths.dual.cpu import as_many_threads_as_torch
from ntkrun.maths.network.positions import planar


def edges(side: int, cells: int, overlap: bool = False) -> list[tuple[int, int]]:
    """Return the first and one past the last position of each cell.

    The side is cut into `cells` parts; with `overlap` it is cut into cells + 1 parts, and a cell is two
    neighbours. Parts share a position where they would cut it.
    """
    parts = cells + overlap
    return [(i * side // parts, -(-(i + 1 + overlap) * side // parts)) for i in range(cells)]


def means(side: int, ranges: list[tuple[int, int]], dtype: torch.dtype) -> Tensor:
    """Return the matrix (ranges, side) that averages over each range of positions."""
    out = torch.zeros(len(ranges), side, dtype=dtype)
    for row, (first, past) in zip(out, ranges, strict=True):
        row[first:past] = 1 / (past - first)
    return out


def pieces(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the disjoint ranges between all ends of ranges that overlap."""
    ends = sorted({end for pair in ranges for end in pair})
    return list(pairwise(ends))


def average_both_sides(
    u: Tensor,
    inverse: Tensor,
    threshold: float,
    cells: int,
    overlap: bool = False,
    odd: Tensor | None = None,
) -> Tensor:
    """Return the averages of relu(c - threshold) and relu(-c - threshold), c = u inverse, over each cell.

    Parameters
    ----------
    u : Tensor (n, h, w, r)
        Responses to weights, contiguous.
    inverse : Tensor (n, h, w)
        What they are multiplied by.
    threshold : float
    cells : int
    overlap : bool
        See `edges`.
    odd : Tensor (n, h, w, r) or None
        If given, the responses to weights are u + odd, and those to the mirrored weights are u - odd. The
        latter are averaged over the mirrored cells, which are those of the mirrored images. Returned is the
        mean of both averages.

    Returns
    -------
    Tensor (n, cells^2, 2 r)
    """
    if u.device.type != "cpu":
        return in_torch(u, inverse, threshold, cells, overlap, odd)
    n, h, w, r = u.shape
    across = [edges(side, cells, overlap) for side in (h, w)]
    # overlapping cells are put together from pieces, so that each response is read once
    ranges = [pieces(axis) for axis in across] if overlap else across
    out = u.new_zeros(n, len(ranges[0]) * len(ranges[1]), 2 * r)
    as_many_threads_as_torch()
    maps, level = [u.numpy(), inverse.contiguous().numpy()], u.numpy().dtype.type(threshold)
    limits = [np.array(axis) for axis in ranges]
    if odd is None:
        _average(*maps, level, *limits, out.numpy())
    else:
        _average_pairs(odd.numpy(), *maps, level, *limits, out.numpy())
    if not overlap:
        return out
    joined = [_joined(*sides, u.dtype) for sides in zip((h, w), across, ranges, strict=True)]
    return torch.kron(*joined) @ out


def in_torch(
    u: Tensor,
    inverse: Tensor,
    threshold: float,
    cells: int,
    overlap: bool = False,
    odd: Tensor | None = None,
) -> Tensor:
    """Do the same on any device."""
    scale = inverse[..., None]
    if odd is None:
        sides = _both_sides(u * scale, threshold)
    else:
        mirrored = ((u - odd) * scale).flip(2)
        sides = (_both_sides((u + odd) * scale, threshold) + _both_sides(mirrored, threshold)) / 2
    down, across = (means(side, edges(side, cells, overlap), u.dtype).to(u.device) for side in u.shape[1:3])
    return (down @ sides @ across.T).flatten(2).transpose(1, 2)


def _both_sides(c: Tensor, threshold: float) -> Tensor:
    """Return both sides (n, 2 r, h, w) of responses (n, h, w, r)."""
    return planar(torch.cat([F.relu(c - threshold), F.relu(-c - threshold)], 3))


def _joined(
    side: int, cells: list[tuple[int, int]], parts: list[tuple[int, int]], dtype: torch.dtype
) -> Tensor:
    """Return the matrix (cells, parts) that makes averages over cells from averages over their pieces."""
    firsts = [first for first, _ in parts]
    sizes = torch.tensor([past - first for first, past in parts], dtype=dtype)
    return means(side, cells, dtype)[:, firsts] * sizes


@nb.njit(parallel=True, fastmath={"contract", "nsz"}, cache=True, nogil=True)
def _average(u, inverse, threshold, rows, columns, out):
    cells, r = len(rows) * len(columns), u.shape[3]
    for job in nb.prange(u.shape[0] * cells):
        image, cell = job // cells, job % cells
        a, b = cell // len(columns), cell % len(columns)
        above, below = out[image, cell, :r], out[image, cell, r:]
        for i in range(rows[a, 0], rows[a, 1]):
            for j in range(columns[b, 0], columns[b, 1]):
                z, s = u[image, i, j], inverse[image, i, j]
                for k in range(r):
                    c = z[k] * s
                    above[k] += max(c - threshold, u.dtype.type(0))
                    below[k] += max(-c - threshold, u.dtype.type(0))
        count = u.dtype.type((rows[a, 1] - rows[a, 0]) * (columns[b, 1] - columns[b, 0]))
        for k in range(r):
            above[k] /= count
            below[k] /= count


@nb.njit(parallel=True, fastmath={"contract", "nsz"}, cache=True, nogil=True)
def _average_pairs(odd, even, inverse, threshold, rows, columns, out):
    zero = even.dtype.type(0)
    cells, r, last = len(rows) * len(columns), even.shape[3], even.shape[2] - 1
    for job in nb.prange(even.shape[0] * cells):
        image, cell = job // cells, job % cells
        a, b = cell // len(columns), cell % len(columns)
        above, below = out[image, cell, :r], out[image, cell, r:]
        for i in range(rows[a, 0], rows[a, 1]):
            for j in range(columns[b, 0], columns[b, 1]):
                x, y, s = even[image, i, j], odd[image, i, j], inverse[image, i, j]
                # the same position of the mirrored image
                m, v, t = even[image, i, last - j], odd[image, i, last - j], inverse[image, i, last - j]
                for k in range(r):
                    c, d = (x[k] + y[k]) * s, (m[k] - v[k]) * t
                    above[k] += max(c - threshold, zero) + max(d - threshold, zero)
                    below[k] += max(-c - threshold, zero) + max(-d - threshold, zero)
        count = even.dtype.type(2 * (rows[a, 1] - rows[a, 0]) * (columns[b, 1] - columns[b, 0]))
        for k in range(r):
            above[k] /= count
            below[k] /= count
