"""Features of convolutional tangent kernels, fitted to data; see docs/math.md, section 7."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ntkrun import checks
from ntkrun.maths.dual.activation import dual
from ntkrun.maths.method.base import DTYPES
from ntkrun.maths.method.exact_cntk import ExactCNTK
from ntkrun.maths.method.features import FeatureMethod
from ntkrun.maths.method.images import NetworkMethod
from ntkrun.maths.network.layers import read
from ntkrun.maths.network.nystrom.head import AdaptiveHead, TangentPart
from ntkrun.maths.network.nystrom.layers import Fitting, Maps
from ntkrun.maths.network.nystrom.reading import Fitted
from ntkrun.maths.rng import Stream


@dataclass(eq=False, repr=False)
class CNTKNystrom(NetworkMethod, FeatureMethod):
    """Features of the CNTK with global average pooling, fitted to training images but never to labels.

    The same kernel as CNTKSketch, for any order of convolutions, ReLUs and 2 x 2 average pools. Each ReLU is
    a Nystrom map on landmark patches. With as many columns it is far closer to the kernel than an oblivious
    sketch, but it has no guarantee for images unlike the training images.

    Parameters
    ----------
    n_components : int
        Columns of the features (`feature_dim` of a run).
    layers : list of {"conv", "act", "pool"} or None
        None repeats (conv, act) `depth` times. Myrtle-5 (Shankar et al. 2020) is [conv, act, conv, act, pool,
        conv, act, pool, conv, act].
    depth : int
        Convolutions if `layers` is None.
    filter_size : int
        Odd side q of the filters.
    trained : {"inner", "all", "last"}
        "last" trains the last layer only: the kernel of the activations (NNGP) instead of the tangent kernel.
    padding : {"same", "valid"}
        "same" adds zeros so that images keep their size; "valid" does not.
    image_shape : three int or None
        Height, width and channels of images given as rows (n, d); None reads rows as signals (1, d, 1).
    layout : {"channels_last", "channels_first"} or None
        Axis order of images and of `image_shape`: (H, W, C) or torch's (C, H, W). None reads (H, W, C), and
        rejects what looks like (C, H, W). Images (n, H, W) are grey.
    activation : {"relu", "gauss"}
        "gauss" has the homogeneous dual exp(sharpness (cos - 1)) of Han et al. 2022.
    sharpness : float
        Sharpness of "gauss".
    cells : int
        The last average is taken over each of cells x cells parts of the image; 1 is global average pooling.
    dim : int or None
        Coordinates per position before the first pool; every pool doubles them. None takes n_components / 64,
        within [32, 256].
    landmarks : int or None
        Landmark patches per ReLU before the first pool; every pool doubles them. None takes 2 dim.
    head_dim : int or None
        Coordinates per position in the last layer. The tangent part has up to head_dim^2 columns, those that
        vary most. None takes as many as the layer before.
    sample_images, candidates : int
        Training images that the layers are fitted to, and positions in them that landmarks are chosen from.
    random_state : int, None or RandomState
        Seed of the choice of landmarks.
    device : str
        "cpu", "cuda", "cuda:N" or "auto".
    dtype : {"float32", "float64"}
        Precision of the features.

    Notes
    -----
    Cost: about 2 q^2 dim landmarks multiply-adds per position and layer.
    """

    name = "cntk_nystrom"
    choices = ("inner", "all", "last")

    n_components: int = 1024
    _: KW_ONLY
    layers: Sequence[str] | None = None
    depth: int = 3
    filter_size: int = 3
    trained: str = "inner"
    padding: str = "same"
    image_shape: Sequence[int] | None = None
    layout: str | None = None
    activation: str = "relu"
    sharpness: float = 1.0
    cells: int = 1
    dim: int | None = None
    landmarks: int | None = None
    head_dim: int | None = None
    sample_images: int = 512
    candidates: int = 4096
    random_state: Any = 0
    device: str = "cpu"
    dtype: str = "float32"

    @property
    def sample_rows(self) -> int:
        """Rows that `fit` uses."""
        return self.sample_images

    def problems(self) -> list[str]:
        """Return one sentence per wrong parameter."""
        me = type(self).__name__
        out = super().problems()
        for key in ("dim", "landmarks", "head_dim"):
            if getattr(self, key) is not None:
                out += checks.integer(me, key, getattr(self, key), 4, 1 << 14)
        for key in ("sample_images", "candidates"):
            out += checks.integer(me, key, getattr(self, key), 4, 1 << 16)
        return out

    def identity(self) -> dict[str, Any]:
        """Return what determines the numbers; those without `head_dim` are older than the key."""
        out = super().identity()
        return out if out["head_dim"] is not None else {k: v for k, v in out.items() if k != "head_dim"}

    def _fitting(self, pools: int) -> Fitting:
        dim = self.dim or min(256, max(32, self.drawn // 64))
        landmarks = (self.landmarks or 2 * dim) << pools
        nonlinear = dual(self.activation, self.sharpness)
        return Fitting(self.candidates, landmarks, dim << pools, self.padding == "same", nonlinear)

    def _head(self, pools: int) -> Fitting:
        """Return the settings of the last layer, with a landmark per coordinate at least."""
        fitting = self._fitting(pools)
        if self.head_dim is None:
            return fitting
        return replace(fitting, dim=self.head_dim, landmarks=max(fitting.landmarks, self.head_dim))

    def _draw(self, X: Any) -> None:
        self.check_shape(self.input_shape_)
        sample, stream = self._input(self._tensor(X)), Stream(self.seed_).child("cntk_nystrom")
        reading = Fitted(sample, self._fitting, self._head, self.trained, self.drawn, self.cells, stream)
        with torch.inference_mode():
            self._network = read(self.steps(merged=True), reading)

    def _input(self, x: Tensor) -> Maps:
        return Maps(x.square().sum(-1), x, shared=self.trained == "all")

    def fitted(self) -> list[Tensor]:
        """Return filters and directions of all layers."""
        head = self._network.head
        assert isinstance(head, AdaptiveHead)
        convs = [part.conv for part in head.parts if isinstance(part, TangentPart)]
        holders = [*self._network.layers, *head.parts, *convs]
        return [t for part in holders for t in vars(part).values() if isinstance(t, Tensor)]

    def _features(self, batch: Tensor) -> Tensor:
        return self._network(self._input(batch))

    def reference(self) -> ExactCNTK:
        """Return the exact kernel that the features approximate."""
        return ExactCNTK(**{name: getattr(self, name) for name in ExactCNTK().get_params()})

    def bytes_per_row(self, shape: Sequence[int]) -> int:
        """Return the bytes of a row during transform: the widest layer's maps or the pooled product."""
        size = torch.finfo(DTYPES[self.dtype]).bits // 8
        first, pools = self._fitting(0), self.words().count("pool")
        head, positions = self._head(pools), shape[0] * shape[1]
        layers = positions * (4 * first.dim + 2 * first.landmarks)
        last = self.drawn
        if self.trained != "last":
            last = 2 * (head.dim * self.cells) ** 2
            layers = max(layers, (positions >> 2 * pools) * (4 * head.dim + 2 * head.landmarks))
        return size * (max(layers, last) + self.drawn)
