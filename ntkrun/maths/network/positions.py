"""Operations on all positions of an image."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def patch_sum(x: Tensor, q: int, same: bool) -> Tensor:
    """Sum q x q windows of x (n, h, w); `same` pads with zeros, else the image shrinks by q-1."""
    return F.avg_pool2d(x[:, None], q, stride=1, padding=q // 2 if same else 0, divisor_override=1)[:, 0]


def reciprocal(x: Tensor) -> Tensor:
    """Return 1/x, and 0 for 0."""
    return torch.where(x > 0, 1 / x, torch.zeros_like(x))


def planar(z: Tensor) -> Tensor:
    """Return z (n, h, w, c) as a view (n, c, h, w)."""
    return z.permute(0, 3, 1, 2)
