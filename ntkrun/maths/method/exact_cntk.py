"""Exact CNTK with global average pooling, the reference for its approximations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ntkrun.maths.dual.activation import dual
from ntkrun.maths.method.base import DTYPES
from ntkrun.maths.method.images import NetworkMethod
from ntkrun.maths.method.kernel import KernelMethod
from ntkrun.maths.network.exact.cntk import CNTK
from ntkrun.maths.network.exact.layered import LayeredCNTK


@dataclass(eq=False, repr=False)
class ExactCNTK(NetworkMethod, KernelMethod):
    """Kernel values of the CNTK, for kernel ridge regression (Arora et al. 2019).

    Parameters
    ----------
    layers : list of {"conv", "act", "pool"} or None
        None repeats (conv, act) `depth` times. Only that order, with the ReLU and cells 1, has the fast path;
        anything else takes O((HW)^2) memory per pair.
    depth, filter_size, trained, image_shape, layout, activation, sharpness, cells
        As for CNTKNystrom.
    padding : {"same", "valid"}
        "same" adds zeros so that images keep their size; "valid" does not.
    device : str
        "cpu", "cuda", "cuda:N" or "auto".
    dtype : {"float32", "float64"}
        Precision of the kernel values.

    Notes
    -----
    Cost: (HW)^2 depth arccosines per pair of images; n (n+1)/2 pairs of training images.
    """

    name = "exact_cntk"
    version = 2
    choices = ("inner", "all", "last")

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
    device: str = "cpu"
    dtype: str = "float32"

    def _fit(self, X: Any) -> None:
        self.check_shape(self.input_shape_)
        super()._fit(X)

    def kernel(self, X: Any, Y: Any = None) -> Any:
        """Return Theta (n, m) of images X and Y; Y None computes symmetric entries once."""
        out = self._exact()(self._tensor(X), None if Y is None else self._tensor(Y))
        return out if isinstance(X, Tensor) else out.cpu().numpy()

    def _transform(self, batch: Tensor) -> Tensor:
        # both have passed `_tensor` already
        return self._exact()(batch, self.X_fit_)

    def pairs(self, X: Any, Y: Any, ix: np.ndarray, iy: np.ndarray) -> Tensor:
        """Return Theta(X[ix[p]], Y[iy[p]]) for all p, a tensor (len(ix),)."""
        return self._exact().pairs(self._tensor(X), self._tensor(Y), ix, iy)

    def _exact(self) -> CNTK | LayeredCNTK:
        words = self.words()
        plain = self.activation == "relu" and self.cells == 1 and self.trained != "last"
        if plain and words == ["conv", "act"] * (len(words) // 2):
            return CNTK(len(words) // 2, self.filter_size, self.trained, self.padding)
        nonlinear = dual(self.activation, self.sharpness)
        return LayeredCNTK(tuple(words), self.filter_size, self.trained, self.padding, nonlinear, self.cells)

    def bytes_per_row(self, shape: Sequence[int]) -> int:
        """Return the bytes of one image with its norms."""
        size = torch.finfo(DTYPES[self.dtype]).bits // 8
        return size * shape[0] * (shape[1] + self.filter_size) * (shape[2] + 2 * self.depth)
