"""Gram matrices from a function for single kernel entries."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

Pairs = Callable[[Tensor, Tensor, np.ndarray, np.ndarray], Tensor]


def gram(pairs: Pairs, x: Tensor, y: Tensor | None) -> Tensor:
    """Return the kernel (n, m) of x (n, ...), y (m, ...); y None computes symmetric entries once."""
    n = len(x)
    if y is not None:
        ix, iy = (i.reshape(-1) for i in np.indices((n, len(y))))
        return pairs(x, y, ix, iy).reshape(n, len(y))
    ix, iy = np.tril_indices(n)
    values = pairs(x, x, ix, iy)
    out = x.new_empty(n, n)
    rows, columns = torch.from_numpy(ix).to(x.device), torch.from_numpy(iy).to(x.device)
    out[rows, columns] = values
    out[columns, rows] = values
    return out
