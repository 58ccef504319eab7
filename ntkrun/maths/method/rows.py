"""Methods for rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ntkrun import checks
from ntkrun.maths.kernel.rows import with_bias
from ntkrun.maths.method.base import DTYPES, Method
from ntkrun.maths.sparse import Rows, SparseRows

HIGHEST_BIAS = 1e6


class RowMethod(Method):
    """A method for rows (n, d); images are taken as rows of pixels.

    A subclass with the argument `bias` computes with `lifted` rows. Sparse rows stay sparse.
    """

    sparse = stays_sparse = True

    def problems(self) -> list[str]:
        """Return one sentence per wrong parameter."""
        out, bias = super().problems(), getattr(self, "bias", 0.0)
        return out + checks.at_least(type(self).__name__, "bias", bias, 0, HIGHEST_BIAS)

    def parameters(self) -> dict[str, Any]:
        """Return the constructor's arguments except the device, and except a bias of 0.

        Features and models without a bias are older than the argument.
        """
        return {k: v for k, v in super().parameters().items() if (k, v) != ("bias", 0)}

    def lifted(self, x: Rows) -> Any:
        """Return rows x (n, width) with the bias, (n, lifted_width)."""
        return with_bias(x, getattr(self, "bias", 0.0))

    @property
    def lifted_width(self) -> int:
        """Entries of a row with the bias, after fit."""
        return self.width + bool(getattr(self, "bias", 0.0))

    @property
    def width(self) -> int:
        """Entries of a row, after fit."""
        return int(np.prod(self.input_shape_))

    def bytes_per_row(self, shape: Sequence[int]) -> int:
        """Return the bytes of a row if it is dense, its features and a few layers of the same size."""
        size = torch.finfo(DTYPES[self.dtype]).bits // 8
        row = 0 if self._sparse else 2 * int(np.prod(shape))
        return size * (row + 8 * int(getattr(self, "n_components", 0)))

    def flat(self, x: Any) -> Any:
        """Return x as rows (n, d) of this method's dtype on its device, dense or sparse."""
        return self._tensor(x).flatten(1)

    def _gram(self, function: Callable[[Any, Any], Tensor], X: Any, Y: Any) -> Any:
        """Return function(X, Y) of flat rows; a tensor if X is one, else an array."""
        x = self.flat(X)
        out = function(x, x if Y is None else self.flat(Y))
        return out if isinstance(X, Tensor | SparseRows) else out.cpu().numpy()
