"""Layers whose features are fitted to training images: a Nystrom map for each ReLU (MATH: section 7).

Nothing here is random but the choice of landmarks, and labels are never seen. Where `relu` sketches
polynomials of a kernel, these layers evaluate the kernel itself at landmark patches, so a few hundred
coordinates a pixel do what the oblivious sketch cannot with thousands. Each layer is fitted on a sample of
images that has passed the layers before it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ntkrun.maths.kernel import cntk_cpu, dual_cpu
from ntkrun.maths.kernel.arccos import SNAP_ULPS, kappa0, kappa1
from ntkrun.maths.layer.conv import patch_sum, reciprocal
from ntkrun.maths.layer.landmarks import choose, nystrom, principal
from ntkrun.maths.rng import Stream


@dataclass
class Maps:
    """Features of every position of a batch of images.

    Attributes
    ----------
    norm : Tensor (n, h, w)
        Sigma(x, x), which the features reach up to what they leave out.
    phi : Tensor (n, h, w, s)
        <phi, phi'> ~ Sigma, the kernel of the activations.
    psi : Tensor (n, h, w, t) or None
        <psi, psi'> ~ Theta, the tangent kernel; None while nothing is trained; `phi` itself where both agree.
    """

    norm: Tensor
    phi: Tensor
    psi: Tensor | None


@dataclass(frozen=True)
class Fitting:
    """How layers are fitted: candidate positions, landmarks among them, directions kept."""

    candidates: int
    landmarks: int
    dim: int


def planar(z: Tensor) -> Tensor:
    """Return z (n, h, w, c) as (n, c, h, w), without moving anything."""
    return z.permute(0, 3, 1, 2)


class Patches:
    """The q x q neighbourhoods of maps, as vectors that are divided by q: their norm is a mean, not a sum."""

    def __init__(self, q: int, same: bool):
        self.q, self.pad = q, q // 2 if same else 0

    def norm(self, norm: Tensor) -> Tensor:
        """Return the squared norm of each patch."""
        return patch_sum(norm, self.q, self.pad > 0) / self.q**2 if self.q > 1 else norm

    def multiply(self, z: Tensor, filters: Tensor) -> Tensor:
        """Return <patch, filter> (n, h', w', r) for filters (r, c, q, q)."""
        if self.q == 1:
            return z @ filters[:, :, 0, 0].T
        return F.conv2d(planar(z), filters, padding=self.pad).permute(0, 2, 3, 1)

    def take(self, z: Tensor, index: Tensor) -> Tensor:
        """Return patches number `index` of the flattened positions, (s, c q q) float64."""
        windows = F.unfold(planar(z), self.q, padding=self.pad).transpose(1, 2).flatten(0, 1)
        return windows[index].to(torch.float64) / self.q

    def filters(self, rows: Tensor, dtype: torch.dtype) -> Tensor:
        """Return rows (r, c q q) as filters (r, c, q, q) that `multiply` patches with them."""
        shaped = (rows / self.q).reshape(len(rows), -1, self.q, self.q).to(dtype)
        return shaped.contiguous(memory_format=torch.channels_last)


class Conv:
    """A convolution by itself: the direct sum over the neighbourhood, in its leading directions."""

    def __init__(self, q: int, same: bool, how: Fitting, stream: Stream):
        self.patches, self.how, self.stream = Patches(q, same), how, stream

    def fit(self, maps: Maps) -> None:
        """Choose the directions of phi and of psi from the maps of a sample."""
        norm = self.patches.norm(maps.norm)
        index = some(norm.numel(), self.how.candidates, self.stream).to(norm.device)

        def project(z: Tensor) -> Tensor:
            basis = principal(self.patches.take(z, index), self.how.dim)
            return self.patches.filters(basis.T, z.dtype)

        self.phi = project(maps.phi)
        self.psi = None if maps.psi is None or maps.psi is maps.phi else project(maps.psi)

    def __call__(self, maps: Maps) -> Maps:
        """Return the maps of the neighbourhoods."""
        phi = self.patches.multiply(maps.phi, self.phi)
        psi = phi if maps.psi is maps.phi else None
        if self.psi is not None and maps.psi is not None:
            psi = self.patches.multiply(maps.psi, self.psi)
        return Maps(self.patches.norm(maps.norm), phi, psi)


class Pool:
    """Averages over 2 x 2 positions; an odd last row or column is left out."""

    def fit(self, maps: Maps) -> None:
        """Nothing to choose."""

    def __call__(self, maps: Maps) -> Maps:
        """Return maps of half the size.

        The norm of an average needs the kernel between its four positions, which only the features know:
        what they leave out of the norm is taken to shrink as they do.
        """
        before = self._mean(maps.phi.square().sum(-1, keepdim=True))[..., 0]
        phi = self._mean(maps.phi)
        ratio = phi.square().sum(-1) * reciprocal(before)
        psi = phi if maps.psi is maps.phi else None if maps.psi is None else self._mean(maps.psi)
        return Maps(self._mean(maps.norm[..., None])[..., 0] * ratio, phi, psi)

    def _mean(self, z: Tensor) -> Tensor:
        return F.avg_pool2d(planar(z), 2).permute(0, 2, 3, 1)


class Relu:
    """A ReLU, with the convolution right before it if there is one (q > 1).

        phi' = k1(x, landmarks) A,    k1 = sqrt(N N') kappa1(cos)
        psi' = kt(x, landmarks) B,    kt = <psi, psi'> kappa0(cos) + k1

    Parameters
    ----------
    q : int
        Side of the neighbourhood; 1 for a single position.
    same : bool
    how : Fitting
    stream : Stream
    """

    def __init__(self, q: int, same: bool, how: Fitting, stream: Stream):
        self.patches, self.how, self.stream = Patches(q, same), how, stream

    def fit(self, maps: Maps) -> None:
        """Choose landmarks and directions from the maps of a sample."""
        sample = Sample(self.patches, maps, self.how.candidates, self.stream)
        k1 = sample.outer_root * kappa1(sample.cosine)
        kt = None if sample.theta is None else sample.theta * kappa0(sample.cosine) + k1
        z = choose(k1 if kt is None else kt, min(self.how.landmarks, len(k1)), self.stream.generator())
        dtype = maps.phi.dtype

        def directions(k: Tensor) -> Tensor:
            mine = nystrom(k[z][:, z], k[:, z], self.how.dim)
            return (sample.root[z, None] * mine).to(dtype)

        self.phi_filters, self.psi_filters = sample.filters(z, dtype)
        self.a = directions(k1)
        self.b = None if kt is None else directions(kt)

    def __call__(self, maps: Maps) -> Maps:
        """Return the maps behind the ReLU."""
        norm = self.patches.norm(maps.norm)
        root = norm.sqrt()
        u = self.patches.multiply(maps.phi, self.phi_filters)
        v = None
        if maps.psi is maps.phi and self.psi_filters is not None:
            v = u.clone()  # the landmarks' filters are the same too
        elif self.psi_filters is not None and maps.psi is not None:
            v = self.patches.multiply(maps.psi, self.psi_filters)
        activate(u, v, reciprocal(root), root)
        phi = u @ self.a
        psi = phi if v is None or self.b is None else v @ self.b
        return Maps(norm, phi, psi)


class Sample:
    """Kernel values between candidate positions of a sample of images, float64.

    cosine, outer_root (s, s); root (s,); theta (s, s) or None, the tangent kernel that comes in.
    """

    def __init__(self, patches: Patches, maps: Maps, candidates: int, stream: Stream):
        norm = patches.norm(maps.norm).flatten().to(torch.float64)
        index = some(len(norm), candidates, stream.child("candidates")).to(norm.device)
        self.patches = patches
        self.root = norm[index].sqrt()
        self.u = patches.take(maps.phi, index)
        inverse = reciprocal(self.root)
        self.unit = self.u * inverse[:, None]
        self.cosine = self.unit @ self.unit.T
        self.cosine.fill_diagonal_(1.0)  # the features leave a little out of the norm
        self.outer_root = torch.outer(self.root, self.root)
        self.v = None if maps.psi is None else patches.take(maps.psi, index) * inverse[:, None]
        self.theta = None if self.v is None else (self.v @ self.v.T) * self.outer_root

    def filters(self, z: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor | None]:
        """Return the landmarks z as filters of phi and psi, divided by the root of their norm."""
        make = self.patches.filters
        return make(self.unit[z], dtype), None if self.v is None else make(self.v[z], dtype)


def some(n: int, count: int, stream: Stream) -> Tensor:
    """Return at most `count` distinct numbers below n, int64, sorted."""
    return stream.permutation(n)[:count].sort().values


def activate(u: Tensor, v: Tensor | None, inverse: Tensor, root: Tensor) -> None:
    """u <- root kappa1(u inverse) and v <- v kappa0(u inverse) + that, in place.

    u, v (n, h, w, r); inverse, root (n, h, w).
    """
    if u.device.type == "cpu":
        none = u.new_empty(0, u.shape[-1])
        flat = [t.reshape(-1, u.shape[-1]).numpy() for t in (u, none if v is None else v)]
        along = [t.reshape(-1).numpy() for t in (inverse, root)]
        dual_cpu.activate_rows(flat[0], *along, flat[1], *_constants(u.dtype))
        return
    cosine = u * inverse[..., None]
    u.copy_(kappa1(cosine) * root[..., None])
    if v is not None:
        v.mul_(kappa0(cosine)).add_(u)


def derivative(u: Tensor, inverse: Tensor) -> Tensor:
    """Return kappa0(u inverse), in place on a CPU; u (n, h, w, r), inverse (n, h, w)."""
    if u.device.type == "cpu":
        flat = u.reshape(-1, u.shape[-1]).numpy()
        dual_cpu.derivative_rows(flat, inverse.reshape(-1).numpy(), *_constants(u.dtype))
        return u
    return kappa0(u * inverse[..., None])


def _constants(dtype: torch.dtype) -> tuple[np.ndarray, np.floating, int]:
    import numba

    real = np.float32 if dtype == torch.float32 else np.float64
    threads = max(1, min(torch.get_num_threads(), numba.config.NUMBA_NUM_THREADS))
    numba.set_num_threads(threads)
    poly = cntk_cpu.arcsin_coefficients().astype(real)
    return poly, real(1 - SNAP_ULPS * np.finfo(real).eps), 8 * threads
