"""Exact neural tangent kernel of a fully connected ReLU network."""

from __future__ import annotations

from typing import Any

from ntkrun.maths.kernel.rows import ntk
from ntkrun.maths.method.base import RowMethod


class ExactNTK(RowMethod):
    """Kernel values Theta(x, y) = ‖x‖ ‖y‖ K_depth(cos(x, y)), for kernel ridge regression.

    Jacot et al. 2018; the recursion of MATH section 2. Cost d + O(depth) a pair.

    Parameters
    ----------
    depth : int
        ReLU layers L >= 1.
    device, dtype : str
    """

    kind = "kernel"

    def __init__(self, *, depth: int = 3, device: str = "cpu", dtype: str = "float32"):
        self.depth = depth
        self.device = device
        self.dtype = dtype

    def _draw(self, X: Any) -> None:
        pass

    def kernel(self, X: Any, Y: Any = None) -> Any:
        """Return Theta (n, m) between the rows of X and Y."""
        return self._gram(lambda x, y: ntk(x, y, self.depth), X, Y)
