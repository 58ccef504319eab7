"""Exact neural tangent kernel of a fully connected ReLU network."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ntkrun.maths.kernel.rows import ntk
from ntkrun.maths.method.kernel import KernelMethod
from ntkrun.maths.method.rows import RowMethod


@dataclass(eq=False, repr=False)
class ExactNTK(RowMethod, KernelMethod):
    """Kernel values Theta(x, y) = ‖x‖ ‖y‖ K_depth(cos(x, y)), for kernel ridge regression.

    Jacot et al. 2018; the recursion of docs/math.md, section 2.

    Parameters
    ----------
    depth : int
        ReLU layers L >= 1.
    bias : float
        At least 0. Adds the entry bias sqrt(d) to every row of d entries, as biases of variance bias^2 in the
        first layer do. Try 0.3 for standardised tables; it matters most for few columns
        (docs/results/small_tables.md).
    device : str
        "cpu", "cuda", "cuda:N" or "auto".
    dtype : {"float32", "float64"}
        Precision of the kernel values.

    Notes
    -----
    Cost: d + O(depth) per pair of rows.
    """

    name = "exact_ntk"

    _: KW_ONLY
    depth: int = 3
    bias: float = 0.0
    device: str = "cpu"
    dtype: str = "float32"

    def kernel(self, X: Any, Y: Any = None) -> Any:
        """Return Theta (n, m) between the rows of X and Y."""
        return self._gram(lambda x, y: ntk(self.lifted(x), self.lifted(y), self.depth), X, Y)

    def pairs(self, X: Any, Y: Any, ix: np.ndarray, iy: np.ndarray) -> Tensor:
        """Return Theta(X[ix[p]], Y[iy[p]]) for all p, read from the whole block, which is cheap for rows."""
        block = torch.as_tensor(self.kernel(X, Y))
        return block[torch.from_numpy(ix), torch.from_numpy(iy)]
