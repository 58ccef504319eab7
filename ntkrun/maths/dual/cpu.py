"""Compiled kappa0 and kappa1 for rows on a CPU, fused with the adjacent steps (docs/math.md, section 7).

torch's arccos alone makes several passes over memory; here a row stays in the first-level cache.
"""

from __future__ import annotations

import math
from functools import cache

import numba as nb
import numpy as np
import torch

from ntkrun.maths.dual.arccos import SNAP_ULPS

FAST = {"contract", "reassoc", "nsz", "arcp"}


@cache
def arcsin_coefficients() -> np.ndarray:
    """Return c with arcsin(z) = z sum_k c_k (8 z^2 - 1)^k for z in [0, 1/2], float64, shape (14,).

    The quotient is analytic in z^2 up to 1, so its Chebyshev series on [0, 1/4] falls like
    13.9^-degree: six terms serve float32 and fourteen float64.
    """

    def quotient(t: np.ndarray) -> np.ndarray:
        z = np.sqrt((t + 1) / 8)  # Chebyshev nodes never touch z = 0
        return np.arcsin(z) / z

    chebyshev = np.polynomial.chebyshev.Chebyshev.interpolate(quotient, 13)
    return chebyshev.convert(kind=np.polynomial.Polynomial).coef


def as_many_threads_as_torch() -> int:
    """Let compiled loops use as many threads as torch, and return that number.

    The first call starts numba's threads, and that sets OpenMP's number, hence torch's, to all cores.
    """
    asked = torch.get_num_threads()
    threads = max(1, min(asked, nb.config.NUMBA_NUM_THREADS))
    nb.set_num_threads(threads)
    if torch.get_num_threads() != asked:
        torch.set_num_threads(asked)
    return threads


def compiled_settings(dtype: np.dtype) -> tuple[np.ndarray, np.floating, int]:
    """Return arcsine coefficients, the cosine that counts as 1, and the number of threads, set to torch's."""
    threads = as_many_threads_as_torch()
    snap = dtype.type(1 - SNAP_ULPS * np.finfo(dtype).eps)
    return arcsin_coefficients().astype(dtype), snap, threads


def _tail(poly, t):
    raise NotImplementedError("compiled only")


@nb.extending.overload(_tail, inline="always")
def _tail_for_type(poly, t):
    """Compile terms 6..13 of the arcsine for float64, and zero for float32."""
    if poly.dtype is nb.float32:
        return lambda poly, t: poly.dtype.type(0)

    def terms(poly, t):
        high = poly[10] + t * (poly[11] + t * (poly[12] + t * poly[13]))
        return poly[6] + t * (poly[7] + t * (poly[8] + t * (poly[9] + t * high)))

    return terms


@nb.njit(fastmath=FAST)
def activate(c, rx, ry, poly, snap, k0, k1, n):
    """Set k0, k1 to kappa0, kappa1 of the correlations c rx ry.

    arccos m is pi/2 - arcsin m below 1/2 and 2 arcsin sqrt((1-m)/2) above, so one short polynomial serves
    both; float32 stops after six terms. Cosines above `snap` count as 1 (see `arccos`).
    """
    half, one, four = c.dtype.type(0.5), c.dtype.type(1), c.dtype.type(4)
    inv_pi = c.dtype.type(1 / math.pi)
    c0, c1, c2, c3, c4, c5 = poly[0], poly[1], poly[2], poly[3], poly[4], poly[5]
    for p in range(n):
        rho = min(max(c[p] * rx[p] * ry[p], -one), one)
        m = abs(rho)
        m = one if m > snap else m
        far = half * (one - m)
        below = m < half
        square = m * m if below else far
        t = four * (square + square) - one
        tail = c5 + t * _tail(poly, t)
        arcsin = math.sqrt(square) * (c0 + t * (c1 + t * (c2 + t * (c3 + t * (c4 + t * tail)))))
        angle = (half - arcsin * inv_pi) if below else (arcsin + arcsin) * inv_pi
        dot = one - angle if rho >= 0 else angle
        k0[p] = dot
        k1[p] = math.sqrt((one - m) * (one + m)) * inv_pi + rho * dot


@nb.njit(parallel=True, fastmath=FAST, cache=True, nogil=True)
def activate_rows(u, inverse, root, v, poly, snap, chunks):
    """Set u <- root kappa1(u inverse) and v <- v kappa0(u inverse) + root kappa1(u inverse), in place.

    u, v (p, r); inverse, root (p,). v has no rows if there is no tangent part.
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
            activate(c, ones, ones, poly, snap, k0, k1, width)
            if tangent:
                t = v[p]
                for j in range(width):
                    c[j] = s * k1[j]
                    t[j] = t[j] * k0[j] + c[j]
            else:
                for j in range(width):
                    c[j] = s * k1[j]


@nb.njit(parallel=True, fastmath=FAST, cache=True, nogil=True)
def derivative_rows(u, inverse, poly, snap, chunks):
    """Set u <- kappa0(u inverse) in place; u (p, r), inverse (p,)."""
    rows, width = u.shape
    for chunk in nb.prange(chunks):
        buffers = np.ones((3, width), u.dtype)
        ones, k0, k1 = buffers[0], buffers[1], buffers[2]
        for p in range(chunk * rows // chunks, (chunk + 1) * rows // chunks):
            c, i = u[p], inverse[p]
            for j in range(width):
                c[j] *= i
            activate(c, ones, ones, poly, snap, k0, k1, width)
            for j in range(width):
                c[j] = k0[j]
