"""kappa0 and kappa1 of many rows at once on a CPU, fused with what is done to them (MATH: section 7).

torch's arccos alone makes several passes over memory; here a row stays in the first-level cache.
"""

from __future__ import annotations

import numba as nb
import numpy as np

from ntkrun.maths.network.exact.cntk_cpu import _FAST, _activate


@nb.njit(parallel=True, fastmath=_FAST, cache=True, nogil=True)
def activate_rows(u, inverse, root, v, poly, snap, chunks):
    """u <- root kappa1(u inverse) and v <- v kappa0(u inverse) + that, both in place.

    u, v (p, r); inverse, root (p,); v may have no rows where there is no tangent part.
    """
    rows, width = u.shape
    tangent = v.shape[0] > 0
    for chunk in nb.prange(chunks):
        buffers = np.ones((3, width), u.dtype)
        ones, k0, k1 = buffers[0], buffers[1], buffers[2]
        for p in range(chunk * rows // chunks, (chunk + 1) * rows // chunks):
            c, i, s = u[p], inverse[p], root[p]
            for j in range(width):
                c[j] *= i
            _activate(c, ones, ones, poly, snap, k0, k1, width)
            if tangent:
                t = v[p]
                for j in range(width):
                    c[j] = s * k1[j]
                    t[j] = t[j] * k0[j] + c[j]
            else:
                for j in range(width):
                    c[j] = s * k1[j]


@nb.njit(parallel=True, fastmath=_FAST, cache=True, nogil=True)
def derivative_rows(u, inverse, poly, snap, chunks):
    """u <- kappa0(u inverse) in place; u (p, r), inverse (p,)."""
    rows, width = u.shape
    for chunk in nb.prange(chunks):
        buffers = np.ones((3, width), u.dtype)
        ones, k0, k1 = buffers[0], buffers[1], buffers[2]
        for p in range(chunk * rows // chunks, (chunk + 1) * rows // chunks):
            c, i = u[p], inverse[p]
            for j in range(width):
                c[j] *= i
            _activate(c, ones, ones, poly, snap, k0, k1, width)
            for j in range(width):
                c[j] = k0[j]
