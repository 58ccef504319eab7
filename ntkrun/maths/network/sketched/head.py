"""The last layer: pool psi (x) kappa0-features over positions, then sketch once an image (MATH: section 7).

The product is linear after the average over pixels, so sum_ij psi_ij dot_ij^T is one exact batched matrix
product; only its result is sketched. Its constant row and column, which carry most of the
kernel, stay coordinates of their own; the remainder goes through a CountSketch. For rows, where there is
nothing to pool, the product is sketched without being formed.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ntkrun.maths.network.sketched.pair import Pair
from ntkrun.maths.rng import Stream
from ntkrun.maths.sketch.count_sketch import CountSketch
from ntkrun.maths.sketch.product import DenseProduct


class TangentHead:
    """Features (n, feature_dim) of mean over positions of Theta_{L-1} Gdot_L (+ Gamma_L).

    Parameters
    ----------
    dim, degree : int
        Sketched coordinates of psi, and degree of the dual: its features have degree * dim.
    feature_dim : int
        Real columns of the result.
    with_phi : bool
        Append the pooled activation features (trained="all").
    pooled : bool
        Form the product and pool it (images), or sketch it at once (rows, one position each).
    stream : Stream
    dtype : torch.dtype
    """

    def __init__(
        self,
        dim: int,
        degree: int,
        feature_dim: int,
        with_phi: bool,
        stream: Stream,
        dtype: torch.dtype,
        pooled: bool = True,
    ):
        self.dim, self.degree, self.with_phi = dim, degree, with_phi
        exact = 1 + degree * dim + dim + (dim + 1 if with_phi else 0)
        # below this the exact coordinates would crowd out the product itself
        self.keep = exact if 2 * exact <= feature_dim else 0
        room = feature_dim - self.keep
        self.product = (
            None if pooled else DenseProduct(dim, degree * dim, room, stream.child("product"), dtype)
        )
        spare = (dim * degree * dim if pooled else room) + (1 + dim) * (degree + 1) - 1 - dim
        sketched = spare if self.keep else spare + exact
        self.sketch = CountSketch(sketched, room, stream, dtype)

    def to(self, device: torch.device) -> TangentHead:
        """Move to `device` and return self."""
        self.sketch.to(device)
        if self.product is not None:
            self.product.to(device)
        return self

    def __call__(
        self,
        pair: Pair,
        constants: Tensor,
        dot: Tensor,
        last_phi: tuple[Tensor, Tensor] | None,
        scale: Tensor,
    ) -> Tensor:
        """Return the features of a batch.

        pair (n, *b) of the last ReLU's input, constants (n, *b, p+1), dot (n, *b, p dim), last_phi
        as `Relu.last_phi` gives it, scale (n, *b) weight of each position.
        """
        n = scale.shape[0]
        weight = scale.reshape(n, -1, 1)

        def flat(z: Tensor) -> Tensor:
            return z.reshape(n, weight.shape[1], -1)

        beta, psi = (flat(z) * weight for z in pair.tangent())
        constants, dot = flat(constants), flat(dot)
        # (n, dim, p dim), or (n, 1, room) when it is sketched at once
        product = self.product(psi, dot) if self.product else torch.bmm(psi.transpose(1, 2), dot)
        row = torch.bmm(beta.transpose(1, 2), torch.cat([constants, dot], -1))[:, 0]  # (n, p+1+p dim)
        column = torch.bmm(psi.transpose(1, 2), constants)  # (n, dim, p+1)
        k = constants.shape[2]
        kept = [row[:, :1], row[:, k:], column[:, :, 0]]
        rest = [row[:, 1:k], column[:, :, 1:].reshape(n, -1), product.reshape(n, -1)]
        if last_phi is not None:
            kept += [(flat(z) * weight).sum(1) for z in last_phi]
        if not self.keep:
            return self.sketch(torch.cat(kept + rest, 1))
        return torch.cat([*kept, self.sketch(torch.cat(rest, 1))], 1)
