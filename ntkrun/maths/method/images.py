"""What the methods for images have in common: the network, its shapes, and rows cut into images."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor

from ntkrun import checks
from ntkrun.errors import DataError, must_be
from ntkrun.maths.layer import network
from ntkrun.maths.method.base import Method


class ImageMethod(Method):
    """A method for images (n, H, W, C), or rows that are cut into them."""

    image_shape: Sequence[int] | None

    def problems(self) -> list[str]:
        """Check the shape."""
        out = super().problems()
        if self.image_shape is not None:
            me, got = type(self).__name__, self.image_shape
            ok = isinstance(got, Sequence) and len(got) == 3
            if not ok or any(checks.integer(me, "", side, 1) for side in got):
                out.append(must_be("image_shape", me, "null or three integers: height, width, channels", got))
        return out

    def _shaped(self, rows: Tensor) -> Tensor:
        return rows.reshape(len(rows), *self.shape_of(rows.shape[1:]))

    def shape_of(self, shape: Sequence[int]) -> tuple[int, ...]:
        """Return `image_shape` for rows (d,), by default that of signals (1, d, 1)."""
        if len(shape) != 1:
            return tuple(shape)
        image = tuple(self.image_shape or (1, shape[0], 1))
        if math.prod(image) != shape[0]:
            need = f"rows of {math.prod(image)} numbers for image_shape={image}"
            raise DataError(must_be("X", type(self).__name__, need, f"rows of {shape[0]}"))
        return image


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
    # what `trained` may be
    choices: tuple[str, ...] = ("inner", "all")

    def words(self) -> list[str]:
        """Return the layers: conv, act and pool, by default `depth` times conv and act."""
        return ["conv", "act"] * self.depth if self.layers is None else list(self.layers)

    def problems(self) -> list[str]:
        """Check what all convolutional kernels share."""
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
                    "Use fewer layers, smaller filters or padding='same'.",
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
        raise DataError(
            must_be("X", owner, "images (n, H, W, C)", got, "Use an image data set, or image_shape.")
        )
