"""A network read as exact features: roots of Gram matrices, full products, direct sums; nothing is random.

Their inner products are the kernel exactly, which proves that layers are chained correctly. All positions of
a batch are processed at once, so use this reading for proofs on small batches, not for learning.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NoReturn

import torch
import torch.nn.functional as F
from torch import Tensor

from ntkrun.maths.dual.arccos import kappa0, kappa1
from ntkrun.maths.eigen import eigh
from ntkrun.maths.network.layers import Step
from ntkrun.maths.network.positions import patch_sum, planar, reciprocal
from ntkrun.maths.network.sketched.head import tangent_of, weights
from ntkrun.maths.network.sketched.pair import Pair, flat, with_constant


def root(gram: Tensor) -> Tensor:
    """Return R (N, N) with R R^T = gram (N, N), positive semidefinite."""
    values, vectors = eigh((gram + gram.T) / 2)
    return vectors * values.clamp(min=0).sqrt()


def gram(constant: Tensor, rest: Tensor) -> Tensor:
    """Return inner products (N, N) between all N positions of features (*b), (*b, dim)."""
    z = with_constant(constant, rest).flatten(0, -2)
    return z @ z.T


def cosines(pair: Pair) -> Tensor:
    """Return Sigma / sqrt(N N') (N, N); values within 1e-12 of +-1 become +-1.

    arccos turns 1e-16 at 1 into 1e-8, which would hide errors of the chain.
    """
    sigma = gram(pair.alpha, pair.phi)
    return torch.where(sigma.abs() > 1 - 1e-12, sigma.sign(), sigma)


@dataclass
class ExactFeatures:
    """Layers with the exact kernel, in place of sketched ones.

    Parameters
    ----------
    trained : bool
        Whether the first and the last layer are trained too.
    filter_size : int or None
        None for rows.
    same : bool
        Pad with zeros so that images keep their size.
    """

    trained: bool
    filter_size: int | None = None
    same: bool = True

    def conv(self, step: Step) -> ExactConv:
        """Return a convolution: of pixels if it is the first, else of a pair."""
        return ExactConv(step.q, self.same, self.trained if step.number == 0 else None)

    def act(self, step: Step) -> ExactRelu:
        """Return an activation."""
        return ExactRelu()

    def pool(self, step: Step) -> NoReturn:
        """Raise NotImplementedError: a pair holds the norms of single positions only."""
        raise NotImplementedError("exact features have no pool between their layers")

    def head(self, step: Step) -> ExactHead:
        """Return the last activation and the average."""
        return ExactHead(self.trained, self.filter_size)


class ExactRelu:
    """An activation with the exact kappa1 and kappa0 and the whole tensor product."""

    def __call__(self, pair: Pair) -> Pair:
        """Return phi' and psi' with the exact inner products."""
        shape, zero = pair.norm.shape, torch.zeros_like(pair.norm)
        sigma = cosines(pair)
        phi = root(kappa1(sigma)).reshape(*shape, -1)
        if (tangent := pair.tangent()) is None:
            return Pair(pair.norm, pair.root, zero, phi, shared=True)
        # the root of a sum of products spans the direct sum of the tensor products
        psi = root(gram(*tangent) * kappa0(sigma) + kappa1(sigma)).reshape(*shape, -1)
        return Pair(pair.norm, pair.root, zero, phi, zero, psi)


class ExactConv:
    """A convolution that keeps the direct sum of the neighbours instead of sketching it.

    Parameters
    ----------
    filter_size : int
    same : bool
        Pad with zeros so that images keep their size.
    trained : bool or None
        Whether the first convolution, which takes pixels (n, H, W, C), is trained. None for later ones.
    """

    def __init__(self, filter_size: int, same: bool, trained: bool | None = None):
        self.q, self.same, self.trained = filter_size, same, trained

    def __call__(self, state: Any) -> Pair:
        """Return the pair over the neighbourhoods, q^2 times as wide."""
        if self.trained is not None:
            norm = patch_sum(state.square().sum(-1), self.q, self.same)
            zero, root = torch.zeros_like(norm), norm.sqrt()
            return Pair(norm, root, zero, self._patch(state, root), shared=self.trained)
        pair: Pair = state
        norm = patch_sum(pair.norm, self.q, self.same) / self.q**2
        zero, root = torch.zeros_like(norm), norm.sqrt()
        before = (pair.root / self.q)[..., None]
        phi = self._patch(with_constant(pair.alpha, pair.phi) * before, root)
        tangent = pair.tangent()
        if pair.shared or tangent is None:
            return Pair(norm, root, zero, phi, shared=pair.shared)
        psi = self._patch(with_constant(*tangent) * before, root)
        return Pair(norm, root, zero, phi, zero, psi)

    def _patch(self, z: Tensor, root: Tensor) -> Tensor:
        z = F.unfold(planar(z), self.q, padding=self.q // 2 if self.same else 0)
        return z.transpose(1, 2).reshape(*root.shape, -1) * reciprocal(root)[..., None]


class ExactHead:
    """The last activation and the average, with the full pooled product instead of a sketch.

    Parameters are those of ExactFeatures.
    """

    def __init__(self, trained: bool, filter_size: int | None):
        self.trained, self.filter_size = trained, filter_size

    def __call__(self, pair: Pair) -> Tensor:
        """Return features (n, everything)."""
        n, sigma = len(pair.norm), cosines(pair)
        weight = weights(pair, self.filter_size)
        dot = root(kappa0(sigma)).reshape(n, weight.shape[1], -1)
        psi = flat(with_constant(*tangent_of(pair)), n) * weight
        out = [torch.bmm(psi.transpose(1, 2), dot).flatten(1)]
        if self.trained:
            phi = root(kappa1(sigma)).reshape(n, weight.shape[1], -1)
            out.append((phi * weight).sum(1))
        return torch.cat(out, 1)
