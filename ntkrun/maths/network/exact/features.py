"""Layers with nothing random in them: roots of Gram matrices, full products, direct sums.

They stand in for the sketched layers of a method, with the same interface. The features of a network built
from them have exactly the kernel as their inner products, which proves how the method chains its layers. They
see all positions of a batch at once, so they are for proofs on small batches, not for learning.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ntkrun.maths.dual.arccos import kappa0, kappa1
from ntkrun.maths.eigen import eigh
from ntkrun.maths.network.sketched.conv import patch_sum, reciprocal
from ntkrun.maths.network.sketched.pair import Pair


def root(gram: Tensor) -> Tensor:
    """Return R (N, N) with R R^T = gram (N, N), positive semidefinite."""
    values, vectors = eigh((gram + gram.T) / 2)
    return vectors * values.clamp(min=0).sqrt()


def gram(constant: Tensor, rest: Tensor) -> Tensor:
    """Return inner products (N, N) between all N positions of features (*b), (*b, dim)."""
    z = torch.cat([constant[..., None], rest], -1).flatten(0, -2)
    return z @ z.T


def cosines(pair: Pair) -> Tensor:
    """Return Sigma / sqrt(N N') (N, N); what rounding keeps off +-1 by up to 1e-12 is put there.

    arccos turns 1e-16 at 1 into 1e-8, which would hide errors of the chain.
    """
    sigma = gram(pair.alpha, pair.phi)
    return torch.where(sigma.abs() > 1 - 1e-12, sigma.sign(), sigma)


class ExactRelu:
    """Relu with kappa1 and kappa0 themselves and the whole tensor product."""

    def features(self, pair: Pair) -> Pair:
        """Return phi' and psi' with the exact inner products."""
        shape, zero = pair.norm.shape, torch.zeros_like(pair.norm)
        sigma = cosines(pair)
        phi = root(kappa1(sigma)).reshape(*shape, -1)
        if pair.psi is None or pair.beta is None:
            return Pair(pair.norm, zero, phi, zero, phi)
        theta = gram(pair.beta, pair.psi)
        # the root of a sum of products spans the direct sum of the tensor products
        psi = root(theta * kappa0(sigma) + kappa1(sigma)).reshape(*shape, -1)
        return Pair(pair.norm, zero, phi, zero, psi)

    def last(self, pair: Pair) -> tuple[Tensor, Tensor]:
        """Return the kappa0-features, with an empty constant."""
        dot = root(kappa0(cosines(pair))).reshape(*pair.norm.shape, -1)
        return torch.zeros_like(pair.norm)[..., None], dot

    def last_phi(self, pair: Pair) -> tuple[Tensor, Tensor]:
        """Return the kappa1-features."""
        phi = root(kappa1(cosines(pair))).reshape(*pair.norm.shape, -1)
        return torch.zeros_like(pair.norm), phi


class ExactConv:
    """Conv that keeps the direct sum of the neighbours instead of sketching it."""

    def __init__(self, filter_size: int, same: bool):
        self.q, self.same = filter_size, same

    def features(self, pair: Pair) -> Pair:
        """Return the pair over the neighbourhoods, q^2 times as wide."""
        norm = patch_sum(pair.norm, self.q, self.same) / self.q**2
        before, after = pair.norm.sqrt() / self.q, reciprocal(norm.sqrt())

        def patch(constant: Tensor, rest: Tensor) -> Tensor:
            z = torch.cat([constant[..., None], rest], -1) * before[..., None]
            z = F.unfold(z.permute(0, 3, 1, 2), self.q, padding=self.q // 2 if self.same else 0)
            return z.transpose(1, 2).reshape(*norm.shape, -1) * after[..., None]

        zero, phi = torch.zeros_like(norm), patch(pair.alpha, pair.phi)
        if pair.psi is pair.phi or pair.psi is None or pair.beta is None:
            return Pair(norm, zero, phi, zero, phi)
        return Pair(norm, zero, phi, zero, patch(pair.beta, pair.psi))


class ExactHead:
    """TangentHead without its sketch: the pooled product in full."""

    def __call__(
        self,
        pair: Pair,
        constants: Tensor,
        dot: Tensor,
        last_phi: tuple[Tensor, Tensor] | None,
        scale: Tensor,
    ) -> Tensor:
        """Return features (n, everything)."""
        n = scale.shape[0]
        weight = scale.reshape(n, -1, 1)
        beta, psi = pair.tangent()
        psi = torch.cat([beta[..., None], psi], -1).reshape(n, weight.shape[1], -1) * weight
        right = torch.cat([constants, dot], -1).reshape(n, weight.shape[1], -1)
        out = [torch.bmm(psi.transpose(1, 2), right).flatten(1)]
        if last_phi is not None:
            out += [(z.reshape(n, weight.shape[1], -1) * weight).sum(1) for z in last_phi]
        return torch.cat(out, 1)
