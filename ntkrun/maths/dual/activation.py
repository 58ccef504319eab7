"""Dual activations of the ReLU and of a Gaussian; see docs/math.md, sections 2 and 8.

For a homogeneous activation with dual f, inputs with squared norms N, N' and cosine c have the kernel sqrt(N
N') f(c), and the derivative's kernel is f'(c).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from ntkrun.maths.dual import cpu
from ntkrun.maths.dual.arccos import kappa0, kappa1


class DualActivation(Protocol):
    """Interface of a dual activation f."""

    def first(self, cosine: Tensor) -> Tensor:
        """Return f(cosine)."""

    def second(self, cosine: Tensor) -> Tensor:
        """Return f'(cosine)."""

    def activate(self, u: Tensor, v: Tensor | None, inverse: Tensor, root: Tensor) -> None:
        """Set u <- root f(u inverse) and v <- v f'(u inverse) + root f(u inverse), in place.

        u, v (n, h, w, r) contiguous; inverse, root (n, h, w).
        """

    def derivative(self, u: Tensor, inverse: Tensor) -> Tensor:
        """Return f'(u inverse), possibly in place of u."""


@dataclass(frozen=True)
class ReluDual:
    """The ReLU: f = kappa1, f' = kappa0 (Cho and Saul 2009), one compiled pass on a CPU."""

    def first(self, cosine: Tensor) -> Tensor:
        """Return kappa1."""
        return kappa1(cosine)

    def second(self, cosine: Tensor) -> Tensor:
        """Return kappa0."""
        return kappa0(cosine)

    def activate(self, u: Tensor, v: Tensor | None, inverse: Tensor, root: Tensor) -> None:
        """See DualActivation."""
        if u.device.type == "cpu":
            rows, none = u.view(-1, u.shape[-1]), u.new_empty(0, u.shape[-1])
            tangent = none if v is None else v.view(-1, v.shape[-1])
            along = [t.reshape(-1).numpy() for t in (inverse, root)]
            poly, snap, threads = cpu.compiled_settings(rows.numpy().dtype)
            cpu.activate_rows(rows.numpy(), *along, tangent.numpy(), poly, snap, 8 * threads)
            return
        cosine = u * inverse[..., None]
        u.copy_(kappa1(cosine) * root[..., None])
        if v is not None:
            v.mul_(kappa0(cosine)).add_(u)

    def derivative(self, u: Tensor, inverse: Tensor) -> Tensor:
        """See DualActivation."""
        if u.device.type == "cpu":
            rows, along = u.view(-1, u.shape[-1]).numpy(), inverse.reshape(-1).numpy()
            poly, snap, threads = cpu.compiled_settings(rows.dtype)
            cpu.derivative_rows(rows, along, poly, snap, 8 * threads)
            return u
        return kappa0(u * inverse[..., None])


@dataclass(frozen=True)
class GaussDual:
    """The homogeneous Gaussian dual f(c) = exp(s (c - 1)), f' = s f, with sharpness s (Han et al. 2022).

    It is the Gaussian kernel of the directions times both norms; a larger s is more local.
    """

    sharpness: float

    def first(self, cosine: Tensor) -> Tensor:
        """Return exp(s (cosine - 1))."""
        return torch.exp(self.sharpness * (cosine.clamp(-1, 1) - 1))

    def second(self, cosine: Tensor) -> Tensor:
        """Return s exp(s (cosine - 1))."""
        return self.sharpness * self.first(cosine)

    def activate(self, u: Tensor, v: Tensor | None, inverse: Tensor, root: Tensor) -> None:
        """See DualActivation."""
        self._exponential(u, inverse)
        if v is not None:
            v.mul_(u).mul_(self.sharpness)
        u.mul_(root[..., None])
        if v is not None:
            v.add_(u)

    def derivative(self, u: Tensor, inverse: Tensor) -> Tensor:
        """See DualActivation."""
        return self._exponential(u, inverse).mul_(self.sharpness)

    def _exponential(self, u: Tensor, inverse: Tensor) -> Tensor:
        # the exponent s (cos - 1) in few passes; no cosine is above 1
        return u.mul_(self.sharpness * inverse[..., None]).sub_(self.sharpness).clamp_(max=0).exp_()


def dual(name: str, sharpness: float) -> ReluDual | GaussDual:
    """Return the dual activation called "relu" or "gauss"."""
    return ReluDual() if name == "relu" else GaussDual(sharpness)
