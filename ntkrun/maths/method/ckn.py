"""Features of a two-layer convolutional kernel network, fitted to images; see docs/math.md, section 7."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ntkrun import checks
from ntkrun.errors import DataError, must_be
from ntkrun.maths.dual.activation import GaussDual
from ntkrun.maths.method.base import DTYPES
from ntkrun.maths.method.features import FeatureMethod
from ntkrun.maths.method.images import ImageMethod
from ntkrun.maths.network.exact.averaged import AveragedKernel
from ntkrun.maths.network.nystrom.averaged import AveragedLayer, candidates, gaussian
from ntkrun.maths.network.nystrom.head import LANDMARKS
from ntkrun.maths.network.nystrom.parity import Halves
from ntkrun.maths.network.nystrom.threshold import edges, means
from ntkrun.maths.network.whitening import PatchWhitening
from ntkrun.maths.rng import Stream

# Share of the mean squared contrast that is added to that of each patch: patches keep much of their contrast.
CONTRAST = 1.0
# training patches that the whitening is fitted to
WHITENED = 1 << 16
# positions computed at a time, so that kernel values stay in the cache
POSITIONS = 4096
# images of at least so many patches across are halved by the pool
LARGE = 12


@dataclass(eq=False, repr=False)
class ConvKernelNetwork(ImageMethod, FeatureMethod):
    """Features of an unsupervised convolutional kernel network with two layers (Mairal 2016).

    The first layer maps whitened patches x of the image by k(x, landmarks), k(x, z) = ‖x‖ ‖z‖ exp(sharpness
    (cos - 1)), times the inverse root of k between landmarks, and averages the map with Gaussian weights.
    The second does the same with patches of that map, and averages over parts of the image. Landmarks are
    centres of spherical k-means on patches of training images; labels are never used. Not a tangent kernel.

    Parameters
    ----------
    n_components : int
        Columns of the features (`feature_dim` of a run). A landmark of the second layer takes cells^2 of
        them; the rest is zero.
    filters : int
        Landmarks of the first layer.
    filter_size : int
        Side of the patches of both layers; there is no padding.
    sharpness : float
        Of both layers; a larger one is more local.
    whiten : float or None
        Share of the mean eigenvalue of the covariance of patches that is added to each eigenvalue when they
        are whitened (`PatchWhitening`). None leaves them as they are, contrast and mean included.
    cells : int
        The last averages are taken over cells x cells parts of the image.
    overlap : bool
        Whether neighbouring parts share half of their side, which is 2 / (cells + 1) of the image's.
    mirror : bool
        Whether the features are the averages of those of the image and of its mirror image (left to right).
        It costs no second pass over the image: a landmark is used with its mirror image.
    subsampling : int or None
        Distance of the positions that the first average is taken around; its standard deviation is
        subsampling / sqrt(2). None takes 2, and 1 for images of less than 12 whole patches across.
    sample_images : int
        Training images that the whitening and the landmarks are fitted to.
    image_shape : (int, int, int) or None
        Height, width and channels of images given as rows (n, d); None reads rows as signals (1, d, 1).
    layout : {"channels_last", "channels_first"} or None
        Axis order of images and of `image_shape`: (H, W, C) or torch's (C, H, W). None reads (H, W, C), and
        rejects what looks like (C, H, W). Images (n, H, W) are grey.
    random_state : int, None or RandomState
        Seed of the choice of landmarks.
    device : str
        "cpu", "cuda", "cuda:N" or "auto".
    dtype : {"float32", "float64"}
        Precision of the features.

    Notes
    -----
    Cost per image: filter_size^2 filters n_components / cells^2 multiply-adds at each position after the
    first average.
    """

    name = "ckn"

    n_components: int = 1024
    _: KW_ONLY
    filters: int = 256
    filter_size: int = 3
    sharpness: float = 2.0
    whiten: float | None = 0.03
    cells: int = 3
    overlap: bool = True
    mirror: bool = True
    subsampling: int | None = None
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
        out += checks.integer(me, "filters", self.filters, 2, 1 << 14)
        out += checks.integer(me, "filter_size", self.filter_size, 1)
        out += checks.integer(me, "cells", self.cells, 1, 1 << 10)
        out += checks.integer(me, "sample_images", self.sample_images, 1, 1 << 16)
        out += checks.real(me, "sharpness", self.sharpness, 0)
        if self.whiten is not None:
            out += checks.real(me, "whiten", self.whiten, 0)
        out += checks.boolean(me, "overlap", self.overlap)
        out += checks.boolean(me, "mirror", self.mirror)
        if self.subsampling is not None:
            out += checks.integer(me, "subsampling", self.subsampling, 1)
        return out

    @property
    def fewest(self) -> int:
        """Columns that one landmark takes."""
        return max(16, self.cells**2)

    @property
    def sample_rows(self) -> int:
        """Rows that `fit` uses."""
        return self.sample_images

    def fitted(self) -> list[Tensor]:
        """Return the whitening and the landmarks of both layers."""
        layers = [t for layer in (self._first, self._second) for t in (*layer.filters, *layer.roots)]
        return [*([] if self._whitening is None else self._whitening.fitted()), *layers]

    def _draw(self, X: Any) -> None:
        self.check_shape(self.input_shape_)
        self._stride = self._stride_for(self.input_shape_)
        sample, stream = self._tensor(X), Stream(self.seed_).child("ckn")
        n, q, dual = len(sample), self.filter_size, GaussDual(self.sharpness)
        self._whitening, first, even = None, q, self.input_shape_[2]
        if self.whiten is not None:
            total = n * (self.input_shape_[0] - q + 1) * (self.input_shape_[1] - q + 1)
            index = stream.child("whitening").subset(total, WHITENED).to(sample.device)
            whitening = PatchWhitening(q, self.whiten, self.mirror, unit=False, floor=CONTRAST)
            self._whitening = whitening.fit(sample, index)
            first, even = 1, self._whitening.even
        halves, count = Halves(first, even if self.mirror else None), self.filters // (1 + self.mirror)
        with torch.inference_mode():
            self._first = AveragedLayer(halves, count, dual, self._pool)
            self._first.fit(n, map(self._whitened, self._blocks(sample)), stream.child("first"))
            halves, count = Halves(q, self._first.even), self.drawn // self.cells**2
            self._second = AveragedLayer(halves, count, dual, self._cells)
            self._second.fit(n, map(self._maps, self._blocks(sample)), stream.child("second"))

    def _stride_for(self, shape: Sequence[int]) -> int:
        """Return the stride of the pool for images of this shape."""
        return self.subsampling or (2 if min(shape[:2]) - self.filter_size + 1 >= LARGE else 1)

    def check_shape(self, shape: Sequence[int]) -> None:
        """Raise DataError unless the patches fit images shaped `shape`, (H, W, C)."""
        me, q = type(self).__name__, self.filter_size
        need = self._stride_for(shape) * (q - 1) + q
        if min(shape[:2]) < need:
            got = f"{shape[0]} x {shape[1]}"
            raise DataError(must_be("X", me, f"at least {need} x {need} pixels", got, "Use smaller patches."))
        if self.whiten is not None and q * q * shape[2] == 1:
            remedy = "A patch of one number has no contrast."
            raise DataError(must_be("filter_size", me, ">= 2 for whitened grey patches", q, remedy))

    def _blocks(self, batch: Tensor) -> tuple[Tensor, ...]:
        return batch.split(max(1, POSITIONS // (batch.shape[1] * batch.shape[2])))

    def _pool(self, side: int) -> Tensor:
        return gaussian(side, self._stride)

    def _cells(self, side: int) -> Tensor:
        return means(side, edges(side, self.cells, self.overlap), torch.float64) / self.cells**0.5

    def _whitened(self, batch: Tensor) -> Tensor:
        return batch if self._whitening is None else self._whitening(batch)

    def _maps(self, batch: Tensor) -> Tensor:
        return self._first(self._whitened(batch))

    def _features(self, batch: Tensor) -> Tensor:
        averages = [self._second.averages(self._maps(part)) for part in self._blocks(batch)]
        z = self._second.rooted([torch.cat(parts) for parts in zip(*averages, strict=True)])
        # all cells as one patch: with `mirror` only what a mirror image keeps
        z = Halves(self.cells, self._second.even).rows(z)[0].flatten(1)
        return F.pad(z, (0, self.drawn - z.shape[1]))

    def kernel(self, X: Any, Y: Any = None) -> Any:
        """Return the exact kernel (n, m) that both layers approximate, after the whitening."""
        q = self.filter_size
        sides = q if self._whitening is None else 1, q
        exact = AveragedKernel(sides, GaussDual(self.sharpness), self._pool, self._cells)
        x = self._tensor(X)
        y = x if Y is None else self._tensor(Y)
        with torch.inference_mode():
            white = self._whitened(x)
            out = exact(white, None if Y is None else self._whitened(y))
            if self.mirror:
                out = (out + exact(white, self._whitened(y.flip(2)))) / 2
        return out if isinstance(X, Tensor) else out.cpu().numpy()

    def fit_bytes(self, rows: int, shape: Sequence[int]) -> int:
        """Return the bytes of the sample, and of patches and K_zz of the second layer."""
        size, count = torch.finfo(DTYPES[self.dtype]).bits // 8, self.drawn // self.cells**2
        patches = size * candidates(count) * self.filter_size**2 * self.filters
        return super().fit_bytes(rows, shape) + patches + max(patches, 64 * count**2)

    def bytes_per_row(self, shape: Sequence[int]) -> int:
        """Return the bytes of a row during transform: the responses of a layer, its maps, and features."""
        size = torch.finfo(DTYPES[self.dtype]).bits // 8
        positions, patch = shape[0] * shape[1], self.filter_size**2 * shape[2]
        first = positions * (4 * patch + 2 * min(self.filters, LANDMARKS))
        stride = self.subsampling or 1
        second = positions // stride**2 * ((1 + self.filter_size) * self.filters + 2 * LANDMARKS)
        return size * (max(first, second) + 3 * self.drawn)
