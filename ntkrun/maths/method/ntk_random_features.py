"""Random features of the NTK; see docs/math.md, section 4."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ntkrun import checks
from ntkrun.maths.kernel.rows import unit
from ntkrun.maths.method.base import DTYPES, torch_device
from ntkrun.maths.method.exact_ntk import ExactNTK
from ntkrun.maths.method.features import FeatureMethod
from ntkrun.maths.method.rows import RowMethod
from ntkrun.maths.rng import Stream
from ntkrun.maths.sampling import leverage_exact, leverage_gibbs
from ntkrun.maths.sketch.product import SKETCHES, make_product, without_auto


@dataclass(eq=False, repr=False)
class NTKRandomFeatures(RowMethod, FeatureMethod):
    """Features of the fully connected ReLU NTK from random neurons: unbiased, error ~ n_components^(-1/2).

    Zandieh et al. 2021, algorithm 2 (theorem 2). With phi_0 = psi_0 = x / ‖x‖, each layer draws

        dot = sqrt(2/m0) 1[W0 phi > 0]   phi = sqrt(2/m1) relu(W1 phi)   psi = phi (+) TensorSRHT(psi, dot)

    and the result is ‖x‖ psi_L with m1 + ms = n_components columns, half each; m0 = m1.

    Parameters
    ----------
    n_components : int
        Columns of the features (`feature_dim` of a run).
    depth : int
        ReLU layers L >= 1.
    bias : float
        At least 0. Adds the entry bias sqrt(d) to every row of d entries, as biases of variance bias^2 in the
        first layer do. Try 0.3 for standardised tables; it matters most for few columns
        (docs/results/small_tables.md).
    sampling : {"gaussian", "leverage_gibbs", "leverage_exact"}
        Distribution of W1: standard normal, or leverage scores (theorem 3), drawn by the paper's Gibbs
        sampler or exactly. The Gibbs chain costs width^2 per layer to draw.
    sketch : {"auto", "dense", "srht"}
        Sketch of the tensor products: "dense" uses random matrices, "srht" fast transforms, "auto" the
        faster. For sparse rows the first layer takes matrices, as a transform would make them dense.
    random_state : int, None or RandomState
        Seed of the neurons and sketches.
    device : str
        "cpu", "cuda", "cuda:N" or "auto".
    dtype : {"float32", "float64"}
        Precision of the features.

    Notes
    -----
    Cost: 2 depth (n_components / 2)^2 multiply-adds per row after the first layer.
    """

    name = "ntk_random_features"

    n_components: int = 1024
    _: KW_ONLY
    depth: int = 3
    bias: float = 0.0
    sampling: str = "gaussian"
    sketch: str = "auto"
    random_state: Any = 0
    device: str = "cpu"
    dtype: str = "float32"

    def problems(self) -> list[str]:
        """Return one sentence per wrong parameter."""
        allowed = ("gaussian", "leverage_gibbs", "leverage_exact")
        me = type(self).__name__
        out = super().problems() + checks.choice(me, "sampling", self.sampling, allowed)
        return out + checks.choice(me, "sketch", self.sketch, SKETCHES)

    def identity(self) -> dict[str, Any]:
        """Return what determines the numbers; those of sketch "auto" are older than the key `sketch`."""
        return without_auto(super().identity())

    def weight_bytes(self, shape: Sequence[int]) -> int:
        """Return the bytes of the weights of the first layer."""
        entries = (int(np.prod(shape)) + 1) * (self.drawn + self.drawn // 2)
        return entries * torch.finfo(DTYPES[self.dtype]).bits // 8

    def _draw(self, X: Any) -> None:
        dtype, device = DTYPES[self.dtype], torch_device(self.device)
        stream = Stream(self.seed_).child("ntk_random_features")
        self._phi_dim = self.drawn // 2
        sketched = self.drawn - self._phi_dim
        phi = psi = self.lifted_width
        self._layers = []
        for h in range(1, self.depth + 1):
            own = stream.child(h)
            first = self._weights(phi, own.child("phi"), dtype).to(device)
            gates = own.child("dot").gaussian(phi, self._phi_dim, dtype=dtype).to(device)
            # a transform would make sparse rows dense
            kind = "dense" if self._sparse and h == 1 else self.sketch
            product = make_product(psi, self._phi_dim, sketched, own.child("product"), dtype, kind)
            product.to(device)
            self._layers.append((first, gates, product))
            phi, psi = self._phi_dim, self.drawn

    def _weights(self, dim: int, stream: Stream, dtype: torch.dtype) -> Tensor:
        """Return W1 as (dim, m1), so that phi = sqrt(2/m1) relu(x W1) for every sampling."""
        count = self._phi_dim
        if self.sampling == "gaussian":
            return stream.gaussian(dim, count, dtype=dtype)
        w = (leverage_exact if self.sampling == "leverage_exact" else leverage_gibbs)(count, dim, stream)
        # the density ratio is d / |w|^2, so its root scales the feature
        return (w * (dim**0.5 / w.norm(dim=1))[:, None]).T.contiguous().to(dtype)

    def _features(self, batch: Any) -> Tensor:
        x = self.lifted(batch.flatten(1))
        phi = psi = unit(x)
        scale = (2 / self._phi_dim) ** 0.5
        for first, gates, product in self._layers:
            dot = (phi @ gates > 0).to(x.dtype).mul_(scale)
            phi = torch.relu_(phi @ first).mul_(scale)
            psi = torch.cat([phi, product(psi, dot)], 1)
        return psi.mul_(x.norm(dim=1, keepdim=True))

    def reference(self) -> ExactNTK:
        """Return the exact kernel that the features approximate."""
        return ExactNTK(depth=self.depth, bias=self.bias, device=self.device, dtype=self.dtype)
