"""Layers fitted to training images, with a Nystrom map per non-linearity; see docs/math.md, section 7.

Only the choice of landmarks is random, and labels are never used. `relu` sketches polynomials of a kernel;
these layers evaluate the kernel itself at landmark patches, so a few hundred coordinates per pixel achieve
what the oblivious sketch cannot with thousands. Each layer is fitted to a sample of images that has passed
the layers before it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from operator import itemgetter

import torch
import torch.nn.functional as F
from torch import Tensor

from ntkrun.maths.dual.activation import DualActivation
from ntkrun.maths.network.nystrom.landmarks import choose, nystrom, principal
from ntkrun.maths.network.positions import patch_sum, planar, reciprocal
from ntkrun.maths.rng import Stream


@dataclass
class Maps:
    """Features of every position of a batch of images.

    Attributes
    ----------
    norm : Tensor (n, h, w)
        Sigma(x, x); the features reach it up to their truncation.
    phi : Tensor (n, h, w, s)
        <phi, phi'> ~ Sigma, the kernel of the activations.
    psi : Tensor (n, h, w, t) or None
        <psi, psi'> ~ Theta, the tangent kernel.
    shared : bool
        Whether the tangent kernel is that of the activations, so that phi also serves as psi. If it is false
        and psi is None, nothing is trained yet.
    """

    norm: Tensor
    phi: Tensor
    psi: Tensor | None = None
    shared: bool = False

    def tangent(self) -> Tensor | None:
        """Return the features of the tangent kernel; None if nothing is trained."""
        return self.phi if self.shared else self.psi

    def changed(self, norm: Tensor, phi: Tensor, change: Callable[[Tensor], Tensor]) -> Maps:
        """Return maps with a new norm and phi, and with psi passed through `change`."""
        return Maps(norm, phi, None if self.psi is None else change(self.psi), self.shared)


@dataclass(frozen=True)
class Fitting:
    """Settings shared by the layers of one resolution.

    Attributes
    ----------
    candidates : int
        Positions that landmarks are chosen from.
    landmarks, dim : int
        Landmarks per layer, and leading directions that are kept.
    same : bool
        Pad with zeros before a convolution so that images keep their size.
    dual : DualActivation
        The non-linearity.
    """

    candidates: int
    landmarks: int
    dim: int
    same: bool
    dual: DualActivation


def chunks(maps: Maps, size: int = 32) -> Iterator[Maps]:
    """Yield the maps of a few images at a time, to limit memory."""
    for start in range(0, len(maps.norm), size):
        cut = slice(start, start + size)
        yield maps.changed(maps.norm[cut], maps.phi[cut], itemgetter(cut))


def passed(layer: Callable[[Maps], Maps], maps: Maps) -> Maps:
    """Return the maps of a sample after a layer, computed in chunks."""
    parts = [layer(part) for part in chunks(maps)]
    psis = [part.psi for part in parts if part.psi is not None]
    norm, phi = torch.cat([part.norm for part in parts]), torch.cat([part.phi for part in parts])
    return Maps(norm, phi, torch.cat(psis) if psis else None, parts[0].shared)


class Patches:
    """The q x q neighbourhoods of maps as vectors divided by q, so that their squared norm is a mean."""

    def __init__(self, q: int, same: bool):
        self.q, self.pad = q, q // 2 if same else 0

    def norm(self, norm: Tensor) -> Tensor:
        """Return the squared norm of each patch."""
        return patch_sum(norm, self.q, self.pad > 0) / self.q**2 if self.q > 1 else norm

    def multiply(self, z: Tensor, filters: Tensor) -> Tensor:
        """Return <patch, filter> (n, h', w', r) for filters (r, c, q, q)."""
        if self.q == 1:
            return z @ filters[:, :, 0, 0].T
        return F.conv2d(planar(z), filters, padding=self.pad).permute(0, 2, 3, 1).contiguous()

    def take(self, z: Tensor, index: Tensor) -> Tensor:
        """Return the patches at `index` of the flattened positions, (s, c q q) float64."""
        z = F.pad(z, (0, 0, self.pad, self.pad, self.pad, self.pad))
        h, w = z.shape[1] - self.q + 1, z.shape[2] - self.q + 1
        n, i, j = index // (h * w), index // w % h, index % w
        offsets = [(a, b) for a in range(self.q) for b in range(self.q)]
        windows = torch.stack([z[n, i + a, j + b] for a, b in offsets], 2)
        return windows.flatten(1).to(torch.float64) / self.q

    def filters(self, rows: Tensor, dtype: torch.dtype) -> Tensor:
        """Return rows (r, c q q) as filters (r, c, q, q) for `multiply`."""
        shaped = (rows / self.q).reshape(len(rows), -1, self.q, self.q).to(dtype)
        return shaped.contiguous(memory_format=torch.channels_last)


class Conv:
    """A convolution without an activation: the direct sum of the neighbours in its leading directions."""

    def __init__(self, q: int, settings: Fitting, stream: Stream):
        self.patches, self.settings, self.stream = Patches(q, settings.same), settings, stream

    def fit(self, maps: Maps) -> None:
        """Choose the directions of phi and of psi from the maps of a sample."""
        norm = self.patches.norm(maps.norm)
        index = self.stream.subset(norm.numel(), self.settings.candidates).to(norm.device)

        def project(z: Tensor) -> Tensor:
            basis = principal(self.patches.take(z, index), self.settings.dim)
            return self.patches.filters(basis.T, z.dtype)

        self.phi = project(maps.phi)
        self.psi = None if maps.psi is None else project(maps.psi)

    def __call__(self, maps: Maps) -> Maps:
        """Return the maps of the neighbourhoods."""
        phi, psi = self.patches.multiply(maps.phi, self.phi), None
        if self.psi is not None and maps.psi is not None:
            psi = self.patches.multiply(maps.psi, self.psi)
        return Maps(self.patches.norm(maps.norm), phi, psi, maps.shared)


class Pool:
    """Averages over 2 x 2 positions; an odd last row or column is dropped."""

    def fit(self, maps: Maps) -> None:
        """Do nothing: there is nothing to choose."""

    def __call__(self, maps: Maps) -> Maps:
        """Return maps of half the size.

        The norm of an average needs the kernel between its four positions, which only the features know. The
        part of the norm that they miss is assumed to shrink as they do.
        """
        before = self._mean(maps.phi.square().sum(-1, keepdim=True))[..., 0]
        phi = self._mean(maps.phi)
        ratio = phi.square().sum(-1) * reciprocal(before)
        norm = self._mean(maps.norm[..., None])[..., 0] * ratio
        return maps.changed(norm, phi, self._mean)

    def _mean(self, z: Tensor) -> Tensor:
        return F.avg_pool2d(planar(z), 2).permute(0, 2, 3, 1)


class Act:
    """A non-linearity with dual f, and the convolution directly before it if there is one (q > 1).

        phi' = k1(x, landmarks) A,    k1 = sqrt(N N') f(cos)
        psi' = kt(x, landmarks) B,    kt = <psi, psi'> f'(cos) + k1

    Parameters
    ----------
    q : int
        Side of the neighbourhood; 1 for a single position.
    settings : Fitting
    stream : Stream
        Source of the choice of landmarks.
    tangent : bool
        Whether anything is trained, so that the result has a tangent kernel.
    """

    def __init__(self, q: int, settings: Fitting, stream: Stream, tangent: bool = True):
        self.patches, self.settings, self.stream, self.tangent = (
            Patches(q, settings.same),
            settings,
            stream,
            tangent,
        )

    def fit(self, maps: Maps) -> None:
        """Choose landmarks and directions from the maps of a sample."""
        sample = Sample(self.patches, maps, self.settings.candidates, self.stream)
        k1 = sample.outer_root * self.settings.dual.first(sample.cosine)
        kt = None if sample.theta is None else sample.theta * self.settings.dual.second(sample.cosine) + k1
        z = choose(k1 if kt is None else kt, self.settings.landmarks, self.stream.generator())
        self.phi_filters, self.psi_filters = sample.filters(z, maps.phi.dtype)
        self.a = sample.directions(k1, z, self.settings.dim).to(maps.phi.dtype)
        self.b = None if kt is None else sample.directions(kt, z, self.settings.dim).to(maps.phi.dtype)

    def __call__(self, maps: Maps) -> Maps:
        """Return the maps after the activation."""
        norm = self.patches.norm(maps.norm)
        root = norm.sqrt()
        u = self.patches.multiply(maps.phi, self.phi_filters)
        v = None
        if maps.shared:
            v = u.clone()  # the landmarks' filters are the same too
        elif self.psi_filters is not None and maps.psi is not None:
            v = self.patches.multiply(maps.psi, self.psi_filters)
        self.settings.dual.activate(u, v, reciprocal(root), root)
        phi = u @ self.a
        if v is not None and self.b is not None:
            return Maps(norm, phi, v @ self.b)
        return Maps(norm, phi, shared=self.tangent)


class Sample:
    """Kernel values between candidate positions of a sample of images, float64.

    cosine, outer_root (s, s); root (s,); theta (s, s) or None, the incoming tangent kernel.
    """

    def __init__(self, patches: Patches, maps: Maps, candidates: int, stream: Stream):
        norm = patches.norm(maps.norm).flatten().to(torch.float64)
        index = stream.child("candidates").subset(len(norm), candidates).to(norm.device)
        self.patches = patches
        self.root = norm[index].sqrt()
        inverse = reciprocal(self.root)
        self.unit = patches.take(maps.phi, index) * inverse[:, None]
        self.cosine = self.unit @ self.unit.T
        self.cosine.fill_diagonal_(1.0)  # the features miss a little of the norm
        self.outer_root = torch.outer(self.root, self.root)
        psi = maps.tangent()
        self.v = None if psi is None else patches.take(psi, index) * inverse[:, None]
        self.theta = None if self.v is None else (self.v @ self.v.T) * self.outer_root

    def directions(self, k: Tensor, z: Tensor, dim: int) -> Tensor:
        """Return the Nystrom map (r, dim) of a kernel k (s, s) with norms, for filters of unit norm."""
        return self.root[z, None] * nystrom(k[z][:, z], k[:, z], dim)

    def filters(self, z: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor | None]:
        """Return the landmarks z as filters of phi and psi, divided by the root of their norm."""
        make = self.patches.filters
        return make(self.unit[z], dtype), None if self.v is None else make(self.v[z], dtype)
