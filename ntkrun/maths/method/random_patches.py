"""Thresholded responses to random patches of training images, averaged over parts of the image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any

import torch
from torch import Tensor

from ntkrun import checks
from ntkrun.errors import DataError, must_be
from ntkrun.maths.method.base import DTYPES
from ntkrun.maths.method.features import FeatureMethod
from ntkrun.maths.method.images import ImageMethod
from ntkrun.maths.network.nystrom.head import IMAGES, LANDMARKS
from ntkrun.maths.network.nystrom.layers import Patches
from ntkrun.maths.network.nystrom.threshold import average_both_sides
from ntkrun.maths.network.positions import reciprocal
from ntkrun.maths.network.whitening import PatchWhitening
from ntkrun.maths.rng import Stream

# training patches that the whitening is fitted to
WHITENED = 1 << 16


@dataclass(eq=False, repr=False)
class RandomPatches(ImageMethod, FeatureMethod):
    """A one-layer convolutional network whose weights are patches: not a tangent kernel, but hard to beat.

    For a patch p of the image and a weight w, both of norm one, the features are averages over each part of
    the image of relu(w.p - threshold) and relu(-w.p - threshold) (Coates and Ng 2011; Recht et al. 2019). The
    weights are drawn from the patches of the training images that `fit` sees. In expectation over the draw,
    the features have the kernel of all those patches. Use `whiten`, or else `dataset.preprocess=zca`.

    Parameters
    ----------
    n_components : int
        Columns of the features (`feature_dim` of a run). A patch takes 2 cells^2 of them; the rest is zero.
    filter_size : int
        Side of the patches; there is no padding.
    threshold : float
        In [0, 1); smaller responses count as zero.
    cells : int
        Averages are taken over cells x cells parts of the image.
    whiten : float or None
        If given, patches are whitened (`PatchWhitening`), and this share of the mean eigenvalue of their
        covariance is added to each eigenvalue. None leaves them as they are.
    overlap : bool
        Whether neighbouring parts share half of their side, which is 2 / (cells + 1) of the image's.
    mirror : bool
        Whether a column is averaged over the image and its mirror image (left to right), so that both have
        the same features. It costs no second pass over the image: a weight is used with its mirror image.
    sample_images : int
        Training images that patches are drawn from.
    image_shape : (int, int, int) or None
        Height, width and channels of images given as rows (n, d); None reads rows as signals (1, d, 1).
    layout : {"channels_last", "channels_first"} or None
        Axis order of images and of `image_shape`: (H, W, C) or torch's (C, H, W). None reads (H, W, C), and
        rejects what looks like (C, H, W). Images (n, H, W) are grey.
    random_state : int, None or RandomState
        Seed of the draw.
    device : str
        "cpu", "cuda", "cuda:N" or "auto".
    dtype : {"float32", "float64"}
        Precision of the features.
    """

    name = "random_patches"

    n_components: int = 1024
    _: KW_ONLY
    filter_size: int = 3
    threshold: float = 0.25
    cells: int = 2
    whiten: float | None = None
    overlap: bool = False
    mirror: bool = False
    sample_images: int = 2048
    image_shape: Sequence[int] | None = None
    layout: str | None = None
    random_state: Any = 0
    device: str = "cpu"
    dtype: str = "float32"

    def problems(self) -> list[str]:
        """Return one sentence per wrong parameter."""
        me = type(self).__name__
        out = super().problems()
        out += checks.integer(me, "filter_size", self.filter_size, 1)
        out += checks.integer(me, "cells", self.cells, 1, 1 << 10)
        out += checks.integer(me, "sample_images", self.sample_images, 1, 1 << 16)
        if self.threshold != 0:
            out += checks.real(me, "threshold", self.threshold, 0, 1)
        if self.whiten is not None:
            out += checks.real(me, "whiten", self.whiten, 0)
        out += checks.boolean(me, "overlap", self.overlap)
        out += checks.boolean(me, "mirror", self.mirror)
        return out

    def identity(self) -> dict[str, Any]:
        """Return what determines the numbers, without the newer parameters at their defaults."""
        newer = ("whiten", None), ("overlap", False), ("mirror", False)
        return {k: v for k, v in super().identity().items() if (k, v) not in newer}

    @property
    def fewest(self) -> int:
        """Columns that one patch takes."""
        return max(16, 2 * self.cells**2)

    @property
    def sample_rows(self) -> int:
        """Rows that `fit` uses."""
        return self.sample_images

    def fitted(self) -> list[Tensor]:
        """Return the patches and their whitening."""
        return [*self._filters, *([] if self._whitening is None else self._whitening.fitted())]

    def check_shape(self, shape: Sequence[int]) -> None:
        """Raise DataError unless the patches fit images shaped `shape`, (H, W, C)."""
        me, q = type(self).__name__, self.filter_size
        side = q + self.cells + self.overlap - 1
        if min(shape[:2]) < side:
            got = f"{shape[0]} x {shape[1]}"
            raise DataError(must_be("X", me, f"at least {side} x {side} pixels", got, "Use smaller patches."))
        if self.whiten is not None and q * q * shape[2] == 1:
            remedy = "A patch of one number has no contrast."
            raise DataError(must_be("filter_size", me, ">= 2 for whitened grey patches", q, remedy))

    def _draw(self, X: Any) -> None:
        shape, q = self.input_shape_, self.filter_size
        self.check_shape(shape)
        self._sample = self._tensor(X)
        total = len(self._sample) * (shape[0] - q + 1) * (shape[1] - q + 1)
        stream = Stream(self.seed_).child("random_patches")
        self._whitening = None
        self._patches = Patches(q, same=False)
        if self.whiten is not None:
            self._whitening = PatchWhitening(q, self.whiten, self.mirror)
            self._whitening.fit(self._sample, stream.child("whitening").subset(total, WHITENED))
            self._patches = Patches(1, same=False)  # of the whitened patches
        count = self.drawn // (2 * self.cells**2)
        drawn = torch.randint(0, total, (count,), generator=stream.generator())
        self._filters = self._unit_filters(drawn)

    def _unit_filters(self, index: Tensor) -> list[Tensor]:
        """Return the patches at `index` as filters; with `mirror`, their even and their odd parts."""
        index, white = index.to(self._sample.device), self._whitening
        if white is not None:
            rows = white.rows(self._sample, index)
            parts = white.parts(rows) if self.mirror else [rows]
        else:
            rows = self._patches.take(self._sample, index)
            rows = rows * reciprocal(rows.norm(dim=1))[:, None]
            flipped = rows.reshape(len(rows), -1, *[self.filter_size] * 2).flip(3).flatten(1)
            parts = [(rows + flipped) / 2, (rows - flipped) / 2] if self.mirror else [rows]
        return [self._patches.filters(part, DTYPES[self.dtype]) for part in parts]

    def _features(self, batch: Tensor) -> Tensor:
        z = self._responses(batch, self._filters)
        return torch.nn.functional.pad(z, (0, self.drawn - z.shape[1]))

    def _responses(self, batch: Tensor, filters: list[Tensor]) -> Tensor:
        """Return the features of the given weights, (n, 2 cells^2 r)."""
        out, white = [], self._whitening
        for part in batch.split(IMAGES):
            z = part if white is None else white(part)
            inverse = reciprocal(self._patches.norm(z.square().sum(-1)).sqrt())
            maps = [z] * len(filters) if white is None or not self.mirror else white.parts(z)
            blocks = []
            for block in zip(*(f.split(LANDMARKS // len(filters)) for f in filters), strict=True):
                u = [self._patches.multiply(m, weights) for m, weights in zip(maps, block, strict=True)]
                odd = u[1] if self.mirror else None
                blocks.append(
                    average_both_sides(u[0], inverse, self.threshold, self.cells, self.overlap, odd)
                )
            out.append(torch.cat(blocks, 2).flatten(1))
        return torch.cat(out) / (self.cells * len(filters[0]) ** 0.5)

    def kernel(self, X: Any, Y: Any = None) -> Any:
        """Return the kernel (n, m) of all patches of the sample, to which the features' kernel converges."""
        x = self._tensor(X)
        y = x if Y is None else self._tensor(Y)
        h, w = (side - self.filter_size + 1 for side in self.input_shape_[:2])
        total = x.new_zeros(len(x), len(y))
        every = torch.arange(len(self._sample) * h * w)
        with torch.inference_mode():
            for index in every.split(LANDMARKS * 8):
                filters = self._unit_filters(index)
                total += len(index) * (self._responses(x, filters) @ self._responses(y, filters).T)
        out = total / len(every)
        return out if isinstance(X, Tensor) else out.cpu().numpy()

    def bytes_per_row(self, shape: Sequence[int]) -> int:
        """Return the bytes of a row during transform: responses to a block of patches, and features."""
        size = torch.finfo(DTYPES[self.dtype]).bits // 8
        whitened = 0 if self.whiten is None else 3 * self.filter_size**2 * shape[2]
        return size * (shape[0] * shape[1] * (LANDMARKS + whitened) + 2 * self.drawn)
