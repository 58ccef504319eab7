"""Methods for images: shapes, layouts, and the layers of a network."""

from __future__ import annotations

import math
from collections.abc import Sequence
from inspect import signature
from typing import Any

import torch
from sklearn.base import clone
from torch import Tensor

from ntkrun import checks
from ntkrun.errors import DataError, must_be
from ntkrun.maths import layout as layouts
from ntkrun.maths.method import METHODS
from ntkrun.maths.method.base import Method
from ntkrun.maths.network import layers as network


def of_rows() -> list[str]:
    """Return the names of the methods that take rows as they are."""
    names = METHODS.names
    return [name for name in names if "image_shape" not in signature(METHODS.get(name)).parameters]


class ImageMethod(Method):
    """A method for images (n, H, W, C), or for rows that are cut into images.

    From `_tensor` on, images are channels-last whatever the layout.
    """

    image_shape: Sequence[int] | None
    layout: str | None

    def problems(self) -> list[str]:
        """Check the shape and the layout."""
        out = super().problems()
        if self.layout is not None:
            out += checks.choice(type(self).__name__, "layout", self.layout, layouts.LAYOUTS)
        if self.image_shape is not None:
            me, got = type(self).__name__, self.image_shape
            ok = isinstance(got, Sequence) and len(got) == 3
            if not ok or any(checks.integer(me, "", side, 1) for side in got):
                out.append(must_be("image_shape", me, "null or three integers: height, width, channels", got))
            elif self.layout is None and layouts.channels_seem_first(got):
                remedy = layouts.both_ways(got[0], "layout")
                out.append(must_be("image_shape", me, "height, width, channels", tuple(got), remedy))
        return out

    def identity(self) -> dict[str, Any]:
        """Return what determines the numbers; of the layouts only "channels_first" is part of it."""
        out = super().identity()
        if self.layout != "channels_first":
            del out["layout"]
        return out

    def for_data(self, shape: Sequence[int]) -> ImageMethod:
        """Return the method for images (H, W, C) of a data set, or for rows if it cuts them into images."""
        if len(shape) == 1 and self.image_shape is not None:
            return self
        me = type(self).__name__
        if len(shape) == 1:
            take = f"Take method=auto, or a method of rows: {', '.join(of_rows())}."
            remedy = f"{take} If a row holds pixels, set method.image_shape."
            got = f"rows of {shape[0]} numbers"
            raise DataError(must_be("dataset", me, "images (n, H, W, C)", got, remedy))
        layouts.image_shape(shape, "channels_last", me, "X")
        if self.layout == "channels_last":
            return self
        if self.layout == "channels_first":
            remedy = "Type dataset.layout=channels_first for a file of channels-first images."
            raise DataError(must_be("layout", me, "null for a data set of images", self.layout, remedy))
        return clone(self).set_params(layout="channels_last")

    def _shaped(self, rows: Tensor) -> Tensor:
        shape = self.shape_of(rows.shape[1:])
        signals = rows.ndim == 2 and self.image_shape is None
        if self.layout != "channels_first" or rows.ndim == 3 or signals:
            return rows.reshape(len(rows), *shape)
        last = layouts.channels_last(rows.reshape(len(rows), shape[2], *shape[:2]), self.layout)
        # contiguous, since torch chooses its convolution by the strides, even of an axis of length one
        return last.clone(memory_format=torch.contiguous_format)

    def shape_of(self, shape: Sequence[int]) -> tuple[int, ...]:
        """Return (H, W, C) of images (H, W, C), (C, H, W) or (H, W), or of rows (d,).

        Rows are cut by `image_shape`; without it they are signals (1, d, 1). Raises DataError for a shape
        that does not fit or is ambiguous.
        """
        me = type(self).__name__
        if len(shape) != 1:
            return layouts.image_shape(shape, self.layout, me, "X")
        if self.image_shape is None:
            return (1, shape[0], 1)
        image = tuple(self.image_shape)
        if math.prod(image) != shape[0]:
            need = f"rows of {math.prod(image)} numbers for image_shape={image}"
            raise DataError(must_be("X", me, need, f"rows of {shape[0]}"))
        return layouts.image_shape(image, self.layout, me, "image_shape")


class NetworkMethod(ImageMethod):
    """A method that follows the layers of a convolutional network."""

    filter_size: int
    depth: int
    padding: str
    trained: str
    layers: Sequence[str] | None = None
    activation: str = "relu"
    sharpness: float = 1.0
    cells: int = 1
    # allowed values of `trained`
    choices: tuple[str, ...] = ("inner", "all")

    def words(self) -> list[str]:
        """Return the layers conv, act and pool; by default (conv, act) `depth` times."""
        return ["conv", "act"] * self.depth if self.layers is None else list(self.layers)

    def steps(self, merged: bool = False) -> list[network.Step]:
        """Return the layers; `merged` joins a convolution with the activation directly after it."""
        return network.steps(self.words(), self.filter_size, merged)

    def problems(self) -> list[str]:
        """Check the parameters that all convolutional kernels share."""
        me = type(self).__name__
        out = super().problems()
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
                must_be("depth", me, ">= 2 for trained=inner", 1, "Nothing is trained; use trained='all'.")
            )
        return out

    def check_shape(self, shape: Sequence[int]) -> None:
        """Raise DataError unless filters and cells fit images shaped `shape`, (H, W, C)."""
        me = type(self).__name__
        need = network.smallest_side(self.words(), self.filter_size, self.padding == "same")
        if min(shape[:2]) < need:
            raise DataError(
                must_be(
                    "X",
                    me,
                    f"at least {need} x {need} pixels for padding={self.padding}",
                    f"{shape[0]} x {shape[1]}",
                    "Use fewer layers, smaller filters or padding='same'.",
                )
            )
        same = self.padding == "same"
        left = [network.side_at_end(self.words(), self.filter_size, same, side) for side in shape[:2]]
        if any(side % self.cells for side in left):
            got = f"{self.cells} for {left[0]} x {left[1]}"
            raise DataError(must_be("cells", me, "a divisor of the image sides after the last layer", got))
