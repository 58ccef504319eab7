"""The inputs themselves, a linear model without a kernel."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Any

from torch import Tensor

from ntkrun.maths.method.features import FeatureMethod
from ntkrun.maths.method.rows import RowMethod


@dataclass(eq=False, repr=False)
class Raw(RowMethod, FeatureMethod):
    """Standardised pixels or columns as features; the kernel is the inner product.

    Parameters
    ----------
    device : str
        "cpu", "cuda", "cuda:N" or "auto".
    dtype : {"float32", "float64"}
        Precision of the features.
    """

    name = "raw"
    stays_sparse = False  # its features are as many as the entries of a row

    _: KW_ONLY
    device: str = "cpu"
    dtype: str = "float32"

    def _draw(self, X: Any) -> None:
        pass

    def _features(self, batch: Tensor) -> Tensor:
        return batch.flatten(1)

    def kernel(self, X: Any, Y: Any = None) -> Any:
        """Return the inner products (n, m) of rows."""
        return self._gram(lambda x, y: x @ y.T, X, Y)
