"""Both sides of a thresholded ReLU, averaged over cells of the image in one pass (Coates and Ng 2011).

Responses are compared and averaged in one read from memory; torch alone would read them five times.
"""

from __future__ import annotations

import numba as nb
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ntkrun.maths.dual.cpu import as_many_threads_as_torch
from ntkrun.maths.network.positions import planar


def edges(side: int, cells: int) -> list[tuple[int, int]]:
    """Return the first and one past the last position of each cell; if they do not divide, cells overlap."""
    return [(i * side // cells, -(-(i + 1) * side // cells)) for i in range(cells)]


def average_both_sides(u: Tensor, inverse: Tensor, threshold: float, cells: int) -> Tensor:
    """Return the averages of relu(c - threshold) and relu(-c - threshold), c = u inverse, over each cell.

    u (n, h, w, r) contiguous; inverse (n, h, w). Returns (n, cells^2, 2 r).
    """
    if u.device.type != "cpu":
        return in_torch(u, inverse, threshold, cells)
    n, h, w, r = u.shape
    out = u.new_zeros(n, cells**2, 2 * r)
    rows, columns = (np.array(edges(side, cells)) for side in (h, w))
    as_many_threads_as_torch()
    level = u.numpy().dtype.type(threshold)
    _average(u.numpy(), inverse.contiguous().numpy(), level, rows, columns, out.numpy())
    return out


def in_torch(u: Tensor, inverse: Tensor, threshold: float, cells: int) -> Tensor:
    """Do the same on any device."""
    c = planar(u * inverse[..., None])
    both = torch.cat([F.relu(c - threshold), F.relu(-c - threshold)], 1)
    return F.adaptive_avg_pool2d(both, cells).flatten(2).transpose(1, 2)


@nb.njit(parallel=True, fastmath={"contract", "nsz"}, cache=True, nogil=True)
def _average(u, inverse, threshold, rows, columns, out):
    cells, r = len(rows), u.shape[3]
    for job in nb.prange(u.shape[0] * cells * cells):
        image, cell = job // cells**2, job % cells**2
        a, b = cell // cells, cell % cells
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
