"""Exact CNTK of pairs of images on a CPU, one pass per displacement; see docs/math.md, section 2.

The recursion couples the entry (ij, i'j') only with entries shifted by the same offset on both sides. Both
images are flattened with r spare columns per row. All entries with the same *flat* displacement D = p' - p
then form one contiguous vector, closed under the recursion, that fits the first-level cache. The zero columns
separate neighbouring rows, so one loop over D visits every pair of positions exactly once: the (HW)^2
operations of the textbook form without its memory traffic.
"""

from __future__ import annotations

import numba as nb
import numpy as np

from ntkrun.maths.dual.cpu import FAST, activate

LANES = 8  # pairs of small images that share a loop: their vectors alone are short
SMALL = 300  # most positions of a small image


def norms(x: np.ndarray, depth: int, filter_size: int, same: bool) -> list[np.ndarray]:
    """Return N_1..N_depth of planar images x (n, C, H, W), each (n, H_h, W_h) in float64."""
    n = (x.astype(np.float64) ** 2).sum(1)
    out = []
    for layer in range(depth):
        if same:
            r = filter_size // 2
            n = np.pad(n, ((0, 0), (r, r), (r, r)))
        windows = np.lib.stride_tricks.sliding_window_view(n, (filter_size, filter_size), axis=(1, 2))
        n = windows.sum((-1, -2)) / (1 if layer == 0 else filter_size**2)
        out.append(n)
    return out


# LLVM vectorises one-dimensional loops, but not loops over four indices.


@nb.njit(fastmath=FAST)
def _box(g, rows, c, start, stride, step, q, n):
    """Set c[p] to the sum over a, b < q of g[start + p + a stride + b step], for p < n."""
    reach = n + (q - 1) * stride
    for p in range(reach):
        total = g[start + p]
        for b in range(1, q):
            total += g[start + p + b * step]
        rows[p] = total
    for p in range(n):
        total = rows[p]
        for a in range(1, q):
            total += rows[p + a * stride]
        c[p] = total


@nb.njit(fastmath=FAST)
def _box3(g, rows, to, start, stride, step, n):
    """Do the same for q = 3 with the sums written out.

    Uses views instead of index sums: numba must allow for p + 1 < 0, which prevents vector code.
    """
    a, b, c = g[start:], g[start + step :], g[start + 2 * step :]
    for p in range(n + 2 * stride):
        rows[p] = a[p] + b[p] + c[p]
    a, b, c = rows, rows[stride:], rows[2 * stride :]
    for p in range(n):
        to[p] = a[p] + b[p] + c[p]


@nb.njit(fastmath=FAST)
def _combine(k0, k1, sx, sy, rx, ry, theta, gamma, inner, scale, n):
    """Set gamma = s k1 and inner = s (theta / (sx sy) k0 + k1) with s = sx sy scale; 0 off the image."""
    for p in range(n):
        g = sx[p] * sy[p] * scale
        gamma[p] = g * k1[p]
        inner[p] = g * (theta[p] * rx[p] * ry[p] * k0[p] + k1[p])


@nb.njit(fastmath=FAST)
def _gamma_only(k1, sx, sy, gamma, scale, n):
    for p in range(n):
        gamma[p] = sx[p] * sy[p] * scale * k1[p]


@nb.njit(fastmath=FAST)
def _sum_last(k0, k1, sx, sy, rx, ry, theta, train_all, n):
    """Return the sum of theta k0 (+ sx sy k1 if the last layer is trained) over the image."""
    total = k0.dtype.type(0)
    for p in range(n):
        total += sx[p] * sy[p] * theta[p] * rx[p] * ry[p] * k0[p]
    if train_all:
        for p in range(n):
            total += sx[p] * sy[p] * k1[p]
    return total


@nb.njit(fastmath=FAST)
def _sum_last_lanes(k0, k1, sx, sy, rx, ry, theta, train_all, n, totals):
    """Add the same sums to totals, one per lane; entry p belongs to lane p modulo LANES."""
    sums = np.zeros(LANES, k0.dtype)
    for p in range(0, n, LANES):
        for lane in range(LANES):
            i = p + lane
            sums[lane] += sx[i] * sy[i] * theta[i] * rx[i] * ry[i] * k0[i]
    if train_all:
        for p in range(0, n, LANES):
            for lane in range(LANES):
                sums[lane] += sx[p + lane] * sy[p + lane] * k1[p + lane]
    for lane in range(LANES):
        totals[lane] += sums[lane]


