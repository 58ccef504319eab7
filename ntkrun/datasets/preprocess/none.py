"""No scaling of inputs."""

from __future__ import annotations

from typing import Any

import numpy as np

from ntkrun.datasets.preprocess.standardize import Standardize
from ntkrun.datasets.rows import Rows
from ntkrun.maths.sparse import SparseRows


class Unscaled(Standardize):
    """Leave inputs as they are."""

    name = "none"
    sparse = True

    def __init__(self, x: Rows, rows: np.ndarray):
        self.mean, self.std = np.zeros(x.shape[-1]), np.ones(x.shape[-1])

    def __call__(self, x: Any) -> Any:
        """Return x (n, ...), float64."""
        return x if isinstance(x, SparseRows) else super().__call__(x)
