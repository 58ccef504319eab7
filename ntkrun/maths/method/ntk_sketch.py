"""Polynomial sketch of the NTK; see docs/math.md, section 4."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ntkrun import checks
from ntkrun.errors import DataError, must_be
from ntkrun.maths.kernel.rows import ntk_polynomial, unit
from ntkrun.maths.method.base import DTYPES, torch_device
from ntkrun.maths.method.exact_ntk import ExactNTK
from ntkrun.maths.method.features import FeatureMethod
from ntkrun.maths.method.rows import RowMethod
from ntkrun.maths.network.layers import read, steps
from ntkrun.maths.network.sketched.pair import Pair
from ntkrun.maths.network.sketched.reading import SketchedRows
from ntkrun.maths.rng import Stream
from ntkrun.maths.sketch.hashed import HashedOSNAP
from ntkrun.maths.sketch.orthonormal import Orthonormal
from ntkrun.maths.sketch.osnap import OSNAP
from ntkrun.maths.sketch.poly_sketch import PolySketch
from ntkrun.maths.sketch.product import SKETCHES, without_auto
from ntkrun.maths.sketch.srht import SRHT

Leaf = Orthonormal | SRHT | OSNAP | HashedOSNAP


@dataclass(eq=False, repr=False)
class NTKSketch(RowMethod, FeatureMethod):
    """Features of the fully connected ReLU NTK from sketched polynomials; oblivious.

    Zandieh et al. 2021, algorithm 1 (theorem 1), with constants kept exact (docs/cntk_sketch.md).

    Parameters
    ----------
    n_components : int
        Columns of the features (`feature_dim` of a run).
    depth : int
        ReLU layers L >= 1.
    bias : float
        At least 0. Adds the entry bias sqrt(d) to every row of d entries, as biases of variance bias^2 in the
        first layer do. Try 0.3 for standardised tables; it matters most for few columns
        (docs/results/small_tables.md).
    degree : int
        Degree of the polynomials, >= 2.
    variant : {"layerwise", "one_shot"}
        Use polynomials for kappa0 and kappa1 in each layer, or one polynomial for the whole kernel.
    coefficients : {"fitted", "taylor"}
        Coefficients of "layerwise"; "one_shot" is always fitted.
    sketch_dim : int or None
        Sketch width in hidden layers; None takes n_components / (2 degree + 4), within [32, 512].
    sketch : {"auto", "dense", "srht", "osnap"}
        "dense" uses products with random matrices, "srht" fast transforms, "auto" the faster for the width.
        "osnap" reads the input by a sparse matrix and is otherwise "auto". For sparse rows "auto" is "osnap",
        whose cost is in their non-zeros and whose memory does not grow with their columns, and "srht" is
        refused.
    random_state : int, None or RandomState
        Seed of the sketches.
    device : str
        "cpu", "cuda", "cuda:N" or "auto".
    dtype : {"float32", "float64"}
        Precision of the features.
    """

    name = "ntk_sketch"

    n_components: int = 1024
    _: KW_ONLY
    depth: int = 3
    bias: float = 0.0
    degree: int = 2
    variant: str = "layerwise"
    coefficients: str = "fitted"
    sketch_dim: int | None = None
    sketch: str = "auto"
    random_state: Any = 0
    device: str = "cpu"
    dtype: str = "float32"

    def problems(self) -> list[str]:
        """Return one sentence per wrong parameter."""
        me = type(self).__name__
        out = super().problems()
        out += checks.integer(me, "degree", self.degree, 2, 64)
        out += checks.choice(me, "variant", self.variant, ("layerwise", "one_shot"))
        out += checks.choice(me, "coefficients", self.coefficients, ("fitted", "taylor"))
        out += checks.choice(me, "sketch", self.sketch, (*SKETCHES, "osnap"))
        if self.sketch_dim is not None:
            out += checks.integer(me, "sketch_dim", self.sketch_dim, 16, 1 << 14)
        if not out and self._dim() < self.degree + 1:
            out.append(must_be("sketch_dim", me, f">= degree + 1 = {self.degree + 1}", self._dim()))
        return out

    def identity(self) -> dict[str, Any]:
        """Return what determines the numbers; those of sketch "auto" are older than the key `sketch`."""
        return without_auto(super().identity() | {"sketch": self._kind})

    @property
    def _kind(self) -> str:
        return "osnap" if self._sparse and self.sketch == "auto" else self.sketch

    @property
    def _product(self) -> str:
        return "auto" if self.sketch == "osnap" else self.sketch

    def _make_leaf(self, dim: int, stream: Stream, dtype: torch.dtype) -> Leaf:
        """Return the sketch of the input, (n, lifted_width) to (n, dim)."""
        # narrow rows are kept whole, as dense ones are
        whole = self._sparse and self.sketch == "auto" and self.lifted_width <= dim
        if self._kind == "osnap" and not whole:
            kind = HashedOSNAP if self._sparse else OSNAP
            return kind(self.lifted_width, dim, stream, dtype=dtype)
        if self._kind == "srht":
            return SRHT(self.lifted_width, dim, stream, dtype=dtype)
        return Orthonormal(self.lifted_width, dim, stream, dtype)

    def _dim(self) -> int:
        # half of the columns hold the head's exact coordinates, (degree + 2) blocks of this size
        return self.sketch_dim or min(512, max(32, self.drawn // (2 * (self.degree + 2)) - 1))

    def weight_bytes(self, shape: Sequence[int]) -> int:
        """Return the bytes of the leaf if it is a matrix."""
        if self._kind == "osnap":
            return 0
        return int(np.prod(shape)) * self._dim() * torch.finfo(DTYPES[self.dtype]).bits // 8

    def _draw(self, X: Any) -> None:
        if self._sparse and self.sketch == "srht":
            need, remedy = "auto, osnap or dense for sparse rows", "A transform would make them dense."
            raise DataError(must_be("sketch", type(self).__name__, need, self.sketch, remedy))
        dtype, device = DTYPES[self.dtype], torch_device(self.device)
        stream = Stream(self.seed_).child("ntk_sketch").child(self.variant)
        if self.variant == "one_shot":
            share = self._shares(dtype, device)
            self._powers = PolySketch(self.degree, share, stream.child("powers"), dtype, self._product).to(
                device
            )
            self._linear = self._make_linear(stream.child("linear"), dtype).to(device)
            self._leaf = self._make_leaf(share, stream.child("leaf"), dtype).to(device)
            return
        dim = self._dim()
        self._leaf = self._make_leaf(dim, stream.child("leaf"), dtype).to(device)
        form = (dim, self.degree, self.coefficients, self.drawn, True, stream, dtype, device, self._product)
        self._network = read(steps(["act"] * self.depth, 1), SketchedRows(*form))

    def _make_linear(self, stream: Stream, dtype: torch.dtype) -> Leaf:
        """Return the sketch of the linear term of "one_shot"."""
        if self._sparse and self._exact < self.lifted_width:
            return self._make_leaf(self._exact, stream, dtype)
        return Orthonormal(self.lifted_width, self._exact, stream, dtype)

    def _shares(self, dtype: torch.dtype, device: torch.device) -> int:
        """Divide the columns of "one_shot" into the constant, x itself and a share per higher power."""
        c = ntk_polynomial(self.depth, self.degree)
        self._roots = torch.from_numpy(c**0.5).to(device=device, dtype=dtype)
        # x is exact if it takes at most half of the columns besides the constant
        self._exact = min(self.lifted_width, (self.drawn - 1) // 2)
        powers = self.degree - 1
        share = (self.drawn - 1 - self._exact) // powers
        self._spare = self.drawn - 1 - self._exact - share * powers
        return share

    def _features(self, batch: Any) -> Tensor:
        x = self.lifted(batch.flatten(1))
        norm = x.norm(dim=1)
        u = unit(x)
        if self.variant == "one_shot":
            z = self._powers(self._leaf(u))
            columns = [self._roots[0].expand(len(u), 1), self._roots[1] * self._linear(u)]
            columns += [self._roots[k] * z[k - 1] for k in range(2, self.degree + 1)]
            out = torch.cat([*columns, z[0].new_zeros(len(u), self._spare)], 1)
            return out.mul_(norm[:, None])
        phi = self._leaf(u)
        if not isinstance(self._leaf, Orthonormal):
            phi = unit(phi)  # its exact length is 1
        return self._network(Pair(norm.square(), norm, torch.zeros_like(norm), phi, shared=True))

    def reference(self) -> ExactNTK:
        """Return the exact kernel that the features approximate."""
        return ExactNTK(depth=self.depth, bias=self.bias, device=self.device, dtype=self.dtype)
