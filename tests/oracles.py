"""Compute naive references: loops straight from the definitions, without ntkrun.maths."""

from __future__ import annotations

import math

import numpy as np


def kappa0(a):
    return 1 - np.arccos(np.clip(a, -1, 1)) / math.pi


def kappa1(a):
    a = np.clip(a, -1, 1)
    return (np.sqrt(1 - a**2) + a * (math.pi - np.arccos(a))) / math.pi


def cntk(x, y, depth, q, trained, padding):
    """Return Theta of one pair of images (H, W, C), on the full 4-D tensor of position pairs."""

    def patch(t):
        pad = q // 2 if padding == "same" else 0
        t = np.pad(t, [(pad, pad)] * 4)
        size = [n - q + 1 for n in t.shape]
        out = np.zeros(size)
        for a in range(q):
            for b in range(q):
                out += t[a : a + size[0], b : b + size[1], a : a + size[2], b : b + size[3]]
        return out

    def diagonal(t):
        return np.einsum("ijij->ij", t)

    c, cx, cy = (patch(np.einsum("ijc,klc->ijkl", u, v)) for u, v in ((x, y), (x, x), (y, y)))
    theta = c if trained == "all" else np.zeros_like(c)
    for layer in range(1, depth + 1):

        def activate(t, n, m):
            s = np.sqrt(n[:, :, None, None] * m[None, None])
            rho = np.divide(t, s, out=np.zeros_like(t), where=s > 0)
            return s * kappa1(rho) / q**2, kappa0(rho) / q**2

        nx, ny = diagonal(cx), diagonal(cy)
        gamma, dot = activate(c, nx, ny)
        if layer == depth:
            return float((theta * dot + (gamma if trained == "all" else 0)).mean())
        theta = patch(theta * dot + gamma)
        cx, cy = patch(activate(cx, nx, nx)[0]), patch(activate(cy, ny, ny)[0])
        c = patch(gamma)
    raise AssertionError


def slope_z(estimates, truth):
    """Return how many standard errors <G, K>/<K, K> lies from 1, over independent estimates G of K.

    Returns (z, z of the same estimates scaled by 1.05). A test that asserts |z| < 4.5 should also assert that
    the second exceeds 7, which proves that it would notice a 5 % scale error.
    """
    slopes = np.array([np.vdot(g, truth) / np.vdot(truth, truth) for g in estimates])
    error = slopes.std(ddof=1) / math.sqrt(len(slopes))
    return (slopes.mean() - 1) / error, (1.05 * slopes.mean() - 1) / (1.05 * error)
