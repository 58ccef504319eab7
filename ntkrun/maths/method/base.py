"""What every method has in common: scikit-learn's three verbs, batches, devices, shape checks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator, TransformerMixin
from torch import Tensor

from ntkrun import checks
from ntkrun.errors import ConfigError, DataError, MachineError, must_be
from ntkrun.maths.layer import network

# Working set of one batch. Large enough for full matrix products, small enough for the last-level cache:
# measured on 32x32 images, 4 to 8 images of it are fastest and 16 are 10 % slower.
BATCH_BYTES = 48 << 20
DTYPES = {"float32": torch.float32, "float64": torch.float64}


class Method(TransformerMixin, BaseEstimator):
    """Base of all methods: a constructor that stores, `fit` that draws, `transform` that is pure.

    A subclass sets `kind` ("features" or "kernel"), bumps `version` whenever its numbers change (it is
    part of the cache key) and implements `problems`, `_draw`, `_features`, `kernel` and `bytes_per_row`.
    """

    kind = "features"
    version = 1

    # The device does not enter the features' identity: it does not change what is drawn.
    device: str = "cpu"
    dtype: str = "float32"

    def problems(self) -> list[str]:
        """Return one sentence for every parameter that is wrong, without looking at data."""
        return checks.choice(type(self).__name__, "dtype", self.dtype, list(DTYPES))

    def check(self) -> None:
        """Raise ConfigError with all problems."""
        if found := self.problems():
            raise ConfigError(" ".join(found))

    def identity(self) -> dict[str, Any]:
        """Return what determines the numbers: class, version and parameters but for the device."""
        parameters = {k: v for k, v in self.get_params(deep=False).items() if k != "device"}
        return {"method": type(self).__name__, "version": self.version, **parameters}

    def fitted(self) -> list[Tensor]:
        """Return the tensors that `fit` took from the inputs, so that features of two fits never mix."""
        return []

    def fit(self, X: Any, y: Any = None) -> Method:
        """Draw all randomness for data shaped like X; labels are never used.

        Raises ConfigError for a bad parameter and DataError for a shape that does not fit.
        """
        self.check()
        x = self._tensor(X[:1] if isinstance(X, Tensor | np.ndarray) else X)
        self.input_shape_ = tuple(x.shape[1:])
        self._draw(X)
        return self

    def transform(self, X: Any) -> Any:
        """Return the features (n, feature_dim) of X; a tensor in gives a tensor out, else an array."""
        if not hasattr(self, "input_shape_"):
            raise ConfigError(f"{type(self).__name__} is not fitted. Call fit before transform.")
        rows = max(1, BATCH_BYTES // max(1, self.bytes_per_row(self.input_shape_)))
        parts = []
        with torch.inference_mode():
            for start in range(0, len(X), rows):
                batch = self._tensor(X[start : start + rows])
                if tuple(batch.shape[1:]) != self.input_shape_:
                    raise DataError(
                        must_be(
                            "X", type(self).__name__, f"of shape (n, {self.input_shape_})", tuple(batch.shape)
                        )
                    )
                parts.append(self._features(batch))
        out = torch.cat(parts)
        return out if isinstance(X, Tensor) else out.cpu().numpy()

    @property
    def sample_rows(self) -> int:
        """Rows that `fit` wants to see: one for its shape, more where the method adapts to the inputs."""
        return 1

    @property
    def columns(self) -> int:
        """Columns of the features, after fit."""
        return int(getattr(self, "n_components", 0)) or int(np.prod(self.input_shape_))

    def reference(self) -> Method | None:
        """Return the exact kernel method that this one approximates; None if there is none."""
        return None

    def kernel(self, X: Any, Y: Any = None) -> Any:
        """Return the exact kernel (n, m) that the method aims at; symmetric and cheaper for Y None."""
        reference = self.reference()
        if reference is None:
            raise NotImplementedError(f"{type(self).__name__} has no exact kernel")
        return reference.kernel(X, Y)

    def pairs(self, X: Any, Y: Any, ix: np.ndarray, iy: np.ndarray) -> Tensor:
        """Return single kernel entries k(X[ix[p]], Y[iy[p]]); kernel methods only."""
        raise NotImplementedError

    def bytes_per_row(self, shape: Sequence[int]) -> int:
        """Return the memory that one row of a batch needs while it is transformed."""
        raise NotImplementedError

    def _draw(self, X: Any) -> None:
        raise NotImplementedError

    def _features(self, batch: Tensor) -> Tensor:
        raise NotImplementedError

    def _tensor(self, x: Any) -> Tensor:
        """Return x as a tensor of this method's dtype on its device, refusing what is not a number."""
        try:
            tensor = torch.as_tensor(np.ascontiguousarray(x) if isinstance(x, np.ndarray) else x)
        except (TypeError, ValueError, RuntimeError) as error:
            raise DataError(must_be("X", type(self).__name__, "numeric", type(x).__name__)) from error
        tensor = tensor.to(device=torch_device(self.device), dtype=DTYPES[self.dtype])
        if not torch.isfinite(tensor).all():
            raise DataError(must_be("X", type(self).__name__, "finite", "nan or inf", "Clean the rows."))
        return tensor


