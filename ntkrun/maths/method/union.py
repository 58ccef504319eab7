"""Features of several methods side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from inspect import signature
from typing import Any

import torch
from sklearn.base import clone
from torch import Tensor

from ntkrun import checks
from ntkrun.errors import ConfigError, DataError, must_be
from ntkrun.maths.method import METHODS
from ntkrun.maths.method.base import DTYPES
from ntkrun.maths.method.features import FeatureMethod, spread
from ntkrun.maths.rng import HIGHEST, Stream

# rows of the sample that the scale of a part is measured on
SCALED = 512
# arguments of the union that every part which knows them gets
SHARED = ("image_shape", "layout", "random_state", "device", "dtype")
PARTS: dict[str, dict[str, Any]] = {
    "ckn": {"filters": 128},
    "random_patches": {
        "filter_size": 3,
        "threshold": 0.1,
        "whiten": 0.1,
        "cells": 2,
        "overlap": True,
        "mirror": True,
    },
}


@dataclass(eq=False, repr=False)
class MethodUnion(FeatureMethod):
    """Features of several methods side by side; the kernel is the weighted sum of theirs.

    Methods that err on different images do better together than the best of them with as many columns. Each
    part is scaled so that its features vary as much as those of the others, then multiplied by its weight.

    Parameters
    ----------
    n_components : int
        Columns of the features (`feature_dim` of a run).
    parts : dict of str to dict, or None
        The parameters of each part, by the name of its method. A part that is called something else names
        its method by `method`. Two more keys are allowed: `n_components`, without which a part gets an equal
        share of the columns that are left, and `weight`, 1 by default. None takes `ckn` and `random_patches`.
    image_shape : (int, int, int) or None
        Height, width and channels of images given as rows (n, d).
    layout : {"channels_last", "channels_first"} or None
        Axis order of images and of `image_shape`: (H, W, C) or torch's (C, H, W).
    random_state : int, None or RandomState
        Seed of all parts.
    device : str
        "cpu", "cuda", "cuda:N" or "auto".
    dtype : {"float32", "float64"}
        Precision of the features.
    """

    name = "union"

    n_components: int = 2048
    _: KW_ONLY
    parts: dict[str, Any] | None = None
    image_shape: Sequence[int] | None = None
    layout: str | None = None
    random_state: Any = 0
    device: str = "cpu"
    dtype: str = "float32"

    @property
    def _given(self) -> dict[str, Any]:
        return PARTS if self.parts is None else self.parts

    def problems(self) -> list[str]:
        """Return one sentence per wrong parameter, those of the parts included."""
        out = super().problems()
        return out or self._problems_of_parts()

    def _problems_of_parts(self) -> list[str]:
        me, out = type(self).__name__, []
        if not isinstance(self._given, dict) or not self._given:
            return [must_be("parts", me, "a mapping of at least one method", self.parts, "See method=union.")]
        for key, given in self._given.items():
            if not isinstance(given, dict):
                out.append(must_be(f"parts.{key}", me, "a group of keys, {} for defaults", given))
                continue
            name = self._name(key)
            try:
                cls: type = METHODS.get(name)
            except ConfigError:
                cls = object
            if not issubclass(cls, FeatureMethod) or cls is MethodUnion:
                out.append(must_be(f"parts.{key}", me, "the name of a method with features", name))
                continue
            known = set(signature(cls).parameters) | {"method", "weight"}
            for word in sorted(set(given) - known | set(given) & set(SHARED)):
                remedy = f"It knows {', '.join(sorted(known - set(SHARED)))}."
                out.append(must_be(f"parts.{key}", me, "parameters of its method", word, remedy))
            out += [f"parts.{key}.{said}" for said in checks.types(cls, self._arguments(key))]
            out += checks.real(me, f"parts.{key}.weight", self._weight(key), 0)
            if "n_components" in given:
                columns = given["n_components"]
                out += checks.integer(me, f"parts.{key}.n_components", columns, 1, 1 << 24)
        if out:
            return out
        try:
            columns = self._columns()
        except ConfigError as error:
            return [str(error)]
        parts = self._given
        return [f"parts.{key}.{said}" for key in parts for said in self._part(key, columns[key]).problems()]

    def _columns(self) -> dict[str, int]:
        """Return the columns of each part; ConfigError if they cannot add up to n_components."""
        fixed = {k: int(given.get("n_components", 0)) for k, given in self._given.items()}
        equal = self._equal()
        rest = self.drawn - sum(fixed.values())
        if rest < len(equal) or (rest and not equal and any(fixed.values())):
            least = sum(fixed.values()) + len(equal)
            need = f">= {least}" if equal else f"{least}, the sum of its parts"
            raise ConfigError(must_be("n_components (feature_dim)", type(self).__name__, need, self._asked))
        return fixed | {k: rest // len(equal) + (i < rest % len(equal)) for i, k in enumerate(equal)}

    def _equal(self) -> list[str]:
        """Return the parts that share the columns which are left."""
        return [k for k, given in self._given.items() if "n_components" not in given and self._sized(k)]

    def _name(self, key: str) -> str:
        return str(self._given[key].get("method", key))

    def _weight(self, key: str) -> Any:
        return self._given[key].get("weight", 1.0)

    def _arguments(self, key: str) -> dict[str, Any]:
        """Return the keys of a part that are arguments of its method."""
        return {k: v for k, v in self._given[key].items() if k not in ("method", "weight")}

    def _class(self, key: str) -> type[FeatureMethod]:
        return METHODS.get(self._name(key))

    def _sized(self, key: str) -> bool:
        return "n_components" in signature(self._class(key)).parameters

    def _part(self, key: str, columns: int) -> FeatureMethod:
        cls = self._class(key)
        known = signature(cls).parameters
        size = {"n_components": columns} if self._sized(key) else {}
        return cls(
            **self._arguments(key) | size | {name: getattr(self, name) for name in SHARED if name in known}
        )

    def _made(self) -> dict[str, FeatureMethod]:
        return {key: self._part(key, columns) for key, columns in self._columns().items()}

    def code(self) -> str:
        """Return class and version, also of the parts."""
        return ", ".join([super().code(), *(part.code() for part in self._made().values())])

    def identity(self) -> dict[str, Any]:
        """Return what determines the numbers: the versions of the parts too, and their weights."""
        out = {k: v for k, v in super().identity().items() if (k, v) != ("layout", "channels_last")}
        parts = {key: part.identity() for key, part in self._made().items()}
        return out | {"parts": parts, "weights": {key: self._weight(key) for key in parts}}

    def for_data(self, shape: Sequence[int]) -> MethodUnion:
        """Return the method for rows of shape `shape` from a data set; images are channels-last."""
        found = {getattr(part.for_data(shape), "layout", None) for part in self._made().values()} - {None}
        return clone(self).set_params(layout=found.pop()) if found - {self.layout} else self

    def check_shape(self, shape: Sequence[int]) -> None:
        """Raise DataError unless every part fits rows of this shape."""
        for part in self._made().values():
            part.check_shape(part.shape_of(shape))

    def columns_for(self, shape: Sequence[int]) -> int:
        """Return the number of columns of the features of rows shaped `shape`, before fit."""
        if self._asked < self.fewest:
            return self._asked
        return sum(part.columns_for(shape) for part in self._made().values())

    @property
    def fewest(self) -> int:
        """Minimum columns drawn: one for each part without `n_components`."""
        return max(1, len(self._equal()))

    @property
    def sample_rows(self) -> int:
        """Rows that `fit` uses."""
        return max(SCALED, *(part.sample_rows for part in self._made().values()))

    def fitted(self) -> list[Tensor]:
        """Return what the parts took from the inputs, and their scales."""
        return [t for part in self._methods for t in part.fitted()] + [self._scales]

    def _draw(self, X: Any) -> None:
        made, stream = self._made(), Stream(self.seed_).child("union")
        for key, part in made.items():
            if "random_state" in part.get_params():
                seed = torch.randint(HIGHEST, (1,), generator=stream.child(key).generator())
                part.set_params(random_state=int(seed))
        self._methods = [part.fit(X) for part in made.values()]
        rows = X[spread(X.shape[0], SCALED)]
        scales = []
        for key, part in zip(made, self._methods, strict=True):
            z = torch.as_tensor(part.transform(rows)).double()
            variance = (z - z.mean(0)).square().sum(1).mean()
            # one row, or equal rows, have no variance
            variance = variance if variance > 0 else z.square().sum(1).mean()
            if not variance > 0:
                raise DataError(must_be("X", type(self).__name__, f"other than 0 for {key}", "only zeros"))
            scales.append(float(self._weight(key)) / variance.sqrt())
        self._scales = torch.stack(scales).to(DTYPES[self.dtype])

    def _features(self, batch: Tensor) -> Tensor:
        z = [part._transform(part._shaped(batch)) for part in self._methods]
        return torch.cat([a * float(s) for a, s in zip(z, self._scales, strict=True)], 1)

    def kernel(self, X: Any, Y: Any = None) -> Any:
        """Return the weighted sum (n, m) of the kernels of the parts."""
        grams = [part.kernel(X, Y) for part in self._methods]
        return sum(float(s) ** 2 * gram for s, gram in zip(self._scales, grams, strict=True))

    def fit_bytes(self, rows: int, shape: Sequence[int]) -> int:
        """Return the bytes of a fit to `rows` rows shaped `shape`, the rows included."""
        parts = self._made().values()
        return max(part.fit_bytes(rows, shape) + 32 * SCALED * part.columns_for(shape) for part in parts)

    def bytes_per_row(self, shape: Sequence[int]) -> int:
        """Return the bytes that one row of a batch needs during transform."""
        parts, size = self._made().values(), torch.finfo(DTYPES[self.dtype]).bits // 8
        return max(part.bytes_per_row(shape) for part in parts) + 2 * size * self.columns_for(shape)
