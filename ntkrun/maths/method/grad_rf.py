"""Gradient features of a random finite network, the NTK by its definition; see docs/math.md, section 4."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Any

import torch
from torch import Tensor

from ntkrun.maths.method.base import DTYPES, torch_device
from ntkrun.maths.method.exact_ntk import ExactNTK
from ntkrun.maths.method.features import FeatureMethod
from ntkrun.maths.method.rows import RowMethod
from ntkrun.maths.rng import Stream


@dataclass(eq=False, repr=False)
class GradientFeatures(RowMethod, FeatureMethod):
    """Gradient of f(x) = v . h_L with respect to all weights, h_l = sqrt(2/w) relu(W_l h_{l-1}), h_0 = x.

    <grad f(x), grad f(y)> tends to the NTK as the width w grows, with error ~ w^(-1/2), while the columns
    grow like w^2 (depth > 1). The paper compares with it. The width is the largest whose w d + (L-1) w^2 + w
    weights fit into n_components; the remaining columns are zero. If not even width 1 fits, its gradient is
    folded by a CountSketch.

    Parameters
    ----------
    n_components : int
        Columns of the features (`feature_dim` of a run).
    depth : int
        ReLU layers L >= 1.
    random_state : int, None or RandomState
        Seed of the network's weights.
    device : str
        "cpu", "cuda", "cuda:N" or "auto".
    dtype : {"float32", "float64"}
        Precision of the features.
    """

    name = "grad_rf"
    stays_sparse = False  # its features are as many as the entries of a row

    n_components: int = 1024
    _: KW_ONLY
    depth: int = 3
    random_state: Any = 0
    device: str = "cpu"
    dtype: str = "float32"

    @property
    def fewest(self) -> int:
        """Weights of a network of width 1, after fit."""
        return self.width + self.depth

    def _draw(self, X: Any) -> None:
        d, m, deep = self.width, self.drawn, self.depth - 1
        # largest w with deep w^2 + (d + 1) w <= m
        w = m // (d + 1) if deep == 0 else int((((d + 1) ** 2 + 4 * deep * m) ** 0.5 - (d + 1)) / (2 * deep))
        dtype, device = DTYPES[self.dtype], torch_device(self.device)
        stream = Stream(self.seed_).child("grad_rf")
        sizes = [d] + [w] * self.depth
        weights = stream.child("weights")
        self._weights = [
            weights.child(h).gaussian(sizes[h], sizes[h + 1], dtype=dtype).to(device)
            for h in range(self.depth)
        ]
        self._last = stream.child("last").gaussian(w, dtype=dtype).to(device)
        self._scale = (2 / w) ** 0.5

    def _features(self, batch: Tensor) -> Tensor:
        states, gates = [batch.flatten(1)], []
        for weight in self._weights:
            z = states[-1] @ weight
            gates.append(z > 0)
            states.append(torch.relu(z) * self._scale)
        parts = [states[-1]]  # gradient of v
        back = self._last.expand(len(batch), -1)
        for h in reversed(range(self.depth)):
            delta = back * gates[h] * self._scale  # gradient of the pre-activations
            parts.append(torch.einsum("ni,nj->nij", states[h], delta).flatten(1))
            back = delta @ self._weights[h].T
        out = torch.cat(parts, 1)
        return torch.nn.functional.pad(out, (0, self.drawn - out.shape[1]))

    def reference(self) -> ExactNTK:
        """Return the exact kernel that the features approximate."""
        return ExactNTK(depth=self.depth, device=self.device, dtype=self.dtype)
