"""Random Fourier features of a Gaussian kernel, a baseline that is not an NTK."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ntkrun import checks
from ntkrun.maths.kernel.rows import median_distance, rbf
from ntkrun.maths.method.base import DTYPES, torch_device
from ntkrun.maths.method.features import FeatureMethod
from ntkrun.maths.method.rows import RowMethod
from ntkrun.maths.rng import Stream

MEDIAN_ROWS = 512  # rows whose distances give the bandwidth


@dataclass(eq=False, repr=False)
class RandomFourierFeatures(RowMethod, FeatureMethod):
    """sqrt(2/m) (cos(w.x), sin(w.x)) with w ~ N(0, 1/bandwidth^2): E<z(x), z(y)> is the Gaussian kernel.

    Rahimi and Recht 2007; cosines and sines come in pairs, so the diagonal is exact.

    Parameters
    ----------
    n_components : int
        Columns of the features (`feature_dim` of a run); if odd, the last is zero.
    bandwidth : float or None
        None takes the median distance between rows of the sample that `fit` sees.
    random_state : int, None or RandomState
        Seed of the weights w.
    device : str
        "cpu", "cuda", "cuda:N" or "auto".
    dtype : {"float32", "float64"}
        Precision of the features.
    """

    name = "rff"

    n_components: int = 1024
    _: KW_ONLY
    bandwidth: float | None = None
    random_state: Any = 0
    device: str = "cpu"
    dtype: str = "float32"

    def problems(self) -> list[str]:
        """Return one sentence per wrong parameter."""
        out = super().problems()
        if self.bandwidth is not None:
            out += checks.real(type(self).__name__, "bandwidth", self.bandwidth, 0)
        return out

    @property
    def sample_rows(self) -> int:
        """Rows whose distances give the median."""
        return MEDIAN_ROWS

    def fitted(self) -> list[Tensor]:
        """Return the weights, whose scale may come from the sample."""
        return [self._weights]

    def weight_bytes(self, shape: Sequence[int]) -> int:
        """Return the bytes of the weights."""
        return int(np.prod(shape)) * (self.drawn // 2) * torch.finfo(DTYPES[self.dtype]).bits // 8

    def _draw(self, X: Any) -> None:
        self.bandwidth_ = self.bandwidth or median_distance(self.flat(X))
        stream, dtype = Stream(self.seed_).child("rff"), DTYPES[self.dtype]
        w = stream.gaussian(self.width, self.drawn // 2, dtype=dtype) / self.bandwidth_
        self._weights = w.to(torch_device(self.device))

    def _features(self, batch: Any) -> Tensor:
        z = batch.flatten(1) @ self._weights
        out = torch.cat([torch.cos(z), torch.sin(z)], 1).mul_((1 / max(1, z.shape[1])) ** 0.5)
        return torch.nn.functional.pad(out, (0, self.drawn - out.shape[1]))

    def kernel(self, X: Any, Y: Any = None) -> Any:
        """Return the Gaussian kernel (n, m) with the bandwidth of `fit`."""
        return self._gram(lambda x, y: rbf(x, y, self.bandwidth_), X, Y)