@nb.njit(fastmath=FAST)
def _gather(images, chosen, out):
    """Set out[r, p lanes + l] to images[chosen[l]][r, p] for images (n, R, P)."""
    lanes = len(chosen)
    for lane in range(lanes):
        image = images[chosen[lane]]
        for r in range(image.shape[0]):
            for p in range(image.shape[1]):
                out[r, p * lanes + lane] = image[r, p]


@nb.njit(fastmath=FAST)
def _products(x, y, out, n):
    """Set out[p] to the sum over channels of x y."""
    out[:n] = 0
    for k in range(x.shape[0]):
        a, b = x[k], y[k]
        for p in range(n):
            out[p] += a[p] * b[p]


@nb.njit(parallel=True, fastmath=FAST, cache=True, nogil=True)
def cntk_pairs(x, y, ix, iy, sx, sy, rx, ry, stride, q, same, train_all, poly, snap, lanes, chunks, out):
    """Set out[p] to the sum over all pairs of positions of Pi_L for images x[ix[p]], y[iy[p]].

    x, y (n, C, P) flattened with row stride `stride`; sx, sy (n, L, P) square roots of the norms and rx, ry
    their reciprocals, all 0 off the image; `chunks` is the number of parallel tasks. `lanes` pairs, 1 or
    LANES, go through the loops side by side, interleaved.
    """
    channels, (depth, positions) = x.shape[1], sx.shape[1:]
    groups = (ix.shape[0] + lanes - 1) // lanes
    scale = x.dtype.type(1 / (q * q))
    r = q // 2 if same else 0
    row = stride * lanes
    before = r * row + r * lanes  # how far a window reaches back
    reach = (q - 1) * (row + lanes)  # its whole reach
    width = positions * lanes
    for chunk in nb.prange(chunks):
        buffers = np.zeros((7, width + 2 * reach), x.dtype)
        gamma, inner, rows, c, theta_buffer = buffers[0], buffers[1], buffers[2], buffers[3], buffers[4]
        k0, k1 = buffers[5], buffers[6]
        xs, ys = np.empty((channels, width), x.dtype), np.empty((channels, width), x.dtype)
        both = np.empty((4, depth, width), x.dtype)
        totals, a, b = np.empty(lanes), np.empty(lanes, np.int64), np.empty(lanes, np.int64)
        for group in range(chunk * groups // chunks, (chunk + 1) * groups // chunks):
            for lane in range(lanes):  # the last pair fills up the last group
                pair = min(group * lanes + lane, ix.shape[0] - 1)
                a[lane], b[lane], totals[lane] = ix[pair], iy[pair], 0
            _gather(x, a, xs)
            _gather(y, b, ys)
            _gather(sx, a, both[0])
            _gather(sy, b, both[1])
            _gather(rx, a, both[2])
            _gather(ry, b, both[3])
            for d in range(1 - positions, positions):
                n, px, py = (positions - abs(d)) * lanes, max(0, -d) * lanes, max(0, d) * lanes
                # windows reach past both ends of the vector: keep zeros there
                gamma[n + reach : n + 2 * reach] = 0
                inner[n + reach : n + 2 * reach] = 0
                g, h = gamma[reach:], inner[reach:]
                _products(xs[:, px:], ys[:, py:], g, n)
                theta = theta_buffer
                for layer in range(depth):
                    if q == 3:
                        _box3(gamma, rows, c, reach - before, row, lanes, n)
                    else:
                        _box(gamma, rows, c, reach - before, row, lanes, q, n)
                    if layer == 0:
                        if train_all:
                            theta[:n] = c[:n]
                        else:
                            theta[:n] = 0
                    elif layer == 1 and not train_all:
                        theta[:n] = c[:n]  # Pi_1 is C_2 if nothing before it is trained
                    elif q == 3:
                        _box3(inner, rows, theta, reach - before, row, lanes, n)
                    else:
                        _box(inner, rows, theta, reach - before, row, lanes, q, n)
                    ax, ay = both[0, layer, px:], both[1, layer, py:]
                    bx, by = both[2, layer, px:], both[3, layer, py:]
                    activate(c, bx, by, poly, snap, k0, k1, n)
                    if layer == depth - 1 and lanes == 1:
                        totals[0] += _sum_last(k0, k1, ax, ay, bx, by, theta, train_all, n)
                    elif layer == depth - 1:
                        _sum_last_lanes(k0, k1, ax, ay, bx, by, theta, train_all, n, totals)
                    elif layer == 0 and not train_all:
                        _gamma_only(k1, ax, ay, g, scale, n)
                    else:
                        _combine(k0, k1, ax, ay, bx, by, theta, g, h, scale, n)
            for lane in range(min(lanes, ix.shape[0] - group * lanes)):
                out[group * lanes + lane] = totals[lane] * scale
