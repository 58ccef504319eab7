"""The last layer: pool psi (x) kappa0-features over positions, then sketch once per image.

See docs/math.md, section 7. The average over pixels is linear in the product, so sum_ij psi_ij dot_ij^T is
one exact batched matrix product, and only its result is sketched. Its constant row and column, which carry
most of the kernel, stay separate coordinates; a CountSketch takes the rest. Rows have nothing to pool, so
their product is sketched without being formed.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ntkrun.maths.network.sketched.pair import Pair, flat
from ntkrun.maths.network.sketched.relu import Relu
from ntkrun.maths.rng import Stream
from ntkrun.maths.sketch.count_sketch import CountSketch
from ntkrun.maths.sketch.product import make_product


class TangentHead:
    """Features (n, columns) of the mean over positions of Theta_{L-1} Gdot_L (+ Gamma_L).

    Parameters
    ----------
    relu : Relu
        The last activation.
    columns : int
        Real columns of the result.
    trained : bool
        Whether the last layer is trained too: its activation features are then appended.
    filter_size : int or None
        Side of the filters of images; None for rows, whose product is sketched at once.
    stream : Stream
        Source of the random numbers.
    dtype : torch.dtype
        Precision of the layer.
    product : {"dense", "srht"}
        Sketch of the product of rows.
    """

    def __init__(
        self,
        relu: Relu,
        columns: int,
        trained: bool,
        filter_size: int | None,
        stream: Stream,
        dtype: torch.dtype,
        product: str = "dense",
    ):
        self.relu, self.trained, self.filter_size = relu, trained, filter_size
        dim, degree = relu.dim, relu.degree
        exact = 1 + degree * dim + dim + (dim + 1 if trained else 0)
        # with fewer columns the exact coordinates would crowd out the product
        self.keep = exact if 2 * exact <= columns else 0
        room = columns - self.keep
        self.product = None
        if filter_size is None:
            self.product = make_product(dim, degree * dim, room, stream.child("product"), dtype, product)
        spare = (room if self.product else dim * degree * dim) + (1 + dim) * (degree + 1) - 1 - dim
        sketched = spare if self.keep else spare + exact
        self.sketch = CountSketch(sketched, room, stream, dtype)

    def to(self, device: torch.device) -> TangentHead:
        """Move to `device` and return self."""
        self.relu.to(device)
        self.sketch.to(device)
        if self.product is not None:
            self.product.to(device)
        return self

    def __call__(self, pair: Pair) -> Tensor:
        """Return the features of a batch, from the pair before the last activation."""
        n = len(pair.norm)
        weight = weights(pair, self.filter_size)
        (beta, psi), (constants, dot) = tangent_of(pair), self.relu.last(pair)
        beta, psi = flat(beta[..., None], n) * weight, flat(psi, n) * weight
        constants, dot = flat(constants, n), flat(dot, n)
        # (n, dim, p dim), or (n, 1, room) if it is sketched at once
        product = self.product(psi, dot) if self.product else torch.bmm(psi.transpose(1, 2), dot)
        row = torch.bmm(beta.transpose(1, 2), torch.cat([constants, dot], -1))[:, 0]  # (n, p+1+p dim)
        column = torch.bmm(psi.transpose(1, 2), constants)  # (n, dim, p+1)
        k = constants.shape[2]
        kept = [row[:, :1], row[:, k:], column[:, :, 0]]
        rest = [row[:, 1:k], column[:, :, 1:].reshape(n, -1), product.reshape(n, -1)]
        if self.trained:
            constant, phi = self.relu.last_phi(pair)
            kept += [(flat(z, n) * weight).sum(1) for z in (constant[..., None], phi)]
        if not self.keep:
            return self.sketch(torch.cat(kept + rest, 1))
        return torch.cat([*kept, self.sketch(torch.cat(rest, 1))], 1)


def tangent_of(pair: Pair) -> tuple[Tensor, Tensor]:
    """Return the tangent part of a pair; ValueError if nothing is trained yet."""
    if (tangent := pair.tangent()) is None:
        raise ValueError("psi of Pair must be present. Got None instead. Train a layer before the head.")
    return tangent


def weights(pair: Pair, filter_size: int | None) -> Tensor:
    """Return the weight of each position in the average, (n, positions, 1)."""
    root = pair.root
    if filter_size is not None:
        root = root / (filter_size * root[0].numel())
    return root.reshape(len(root), -1, 1)
