"""The convolution layer in features: a direct sum over neighbours, sketched once (docs/math.md, section 4).

The two-dimensional cosine transform first rotates the q^2 neighbours. Each coordinate of each neighbour then
gets a random sign and the q^2 numbers of one channel are added: a CountSketch of the direct sum whose buckets
are the channels. Since images are smooth, nearly all energy is in the first cosine and hardly anything
collides. The whole is one depthwise convolution.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from scipy.fft import dct
from torch import Tensor

from ntkrun.maths.network.positions import patch_sum, reciprocal
from ntkrun.maths.network.sketched.pair import Pair, remainder
from ntkrun.maths.rng import Stream


def cosine_filters(q: int) -> Tensor:
    """Return the q^2 orthonormal two-dimensional cosines, (q^2, q, q), the constant first."""
    import numpy as np

    one = torch.from_numpy(dct(np.eye(q), norm="ortho", axis=0))
    return torch.einsum("ai,bj->abij", one, one).reshape(q * q, q, q)


class InputConv:
    """The first convolution: patches of pixels, embedded in `dim` coordinates (exactly if they fit).

    Parameters
    ----------
    channels, filter_size, dim : int
    same : bool
        Pad with zeros so that images keep their size.
    trained : bool
        Whether this convolution is trained: the tangent kernel then starts as the kernel of the patches.
    stream : Stream
        Source of the random numbers.
    dtype : torch.dtype
        Precision of the layer.
    """

    def __init__(
        self,
        channels: int,
        filter_size: int,
        dim: int,
        same: bool,
        trained: bool,
        stream: Stream,
        dtype: torch.dtype,
    ):
        q = filter_size
        self.q, self.same, self.trained = q, same, trained
        weight = stream.orthonormal(q * q * channels, dim, dtype=dtype)
        self.weight = weight.T.reshape(dim, channels, q, q).contiguous(memory_format=torch.channels_last)

    def to(self, device: torch.device) -> InputConv:
        """Move to `device` and return self."""
        self.weight = self.weight.to(device)
        return self

    def __call__(self, x: Tensor) -> Pair:
        """Return unit features of the patches of x (n, H, W, C)."""
        norm = patch_sum(x.square().sum(-1), self.q, self.same)
        root = norm.sqrt()
        z = F.conv2d(x.permute(0, 3, 1, 2), self.weight, padding=self.q // 2 if self.same else 0)
        phi = z.permute(0, 2, 3, 1) * reciprocal(root)[..., None]
        return Pair(norm, root, torch.zeros_like(norm), phi, shared=self.trained)


class Conv:
    """A later convolution, on the pair (phi, psi) of the ReLU layer before it.

    Parameters
    ----------
    filter_size, dim : int
    same : bool
        Pad with zeros so that images keep their size.
    stream : Stream
        Source of the random numbers.
    dtype : torch.dtype
        Precision of the layer.
    renormalise : bool
        Scale phi back to unit rows, whose norms are known exactly. A sketched norm drifts, and its powers
        drift faster; without rescaling the sketch is unbiased but worse.
    """

    def __init__(
        self,
        filter_size: int,
        dim: int,
        same: bool,
        stream: Stream,
        dtype: torch.dtype,
        renormalise: bool = True,
    ):
        q = filter_size
        self.q, self.dim, self.same, self.renormalise = q, dim, same, renormalise
        self.cosines = cosine_filters(q).to(dtype)[:, None]
        # phi and psi have their own signs, since each sums into its own channels
        self.filters = [
            torch.einsum(
                "jc,jab->cab", stream.child(name).rademacher(q * q, dim, dtype=dtype), self.cosines[:, 0]
            )[:, None]
            for name in ("phi", "psi")
        ]

    def to(self, device: torch.device) -> Conv:
        """Move to `device` and return self."""
        self.cosines = self.cosines.to(device)
        self.filters = [f.to(device) for f in self.filters]
        return self

    def __call__(self, pair: Pair) -> Pair:
        """Return the pair over the neighbourhoods, with the exact norm of the next layer."""
        norm = patch_sum(pair.norm, self.q, self.same) / self.q**2
        root = norm.sqrt()
        before, after = pair.root / self.q, reciprocal(root)
        alpha, phi = self._patch(pair.alpha, pair.phi, before, after, 0)
        if self.renormalise:
            length = torch.linalg.vector_norm(phi, dim=-1)
            phi *= (remainder(alpha) * reciprocal(length))[..., None]
        tangent = pair.tangent()
        if pair.shared or tangent is None:
            return Pair(norm, root, alpha, phi, shared=pair.shared)
        beta, psi = self._patch(*tangent, before, after, 1)
        return Pair(norm, root, alpha, phi, beta, psi)

    def _patch(
        self, constant: Tensor, z: Tensor, before: Tensor, after: Tensor, which: int
    ) -> tuple[Tensor, Tensor]:
        pad = self.q // 2 if self.same else 0
        exact = F.conv2d((constant * before)[:, None], self.cosines, padding=pad) * after[:, None]
        weighted = (z * before[..., None]).permute(0, 3, 1, 2)
        out = F.conv2d(weighted, self.filters[which], padding=pad, groups=self.dim).permute(0, 2, 3, 1)
        out = out.mul_(after[..., None])
        out[..., : exact.shape[1] - 1] += exact[:, 1:].permute(0, 2, 3, 1)
        return exact[:, 0], out
