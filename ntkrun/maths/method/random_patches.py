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
from ntkrun.maths.rng import Stream


@dataclass(eq=False, repr=False)
class RandomPatches(ImageMethod, FeatureMethod):
    """A one-layer convolutional network whose weights are patches: not a tangent kernel, but hard to beat.

    For a patch p of the image and a weight w, both of norm one, the features are averages over each part of
    the image of relu(w.p - threshold) and relu(-w.p - threshold) (Coates and Ng 2011; Recht et al. 2019). The
    weights are drawn from the patches of the training images that `fit` sees. In expectation over the draw,
    the features have the kernel of all those patches. Use `dataset.preprocess=zca`.

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
        return out

    @property
    def fewest(self) -> int:
        """Columns that one patch takes."""
        return max(16, 2 * self.cells**2)

    @property
    def sample_rows(self) -> int:
        """Rows that `fit` uses."""
        return self.sample_images

    def fitted(self) -> list[Tensor]:
        """Return the patches."""
        return [self._filters]

    def _draw(self, X: Any) -> None:
        shape, q = self.input_shape_, self.filter_size
        me = type(self).__name__
        if min(shape[:2]) < q + self.cells - 1:
            need = f"at least {q + self.cells - 1} x {q + self.cells - 1} pixels"
            raise DataError(must_be("X", me, need, f"{shape[0]} x {shape[1]}", "Use smaller patches."))
        self._patches = Patches(q, same=False)
        self._sample = self._tensor(X)
        per_image = (shape[0] - q + 1) * (shape[1] - q + 1)
        count = self.drawn // (2 * self.cells**2)
        generator = Stream(self.seed_).child("random_patches").generator()
        drawn = torch.randint(0, len(self._sample) * per_image, (count,), generator=generator)
        self._filters = self._unit_filters(drawn)

    def _unit_filters(self, index: Tensor) -> Tensor:
        rows = self._patches.take(self._sample, index.to(self._sample.device))
        rows = rows * reciprocal(rows.norm(dim=1))[:, None]
        return self._patches.filters(rows, DTYPES[self.dtype])

    def _features(self, batch: Tensor) -> Tensor:
        z = self._responses(batch, self._filters)
        return torch.nn.functional.pad(z, (0, self.drawn - z.shape[1]))

    def _responses(self, batch: Tensor, filters: Tensor) -> Tensor:
        """Return the features of the given weights, (n, 2 cells^2 len(filters))."""
        out = []
        for part in batch.split(IMAGES):
            inverse = reciprocal(self._patches.norm(part.square().sum(-1)).sqrt())
            blocks = []
            for block in filters.split(LANDMARKS):
                u = self._patches.multiply(part, block)
                blocks.append(average_both_sides(u, inverse, self.threshold, self.cells))
            out.append(torch.cat(blocks, 2).flatten(1))
        return torch.cat(out) / (self.cells * len(filters) ** 0.5)

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
        return size * (shape[0] * shape[1] * LANDMARKS + 2 * self.drawn)
