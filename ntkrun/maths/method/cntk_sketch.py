"""Convolutional sketch of the CNTK with global average pooling; see docs/math.md, section 4."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any

import torch
from torch import Tensor

from ntkrun import checks
from ntkrun.errors import must_be
from ntkrun.maths.method.base import DTYPES, torch_device
from ntkrun.maths.method.exact_cntk import ExactCNTK
from ntkrun.maths.method.features import FeatureMethod
from ntkrun.maths.method.images import NetworkMethod
from ntkrun.maths.network.layers import read
from ntkrun.maths.network.sketched.reading import SketchedImages
from ntkrun.maths.rng import Stream


@dataclass(eq=False, repr=False)
class CNTKSketch(NetworkMethod, FeatureMethod):
    """Random features whose inner products approximate the CNTK with global average pooling.

    E<z(x), z(y)> ~ Theta(x, y) of docs/math.md, section 2. Zandieh et al. 2021, section 4 (theorem 4), with
    three changes: constant terms stay exact, a cosine transform rotates the neighbourhoods before they are
    sketched, and the last layer's product is pooled exactly before its only sketch.

    Parameters
    ----------
    n_components : int
        Columns of the features (`feature_dim` of a run).
    depth : int
        Convolutions L. Compare depth=3 with "3 convolutions" in tables, not with Arora's "depth 3".
    filter_size : int
        Odd side q of the filters.
    degree : int
        Degree of the polynomials for kappa0 and kappa1, >= 2.
    coefficients : {"fitted", "taylor"}
        The theorems use "taylor"; "fitted" is closer at low degree.
    trained : {"inner", "all"}
        Layers whose tangents count; "inner" is the paper's kernel.
    padding : {"same", "valid"}
        "same" adds zeros so that images keep their size; "valid" does not.
    image_shape : three int or None
        Height, width and channels of images given as rows (n, d); None reads rows as signals (1, d, 1).
    layout : {"channels_last", "channels_first"} or None
        Axis order of images and of `image_shape`: (H, W, C) or torch's (C, H, W). None reads (H, W, C), and
        rejects what looks like (C, H, W). Images (n, H, W) are grey.
    sketch_dim : int or None
        Sketch width per pixel in hidden layers; None takes n_components / 32, within [32, 512].
    random_state : int, None or RandomState
        Seed of the sketches.
    device : str
        "cpu", "cuda", "cuda:N" or "auto".
    dtype : {"float32", "float64"}
        Precision of the features.

    Notes
    -----
    Cost: linear in the number of pixels; about 12 degree sketch_dim^2 multiply-adds per pixel and layer, and
    `bytes_per_row` of memory per row. Rows do not influence each other, so batches may be split anywhere.
    """

    name = "cntk_sketch"

    n_components: int = 1024
    _: KW_ONLY
    depth: int = 3
    filter_size: int = 3
    degree: int = 2
    coefficients: str = "fitted"
    trained: str = "inner"
    padding: str = "same"
    image_shape: Sequence[int] | None = None
    layout: str | None = None
    sketch_dim: int | None = None
    random_state: Any = 0
    device: str = "cpu"
    dtype: str = "float32"

    def problems(self) -> list[str]:
        """Return one sentence per wrong parameter."""
        me = type(self).__name__
        out = super().problems()
        out += checks.integer(me, "degree", self.degree, 2, 64)
        out += checks.choice(me, "coefficients", self.coefficients, ("fitted", "taylor"))
        if self.sketch_dim is not None:
            out += checks.integer(me, "sketch_dim", self.sketch_dim, 16, 1 << 14)
        if not out and self._dim() < self.filter_size**2 + self.degree:
            need = self.filter_size**2 + self.degree
            out.append(must_be("sketch_dim", me, f">= filter_size^2 + degree = {need}", self._dim()))
        return out

    def _dim(self) -> int:
        if self.sketch_dim is not None:
            return self.sketch_dim
        return min(512, max(32, self.drawn // 32))

    def _draw(self, X: Any) -> None:
        self.check_shape(self.input_shape_)
        reading = SketchedImages(
            self._dim(),
            self.degree,
            self.coefficients,
            self.drawn,
            self.trained == "all",
            Stream(self.seed_).child("cntk_sketch"),
            DTYPES[self.dtype],
            torch_device(self.device),
            channels=self.input_shape_[2],
            filter_size=self.filter_size,
            same=self.padding == "same",
        )
        self._network = read(self.steps(), reading)

    def _features(self, batch: Tensor) -> Tensor:
        return self._network(batch)

    def reference(self) -> ExactCNTK:
        """Return the exact kernel that the features approximate."""
        shared = ("depth", "filter_size", "trained", "padding", "image_shape", "layout", "device", "dtype")
        return ExactCNTK(**{name: getattr(self, name) for name in shared})

    def bytes_per_row(self, shape: Sequence[int]) -> int:
        """Return the bytes of a row during transform: ten-odd maps of `dim` channels and the last product."""
        dim, size = self._dim(), torch.finfo(DTYPES[self.dtype]).bits // 8
        maps = 6 + 2 * self.degree
        return size * (shape[0] * shape[1] * dim * maps + 3 * dim * dim * self.degree + self.drawn)
