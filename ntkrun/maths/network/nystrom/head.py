"""The last non-linearity of a fitted network and the average over positions; see docs/math.md, section 7.

tangent part        mean over positions of psi (x) f'-features: one exact batched matrix product; its
                    entries that vary most between images of the sample are the columns
activation part     mean over positions of k1(x, landmarks); it is linear, so the matrix that makes
                    features of it is applied once per cell, and many landmarks are cheap

Averages are taken over each of cells x cells parts of the image; 1 is global average pooling.
"""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from ntkrun.maths.network.nystrom.landmarks import choose, nystrom
from ntkrun.maths.network.nystrom.layers import Conv, Fitting, Maps, Patches, Sample, chunks
from ntkrun.maths.network.positions import planar, reciprocal
from ntkrun.maths.rng import Stream

# numbers per block, so that kernel values of 32 x 32 positions stay in the cache
IMAGES, LANDMARKS = 4, 512


def by_cell(z: Tensor, cells: int) -> Tensor:
    """Return z (n, h, w, c) as (n, cells^2, positions of a cell, c)."""
    n, h, w, c = z.shape
    cut = z.reshape(n, cells, h // cells, cells, w // cells, c).transpose(2, 3)
    return cut.reshape(n, cells**2, -1, c)


class TangentPart:
    """Averaged features of Theta_{L-1} Gdot_L.

    Parameters
    ----------
    q : int
        Side of the last convolution's neighbourhood; 1 if another layer stands before the activation.
    settings : Fitting
    columns : int
        Maximum columns.
    cells : int
        Averages are taken over cells x cells parts of the image.
    stream : Stream
        Source of the choice of landmarks.
    """

    def __init__(self, q: int, settings: Fitting, columns: int, cells: int, stream: Stream):
        self.settings, self.columns, self.cells, self.stream = settings, columns, cells, stream
        self.conv = Conv(q, settings, stream.child("conv"))
        self.kept: Tensor | None = None

    def fit(self, maps: Maps) -> None:
        """Choose landmarks, directions and the kept columns from the maps of a sample."""
        self.conv.fit(maps)
        sample = Sample(self.conv.patches, maps, self.settings.candidates, self.stream)
        assert sample.theta is not None, "the tangent part of a head needs psi"
        dot = self.settings.dual.second(sample.cosine)
        z = choose(sample.theta * dot, self.settings.landmarks, self.stream.generator())
        self.filters, _ = sample.filters(z, maps.phi.dtype)
        self.a = nystrom(dot[z][:, z], dot[:, z], self.settings.dim).to(maps.phi.dtype)
        self.kept = None
        total = square = maps.phi.new_zeros((), dtype=torch.float64)
        for part in chunks(maps):
            z = self(part).to(torch.float64)
            total, square = total + z.sum(0), square + z.square().sum(0)
        spread = square - total.square() / len(maps.norm)
        self.kept = spread.argsort(descending=True, stable=True)[: self.columns]

    def __call__(self, maps: Maps) -> Tensor:
        """Return the features (n, at most `columns`)."""
        after = self.conv(maps)
        psi = after.phi if after.psi is None else after.psi
        u = self.conv.patches.multiply(maps.phi, self.filters)
        dot = self.settings.dual.derivative(u, reciprocal(after.norm.sqrt())) @ self.a
        psi, dot = by_cell(psi, self.cells), by_cell(dot, self.cells)
        out = (psi.transpose(2, 3) @ dot).flatten(1) / (psi.shape[2] * self.cells)
        return out if self.kept is None else out[:, self.kept]


class ActivationPart:
    """Averaged features of Gamma_L; parameters as for TangentPart. A landmark gives one column per cell."""

    def __init__(self, q: int, settings: Fitting, columns: int, cells: int, stream: Stream):
        count = max(1, columns // cells**2)
        candidates = max(settings.candidates, count + count // 4)
        self.settings = replace(settings, landmarks=count, dim=count, candidates=candidates)
        self.cells, self.stream, self.patches = cells, stream, Patches(q, settings.same)

    def fit(self, maps: Maps) -> None:
        """Choose landmarks from the maps of a sample."""
        sample = Sample(self.patches, Maps(maps.norm, maps.phi), self.settings.candidates, self.stream)
        k1 = sample.outer_root * self.settings.dual.first(sample.cosine)
        z = choose(k1, self.settings.landmarks, self.stream.generator())
        self.filters, _ = sample.filters(z, maps.phi.dtype)
        self.a = sample.directions(k1, z, self.settings.dim).to(maps.phi.dtype)

    def __call__(self, maps: Maps) -> Tensor:
        """Return the features (n, at most `columns`)."""
        return torch.cat([self._average(part) @ self.a for part in chunks(maps, IMAGES)]).flatten(1)

    def _average(self, maps: Maps) -> Tensor:
        """Return the averages of k1(x, landmarks) / cells, (n, cells^2, r)."""
        root = self.patches.norm(maps.norm).sqrt()
        inverse, out = reciprocal(root), []
        for filters in self.filters.split(LANDMARKS):
            u = self.patches.multiply(maps.phi, filters)
            self.settings.dual.activate(u, None, inverse, root)
            side = u.shape[1] // self.cells, u.shape[2] // self.cells
            out.append(F.avg_pool2d(planar(u), side).flatten(2).transpose(1, 2) / self.cells)
        return torch.cat(out, 2)


class AdaptiveHead:
    """Features (n, feature_dim) of the averaged Theta_{L-1} Gdot_L, Gamma_L or both, depending on `trained`.

    Parameters
    ----------
    parts : list of TangentPart or ActivationPart
    feature_dim : int
        Columns; those that the parts do not fill are zero.
    """

    def __init__(self, parts: list[TangentPart | ActivationPart], feature_dim: int):
        self.parts, self.feature_dim = parts, feature_dim

    def fit(self, maps: Maps) -> None:
        """Fit the parts."""
        for part in self.parts:
            part.fit(maps)

    def __call__(self, maps: Maps) -> Tensor:
        """Return the features of a batch."""
        z = torch.cat([part(maps) for part in self.parts], 1)
        return F.pad(z, (0, self.feature_dim - z.shape[1]))
