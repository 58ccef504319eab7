"""What is done to inputs before any method sees them; fitted on training rows alone, batch by batch."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from ntkrun.maths.eigen import eigh

BATCH = 1024
# share of the mean eigenvalue added before the inverse root: how far the whitening may amplify noise
REGULARISER = 0.1
# a row whose spread is below this share of its norm holds rounding alone
BLANK = 1e-12


class Standardize:
    """Zero mean and unit variance for each channel (images) or column (rows).

    Attributes
    ----------
    mean, std : ndarray (last axis of x,), float64
    """

    def __init__(self, x: np.ndarray, rows: np.ndarray):
        axes = tuple(range(x.ndim - 1))
        total, square, count = np.zeros(x.shape[-1]), np.zeros(x.shape[-1]), 0
        shift = x[rows[0]].astype(np.float64).reshape(-1, x.shape[-1]).mean(0)
        for block in _batches(x, rows):
            block = block.astype(np.float64) - shift
            total += block.sum(axes)
            square += (block**2).sum(axes)
            count += block.size // x.shape[-1]
        mean = total / count
        std = np.sqrt(np.maximum(square / count - mean**2, 0))
        std[std == 0] = 1.0  # a constant channel stays zero after centring
        self.mean, self.std = mean + shift, std

    def __call__(self, x: Tensor) -> Tensor:
        """Return x (n, ...) standardised, float64."""
        mean, std = (torch.from_numpy(a).to(x.device) for a in (self.mean, self.std))
        return (x.to(torch.float64) - mean) / std

    def arrays(self) -> list[np.ndarray]:
        """Return what was fitted, for the hash of the data."""
        return [self.mean, self.std]

    @classmethod
    def restore(cls, arrays: list[np.ndarray]) -> Standardize:
        """Return the object whose `arrays` these are."""
        out = cls.__new__(cls)
        out.mean, out.std = arrays
        return out


class Contrast(Standardize):
    """Standardised inputs, each then brought to mean zero and unit variance over all its entries.

    Global contrast normalisation (Coates, Lee & Ng 2011): neither brightness nor contrast enters. The
    neural tangent kernel is homogeneous, so that without it images of high contrast weigh more.
    """

    def __call__(self, x: Tensor) -> Tensor:
        """Return x (n, ...) standardised and of equal contrast, float64."""
        z = super().__call__(x).flatten(1)
        return (equal_contrast(z) * z.shape[1] ** 0.5).reshape(x.shape)


class ZCA:
    """Whitening that stays closest to the inputs: (x - mean) (C + r I)^(-1/2) (Bell & Sejnowski 1997).

    C is the covariance over training rows and r = REGULARISER times its mean eigenvalue. Images are first
    brought to mean zero and unit norm each, so that contrast and brightness do not enter.

    Attributes
    ----------
    mean : ndarray (d,), matrix : ndarray (d, d); float32, d the number of entries of a row
    """

    def __init__(self, x: np.ndarray, rows: np.ndarray):
        d = int(np.prod(x.shape[1:]))
        total, gram = torch.zeros(d, dtype=torch.float64), torch.zeros(d, d, dtype=torch.float64)
        shift: Tensor | None = None
        for block in _batches(x, rows):
            z = self._rows(torch.from_numpy(block))
            shift = z.mean(0) if shift is None else shift
            z = (z - shift).to(torch.float32)
            gram += z.T @ z
            total += z.sum(0, dtype=torch.float64)
        assert shift is not None
        mean = total / len(rows)
        covariance = gram / len(rows) - torch.outer(mean, mean)
        values, vectors = eigh(covariance)
        scale = float(values.mean()) or 1.0  # constant inputs stay zero
        inverse = (values.clamp(min=0) + REGULARISER * scale).rsqrt()
        self.matrix = ((vectors * inverse) @ vectors.T).to(torch.float32).numpy()
        self.mean = (mean + shift).to(torch.float32).numpy()

    def _rows(self, x: Tensor) -> Tensor:
        z = x.flatten(1).to(torch.float64)
        return equal_contrast(z) if x.ndim == 4 else z

    def __call__(self, x: Tensor) -> Tensor:
        """Return x (n, ...) whitened, float32."""
        mean, matrix = (torch.from_numpy(a).to(x.device) for a in (self.mean, self.matrix))
        return ((self._rows(x).to(torch.float32) - mean) @ matrix).reshape(x.shape)

    def arrays(self) -> list[np.ndarray]:
        """Return what was fitted, for the hash of the data."""
        return [self.mean, self.matrix]

    @classmethod
    def restore(cls, arrays: list[np.ndarray]) -> ZCA:
        """Return the object whose `arrays` these are."""
        out = cls.__new__(cls)
        out.mean, out.matrix = arrays
        return out


Preprocess = Standardize | ZCA
PREPROCESS: dict[str, type[Standardize] | type[ZCA]] = {
    "standardize": Standardize,
    "contrast": Contrast,
    "zca": ZCA,
}


def prepared(x: np.ndarray, preprocess: Preprocess, dtype: torch.dtype, device: torch.device | str) -> Tensor:
    """Return raw rows x (n, ...) as methods take them."""
    return preprocess(torch.from_numpy(np.ascontiguousarray(x)).to(device)).to(dtype)


def equal_contrast(z: Tensor) -> Tensor:
    """Return rows z (n, d) with mean zero and unit norm each; a blank row (but for rounding) becomes zero."""
    before = torch.linalg.vector_norm(z, dim=1, keepdim=True)
    z = z - z.mean(1, keepdim=True)
    norm = torch.linalg.vector_norm(z, dim=1, keepdim=True)
    return z / torch.where(norm > BLANK * before, norm, torch.inf)


def _batches(x: np.ndarray, rows: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(rows), BATCH):
        yield x[rows[start : start + BATCH]]
