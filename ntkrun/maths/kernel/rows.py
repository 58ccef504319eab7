"""Exact kernels of rows: the ReLU NTK, its polynomial fit and the Gaussian kernel.

See docs/math.md, section 2.
"""

from __future__ import annotations

from typing import overload

import numpy as np
import torch
from torch import Tensor

from ntkrun.maths.dual.arccos import kappa0, kappa1
from ntkrun.maths.dual.polynomial import Activation, fit
from ntkrun.maths.sparse import Rows, SparseRows, inner

Duals = tuple[tuple[Activation, Activation], ...]


def ntk_of_cosine(a: Tensor, depth: int, duals: Duals | None = None) -> Tensor:
    """Return K_depth at cosines a: S_h = kappa1(S_{h-1}), K_h = K_{h-1} kappa0(S_{h-1}) + S_h.

    Jacot et al. 2018; K_depth(1) = depth + 1. `duals` replaces (kappa1, kappa0) of each layer.
    """
    s, k = a, a
    for first, second in duals or ((kappa1, kappa0),) * depth:
        new = first(s)
        k = k * second(s) + new
        s = new
    return k


def ntk(x: Rows, y: Rows, depth: int, duals: Duals | None = None) -> Tensor:
    """Return the fully connected ReLU NTK (n, m) of rows x (n, d) and y (m, d), all layers trained."""
    nx, ny = x.norm(dim=1), y.norm(dim=1)
    scale = nx[:, None] * ny[None]
    # normalised first, so that squares of tiny or huge rows neither underflow nor overflow
    cosine = inner(unit(x), unit(y))
    return scale * ntk_of_cosine(cosine.clamp(-1, 1), depth, duals)


@overload
def unit(x: Tensor) -> Tensor: ...
@overload
def unit(x: SparseRows) -> SparseRows: ...
def unit(x: Rows) -> Rows:
    """Return rows scaled to length 1; zero rows stay zero."""
    if isinstance(x, SparseRows):
        return x.unit()
    norm = x.norm(dim=-1, keepdim=True)
    return torch.where(norm > 0, x / norm, torch.zeros_like(x))


def with_bias(x: Rows, bias: float) -> Rows:
    """Return rows x (n, d) with one more entry, bias sqrt(d), (n, d + 1); x itself for a bias of 0.

    The NTK of these rows is that of a network whose first layer has biases: its S_0 is x.y / d + bias^2, up
    to the factor d (Jacot et al. 2018, beta). Without them the kernel is homogeneous: its functions f satisfy
    f(c x) = c f(x) for c > 0.
    """
    if not bias:
        return x
    value = bias * x.shape[1] ** 0.5
    if isinstance(x, SparseRows):
        return x.lifted(value)
    return torch.cat([x, x.new_full((len(x), 1), value)], 1)


def rbf(x: Rows, y: Rows, bandwidth: float) -> Tensor:
    """Return exp(-|x - y|^2 / (2 bandwidth^2)), (n, m)."""
    return torch.exp(distances(x, y).square() / (-2 * bandwidth**2))


def distances(x: Rows, y: Rows) -> Tensor:
    """Return |x - y|, (n, m); of sparse rows from their inner products, 0 if that is within rounding."""
    if isinstance(x, Tensor) and isinstance(y, Tensor):
        return torch.cdist(x, y)
    sizes = x.norm(dim=1).square()[:, None] + y.norm(dim=1).square()
    squares = torch.sub(sizes, inner(x, y), alpha=2)
    return torch.where(squares > 8 * torch.finfo(squares.dtype).eps * sizes, squares, 0).sqrt_()


def median_distance(x: Rows, rows: int = 1000) -> float:
    """Return the median distance between distinct rows, the usual bandwidth of a Gaussian kernel."""
    x = x[:rows].to(torch.float64)
    if isinstance(x, Tensor):
        found = torch.pdist(x)
    else:
        found = distances(x, x)[tuple(torch.triu_indices(len(x), len(x), 1, device=x.device))]
    positive = found[found > 0]
    return float(positive.median()) if len(positive) else 1.0


def ntk_polynomial(depth: int, degree: int) -> np.ndarray:
    """Return non-negative coefficients (degree+1,) fitted to K_depth on [-1, 1], exact at 1.

    The one-polynomial NTK sketch uses them, as does the released code of Zandieh et al. 2021.
    """
    return fit(lambda a: ntk_of_cosine(a, depth), degree, -1.0)
