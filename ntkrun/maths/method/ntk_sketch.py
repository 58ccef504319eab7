"""Polynomial sketch of the NTK (MATH: section 4)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ntkrun import checks
from ntkrun.errors import must_be
from ntkrun.maths.kernel.rows import ntk_polynomial, unit
from ntkrun.maths.method.base import DTYPES, torch_device
from ntkrun.maths.method.exact_ntk import ExactNTK
from ntkrun.maths.method.features import FeatureMethod
from ntkrun.maths.method.rows import RowMethod
from ntkrun.maths.network.sketched.head import TangentHead
from ntkrun.maths.network.sketched.pair import Pair
from ntkrun.maths.network.sketched.relu import draw_relus
from ntkrun.maths.rng import Stream
from ntkrun.maths.sketch.poly_sketch import PolySketch


class NTKSketch(RowMethod, FeatureMethod):
    """Features of the fully connected ReLU NTK from sketched polynomials; oblivious.

    Zandieh et al. 2021, algorithm 1 (theorem 1), with constants kept exact (docs/cntk_sketch.md).

    Parameters
    ----------
    n_components : int
        Columns (`feature_dim` of a run).
    depth : int
        ReLU layers L >= 1.
    degree : int
        Degree of the polynomials, >= 2: of kappa0 and kappa1 in each layer ("layerwise"), or of the one
        that stands for the whole kernel ("one_shot").
    variant : {"layerwise", "one_shot"}
    coefficients : {"fitted", "taylor"}
        For "layerwise"; "one_shot" is always fitted.
    sketch_dim : int or None
        Sketched coordinates inside; None takes n_components / (2 degree + 4), within [32, 512].
    random_state : int, None or RandomState
    device, dtype : str
    """

    name = "ntk_sketch"

    def __init__(
        self,
        n_components: int = 1024,
        *,
        depth: int = 3,
        degree: int = 2,
        variant: str = "layerwise",
        coefficients: str = "fitted",
        sketch_dim: int | None = None,
        random_state: Any = 0,
        device: str = "cpu",
        dtype: str = "float32",
    ):
        self.n_components = n_components
        self.depth = depth
        self.degree = degree
        self.variant = variant
        self.coefficients = coefficients
        self.sketch_dim = sketch_dim
        self.random_state = random_state
        self.device = device
        self.dtype = dtype

    def problems(self) -> list[str]:
        """Return one sentence for every wrong parameter."""
        me = type(self).__name__
        out = super().problems()
        out += checks.integer(me, "degree", self.degree, 2, 64)
        out += checks.choice(me, "variant", self.variant, ("layerwise", "one_shot"))
        out += checks.choice(me, "coefficients", self.coefficients, ("fitted", "taylor"))
        if self.sketch_dim is not None:
            out += checks.integer(me, "sketch_dim", self.sketch_dim, 16, 1 << 14)
        if not out and self._dim() < self.degree + 1:
            out.append(must_be("sketch_dim", me, f">= degree + 1 = {self.degree + 1}", self._dim()))
        return out

    def _dim(self) -> int:
        # half of the columns for the head's exact coordinates, (degree + 2) of this size
        return self.sketch_dim or min(512, max(32, self.drawn // (2 * (self.degree + 2)) - 1))

    def _draw(self, X: Any) -> None:
        dtype, device = DTYPES[self.dtype], torch_device(self.device)
        stream = Stream(self.seed_).child("ntk_sketch").child(self.variant)
        if self.variant == "one_shot":
            self._draw_one_shot(stream, dtype, device)
            return
        dim = self._dim()
        self._leaf = stream.child("leaf").orthonormal(self.width, dim, dtype=dtype).to(device)
        relus = draw_relus(self.coefficients, self.degree, self.depth, dim, 0.0, stream, dtype)
        self._relus = [relu.to(device) for relu in relus]
        head = TangentHead(dim, self.degree, self.drawn, True, stream.child("head"), dtype, False)
        self._head = head.to(device)

    def _draw_one_shot(self, stream: Stream, dtype: torch.dtype, device: torch.device) -> None:
        c = ntk_polynomial(self.depth, self.degree)
        self._roots = torch.from_numpy(c**0.5).to(device=device, dtype=dtype)
        # the constant is one column; x itself is exact where it takes at most half the rest
        self._linear = min(self.width, (self.drawn - 1) // 2)
        powers = self.degree - 1
        share = (self.drawn - 1 - self._linear) // powers
        self._spare = self.drawn - 1 - self._linear - share * powers
        self._leaf = stream.child("leaf").orthonormal(self.width, share, dtype=dtype).to(device)
        self._first = stream.child("linear").orthonormal(self.width, self._linear, dtype=dtype).to(device)
        self._sketch = PolySketch(self.degree, share, stream.child("powers"), dtype).to(device)

    def _features(self, batch: Tensor) -> Tensor:
        x = batch.flatten(1)
        norm = x.norm(dim=1)
        u = unit(x)
        if self.variant == "one_shot":
            z = self._sketch(u @ self._leaf)
            columns = [self._roots[0].expand(len(u), 1), self._roots[1] * (u @ self._first)]
            columns += [self._roots[k] * z[k - 1] for k in range(2, self.degree + 1)]
            out = torch.cat([*columns, u.new_zeros(len(u), self._spare)], 1)
            return out.mul_(norm[:, None])
        phi, zero = u @ self._leaf, torch.zeros_like(norm)
        pair = Pair(norm.square(), zero, phi, zero, phi)
        for relu in self._relus[:-1]:
            pair = relu.features(pair)
            # rows of phi have length 1 exactly; a sketched length would drift from layer to layer
            want = (1 - pair.alpha.square()).clamp(min=0).sqrt()
            pair.phi = unit(pair.phi) * want[:, None]
        last = self._relus[-1]
        constants, dot = last.last(pair)
        return self._head(pair, constants, dot, last.last_phi(pair), norm)

    def reference(self) -> ExactNTK:
        """Return the exact kernel that the features approximate."""
        return ExactNTK(depth=self.depth, device=self.device, dtype=self.dtype)
