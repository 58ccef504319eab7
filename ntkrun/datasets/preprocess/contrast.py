"""Global contrast normalisation."""

from __future__ import annotations

from torch import Tensor

from ntkrun.datasets.preprocess.base import equal_contrast
from ntkrun.datasets.preprocess.standardize import Standardize


class Contrast(Standardize):
    """Standardise, then bring each input to mean zero and unit variance over all its entries.

    Coates, Lee & Ng 2011. The neural tangent kernel is homogeneous, so images of high contrast would weigh
    more otherwise.
    """

    name = "contrast"

    def __call__(self, x: Tensor) -> Tensor:
        """Return x (n, ...) standardised and of equal contrast, float64."""
        z = super().__call__(x).flatten(1)
        return (equal_contrast(z) * z.shape[1] ** 0.5).reshape(x.shape)
