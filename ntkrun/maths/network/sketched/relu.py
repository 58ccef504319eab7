"""The ReLU layer in features: dual activations by polynomial sketches.

See docs/math.md, sections 4 and 5.

    phi' = kappa1-features(phi)        psi' = phi' (+) psi (x) kappa0-features(phi)

With u = (alpha, v), where alpha is the exact constant coordinate,

    P(<u, u'>) = sum_j <T_j(alpha), T_j(alpha')> <v, v'>^j ,   T_j = (sqrt(c_l C(l, j)) alpha^(l-j))_{l >= j}

so only the centred part v is sketched. T_j hardly varies between positions; `Spread` folds it into one number
per sketched coordinate.
"""

from __future__ import annotations

from math import comb
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ntkrun.maths.network.sketched.pair import Pair
from ntkrun.maths.rng import Stream
from ntkrun.maths.sketch.poly_sketch import PolySketch
from ntkrun.maths.sketch.product import make_product


class Spread:
    """Fold a short vector t (k) that is nearly parallel to `direction` into weights (dim).

    weights = Q^T t with Q = d 1^T + sum_i b_i s_i^T, where d, b_i are an orthonormal basis that starts with
    the direction and s_i are random signs. E<weights * z, weights' * z'> = <t, t'><z, z'>, without noise in
    the part of t parallel to d.
    """

    def __init__(self, direction: Tensor, dim: int, stream: Stream, dtype: torch.dtype):
        d = direction.to(torch.float64)
        norm = float(d.norm())
        d = d / norm if norm > 0 else torch.eye(len(d), dtype=torch.float64)[0]
        # Householder reflection of e1 to d: its columns are the basis
        h = d.clone()
        h[0] += 1.0 if d[0] >= 0 else -1.0
        basis = torch.eye(len(d), dtype=torch.float64) - 2 * torch.outer(h, h) / h.dot(h)
        self.basis = (basis * (-1.0 if d[0] >= 0 else 1.0)).to(dtype)
        signs = stream.rademacher(len(d), dim, dtype=dtype)
        signs[0] = 1
        self.matrix = self.basis @ signs
        self.rest_signs = stream.child("rest").rademacher(len(d) - 1, dtype=dtype)

    def to(self, device: torch.device) -> Spread:
        """Move to `device` and return self."""
        self.basis, self.matrix = self.basis.to(device), self.matrix.to(device)
        self.rest_signs = self.rest_signs.to(device)
        return self

    def __call__(self, t: Tensor) -> Tensor:
        """Return weights (..., dim) of t (..., k)."""
        return torch.matmul(t, self.matrix)

    def split(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """Return the coordinate of t along the direction (...), and the others, signed (..., k-1)."""
        rotated = torch.matmul(t, self.basis)
        return rotated[..., 0], rotated[..., 1:] * self.rest_signs


def powers(c: np.ndarray, j: int) -> tuple[Tensor, Tensor]:
    """Return factors and exponents of T_j for the polynomial with coefficients c, each (p-j+1,)."""
    orders = range(j, len(c))
    factors = [float(c[k] * comb(k, j)) ** 0.5 for k in orders]
    return torch.tensor(factors, dtype=torch.float64), torch.tensor([k - j for k in orders])


class Powers:
    """T_j(alpha) for j = 0..p of one polynomial, as functions of alpha."""

    def __init__(self, c: np.ndarray, dtype: torch.dtype):
        self.factors, self.exponents = zip(*(powers(c, j) for j in range(len(c))), strict=True)
        self.dtype = dtype

    def __call__(self, j: int, alpha: Tensor) -> Tensor:
        """Return T_j (..., p-j+1) at alpha (...)."""
        exponents = self.exponents[j].to(alpha.device)
        return (alpha[..., None] ** exponents).mul_(self.factors[j].to(alpha))


class Relu:
    """One ReLU layer, drawn for given coefficients and a typical constant.

    Parameters
    ----------
    c1, c0 : ndarray
        Non-negative coefficients of the polynomials for kappa1 and kappa0, of equal length.
    dim : int
        Sketch width of phi and psi.
    alpha, beta : float
        Typical constant coordinates of the incoming phi and psi; beta is None if psi is absent.
    stream : Stream
        Source of the random numbers.
    dtype : torch.dtype
        Precision of the layer.
    product : {"auto", "dense", "srht"}
        Sketch of tensor products.
    """

    def __init__(
        self,
        c1: np.ndarray,
        c0: np.ndarray,
        dim: int,
        alpha: float,
        beta: float | None,
        stream: Stream,
        dtype: torch.dtype = torch.float32,
        product: str = "auto",
    ):
        degree = len(c1) - 1
        self.dim, self.degree, self.has_psi = dim, degree, beta is not None
        self.powers1, self.powers0 = Powers(c1, dtype), Powers(c0, dtype)
        self.sketch = PolySketch(degree, dim, stream.child("powers"), dtype, product)
        at = torch.tensor(alpha, dtype=torch.float64)

        def spread(name: str, t: Tensor, j: int) -> Spread:
            out = Spread(t, dim, stream.child(name).child(j), dtype)
            if j >= 2:  # powers may share nodes of the tree; fresh signs make them uncorrelated
                out.matrix *= stream.child(name).child(j).child("sign").rademacher(dim, dtype=dtype)
            return out

        t1 = [self.powers1(j, at) for j in range(degree + 1)]
        t0 = [self.powers0(j, at) for j in range(degree + 1)]
        self.phi = [spread("phi", t, j) for j, t in enumerate(t1)]
        self.dot = [spread("dot", t, j) for j, t in enumerate(t0)]
        self.alpha = float(t1[0].norm())
        self.beta = self.alpha
        if beta is not None:
            joint = [torch.cat([a, beta * b]) for a, b in zip(t1, t0, strict=True)]
            self.psi = [spread("psi", t, j) for j, t in enumerate(joint)]
            self.beta = float(joint[0].norm())
            self.carry = spread("carry", t0[0], 0)
            self.carry.matrix *= stream.child("carry").child("sign").rademacher(dim, dtype=dtype)
            kind = "srht" if product == "srht" else "dense"
            self.product = make_product(dim, degree * dim, dim, stream.child("product"), dtype, kind)

    def to(self, device: torch.device) -> Relu:
        """Move every sketch to `device` and return self."""
        parts: list[Any] = [self.sketch, *self.phi, *self.dot]
        if self.has_psi:
            parts += [*self.psi, self.carry, self.product]
        for part in parts:
            part.to(device)
        return self

    def __call__(self, pair: Pair) -> Pair:
        """Return phi' and psi' at every position; `norm` is passed on unchanged."""
        z = self.sketch(pair.phi)
        t1 = [self.powers1(j, pair.alpha) for j in range(self.degree + 1)]
        alpha, phi = self._combine(self.phi, t1, z)
        tangent = pair.tangent()
        if tangent is None:
            return Pair(pair.norm, pair.root, alpha, phi, shared=True)
        beta, psi = tangent
        t0 = [self.powers0(j, pair.alpha) for j in range(self.degree + 1)]
        joint = [torch.cat([a, beta[..., None] * b], -1) for a, b in zip(t1, t0, strict=True)]
        new_beta, new_psi = self._combine(self.psi, joint, z)
        new_psi.addcmul_(psi, self.carry(t0[0]))
        new_psi += self.product(psi, self._dot(t0, z))
        return Pair(pair.norm, pair.root, alpha, phi, new_beta, new_psi)

    def last(self, pair: Pair) -> tuple[Tensor, Tensor]:
        """Return the kappa0-features: the constants T_0 rotated to (main, rest...), and the others.

        Shapes (*b, p+1) and (*b, p dim). The head multiplies them with psi, without a sketch.
        """
        t0 = [self.powers0(j, pair.alpha) for j in range(self.degree + 1)]
        return torch.matmul(t0[0], self.dot[0].basis), self._dot(t0, self.sketch(pair.phi))

    def last_phi(self, pair: Pair) -> tuple[Tensor, Tensor]:
        """Return phi' alone, (*b) and (*b, dim): the last layer of trained="all"."""
        t1 = [self.powers1(j, pair.alpha) for j in range(self.degree + 1)]
        return self._combine(self.phi, t1, self.sketch(pair.phi))

    def _dot(self, t0: list[Tensor], z: list[Tensor]) -> Tensor:
        out = z[0].new_empty(*z[0].shape[:-1], self.degree * self.dim)
        for j, power in enumerate(z, start=1):
            torch.mul(power, self.dot[j](t0[j]), out=out[..., (j - 1) * self.dim : j * self.dim])
        return out

    def _combine(self, spreads: list[Spread], t: list[Tensor], z: list[Tensor]) -> tuple[Tensor, Tensor]:
        constant, rest = spreads[0].split(t[0])
        out = z[0] * spreads[1](t[1])
        for j in range(2, self.degree + 1):
            out.addcmul_(z[j - 1], spreads[j](t[j]))
        # the small variation of the constant is added to the first sketched coordinates; its random signs
        # avoid correlation
        out[..., : rest.shape[-1]] += rest
        return constant, out
