"""The state between sketched layers."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class Pair:
    """Features of the activation kernel (phi) and of the tangent kernel (psi) at every position.

    Both omit the factor sqrt(norm), so <phi, phi'> approximates a cosine. Each has one exact coordinate,
    which collects what is equal everywhere (the degree-0 terms of the dual), and `dim` sketched ones. A
    sketch of the constant would scale whole kernels at random.

    Attributes
    ----------
    norm, root : Tensor (*b)
        Exact squared norm N of the position, and its root; *b is (n,) for rows, (n, h, w) for images.
    alpha, phi : Tensor (*b), (*b, dim)
        alpha alpha' + <phi, phi'> ~ Sigma(x, x') / sqrt(N N').
    beta, psi : Tensor (*b), (*b, dim), or None
        beta beta' + <psi, psi'> ~ Theta(x, x') / sqrt(N N').
    shared : bool
        Whether the tangent kernel is that of the activations, so that alpha and phi also serve as beta and
        psi. If it is false and psi is None, nothing is trained yet.
    """

    norm: Tensor
    root: Tensor
    alpha: Tensor
    phi: Tensor
    beta: Tensor | None = None
    psi: Tensor | None = None
    shared: bool = False

    def tangent(self) -> tuple[Tensor, Tensor] | None:
        """Return beta and psi, or alpha and phi if shared; None if nothing is trained yet."""
        if self.shared:
            return self.alpha, self.phi
        return None if self.beta is None or self.psi is None else (self.beta, self.psi)


def remainder(alpha: Tensor) -> Tensor:
    """Return the length of phi beside its constant coordinate: rows of (alpha, phi) have length 1."""
    return (1 - alpha.square()).clamp_(min=0).sqrt()


def flat(z: Tensor, n: int) -> Tensor:
    """Return z (n, *b, c) as (n, positions, c)."""
    return z.reshape(n, -1, z.shape[-1])


def with_constant(constant: Tensor, rest: Tensor) -> Tensor:
    """Return (*b, 1 + dim) for a constant (*b) and other coordinates (*b, dim)."""
    return torch.cat([constant[..., None], rest], -1)
