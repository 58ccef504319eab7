"""Axis order of images: channels last, as in this package, or first, as in torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from ntkrun.errors import DataError, must_be

LAYOUTS = ("channels_last", "channels_first")
CHANNELS = (1, 3, 4)  # grey, colour, colour with transparency


def image_shape(
    shape: Sequence[int], layout: str | None, owner: str, parameter: str, key: str = "layout"
) -> tuple[int, int, int]:
    """Return (H, W, C) for images whose rows have shape `shape`: (H, W) if grey, else three numbers.

    Raises DataError for any other shape, and for an ambiguous one.

    Parameters
    ----------
    layout : {"channels_last", "channels_first"} or None
        None reads channels last, and rejects a shape that looks channels-first: a colour image read as three
        rows of pixels would give a plausible but wrong number.
    owner, parameter, key : str
        For the message: the class, its parameter that has the shape, and the key to type, such as
        "dataset.layout".
    """
    found = tuple(int(n) for n in shape)
    if len(found) == 2:
        return (*found, 1)
    if len(found) != 3 or min(found) < 1:
        remedy = "Use a method of rows (a run: method=auto), or images, or set image_shape."
        raise DataError(must_be(parameter, owner, "images (n, H, W, C)", f"rows of shape {found}", remedy))
    if layout == "channels_first":
        return (found[1], found[2], found[0])
    if layout is None and channels_seem_first(found):
        remedy = both_ways(found[0], key)
        got = f"shape (n, {', '.join(map(str, found))})"
        raise DataError(must_be(parameter, owner, "images (n, H, W, C)", got, remedy))
    return found


def channels_seem_first(shape: Sequence[int]) -> bool:
    """Return whether three numbers look like (C, H, W)."""
    return shape[0] in CHANNELS and shape[2] not in CHANNELS


def both_ways(number: int, key: str) -> str:
    """Return what to type if `number` counts channels, and if it is the height.

    The key "layout" is typed in Python, so its value is quoted.
    """
    quote = "'" if key == "layout" else ""
    first, last = (f"{key}={quote}{layout}{quote}" for layout in ("channels_first", "channels_last"))
    return f"If {number} is the number of channels: {first}. If it is the height: {last}."


def channels_last(x: Any, layout: str | None) -> Any:
    """Return images x, array or tensor, as a view (n, H, W, C). Their shape has passed `image_shape`."""
    if x.ndim == 3:
        return x[..., None]
    if layout != "channels_first":
        return x
    return x.permute(0, 2, 3, 1) if isinstance(x, Tensor) else x.transpose(0, 2, 3, 1)