class RowMethod(Method):
    """A method for rows (n, d); images are taken as rows of their pixels."""

    depth: int
    n_components: int
    random_state: int

    def problems(self) -> list[str]:
        """Check those of depth, n_components and random_state that the method has."""
        me, has = type(self).__name__, self.get_params(deep=False)
        out = super().problems()
        if "depth" in has:
            out += checks.integer(me, "depth", self.depth, 1, 100)
        if "n_components" in has:
            out += checks.integer(me, "n_components (feature_dim)", self.n_components, 16, 1 << 24)
        if "random_state" in has:
            out += checks.integer(me, "random_state (seed)", self.random_state, 0, 2**63 - 1)
        return out

    @property
    def width(self) -> int:
        """Entries of a row, after fit."""
        return int(np.prod(self.input_shape_))

    def bytes_per_row(self, shape: Sequence[int]) -> int:
        """Return the bytes of a row, its features and a few layers of the same size."""
        size = torch.finfo(DTYPES[self.dtype]).bits // 8
        return size * (2 * int(np.prod(shape)) + 8 * int(getattr(self, "n_components", 0)))

    def pairs(self, X: Any, Y: Any, ix: np.ndarray, iy: np.ndarray) -> Tensor:
        """Return single kernel entries by the block that holds them: rows are cheap."""
        block = torch.as_tensor(self.kernel(X, Y))
        return block[torch.from_numpy(ix), torch.from_numpy(iy)]

    def flat(self, x: Any) -> Tensor:
        """Return x as rows (n, d) of this method's dtype on its device."""
        return self._tensor(x).flatten(1)

    def _gram(self, function: Any, X: Any, Y: Any) -> Any:
        x = self.flat(X)
        out = function(x, x if Y is None else self.flat(Y))
        return out if isinstance(X, Tensor) else out.cpu().numpy()


class ImageMethod(Method):
    """A method for images (n, H, W, C)."""

    filter_size: int
    depth: int
    padding: str
    trained: str
    layers: Sequence[str] | None = None
    activation: str = "relu"
    sharpness: float = 1.0
    cells: int = 1
    # what `trained` may be
    choices: tuple[str, ...] = ("inner", "all")

    def words(self) -> list[str]:
        """Return the layers: conv, act and pool, by default `depth` times conv and act."""
        return ["conv", "act"] * self.depth if self.layers is None else list(self.layers)

    def problems(self) -> list[str]:
        """Check what all convolutional kernels share."""
        me = type(self).__name__
        out = super().problems()
        out += checks.integer(me, "depth", self.depth, 1, 100)
        out += checks.odd(me, "filter_size", self.filter_size)
        out += checks.choice(me, "trained", self.trained, self.choices)
        out += checks.choice(me, "padding", self.padding, ("same", "valid"))
        out += checks.choice(me, "activation", self.activation, ("relu", "gauss"))
        out += checks.real(me, "sharpness", self.sharpness, 0)
        out += checks.integer(me, "cells", self.cells, 1, 1 << 10)
        if self.layers is not None:
            out += network.problems(me, self.layers)
        if not out and self.trained == "inner" and self.words().count("conv") == 1:
            out.append(
                must_be("depth", me, ">= 2 for trained=inner", 1, "Nothing is trained; use trained=all.")
            )
        return out

    def check_shape(self, shape: Sequence[int]) -> None:
        """Raise DataError unless rows shaped `shape` are images that the filters fit into."""
        me = type(self).__name__
        check_images(me, shape)
        need = network.smallest_side(self.words(), self.filter_size, self.padding == "same")
        if min(shape[:2]) < need:
            raise DataError(
                must_be(
                    "X",
                    me,
                    f"at least {need} x {need} pixels for padding={self.padding}",
                    f"{shape[0]} x {shape[1]}",
                    "Use fewer layers, smaller filters or padding=same.",
                )
            )
        same = self.padding == "same"
        left = [network.side_at_end(self.words(), self.filter_size, same, side) for side in shape[:2]]
        if any(side % self.cells for side in left):
            got = f"{self.cells} for {left[0]} x {left[1]}"
            raise DataError(must_be("cells", me, "a divisor of the sides behind the last layer", got))


def check_images(owner: str, shape: Sequence[int]) -> None:
    """Raise DataError unless rows shaped `shape` are images."""
    if len(shape) != 3 or min(shape) < 1:
        got = f"rows of shape {tuple(shape)}"
        raise DataError(must_be("X", owner, "images (n, H, W, C)", got, "Use an image data set."))


def torch_device(name: str) -> torch.device:
    """Return the device, or raise MachineError where this machine does not have it."""
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConfigError(must_be("device", "ntkrun", "cpu, cuda or cuda:N", name)) from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise MachineError(must_be("device", "ntkrun", "one this machine has", name, "Use device=cpu."))
    return device
