"""Check a user's arrays and bring images to channels last."""

from __future__ import annotations

from typing import Any

import numpy as np

from ntkrun.datasets.rows import Rows, arranged, blocks, cast, largest
from ntkrun.errors import DataError, must_be
from ntkrun.maths.layout import image_shape

LARGEST = 1e150
# label types that stay as they are: their bytes are part of data hashes and shards
LABELS = ("int8", "int16", "int32", "int64", "uint8")


def checked(name: str, role: str, x: Rows, y: np.ndarray) -> tuple[Any, np.ndarray]:
    """Return inputs (n, d), (n, H, W) or four-dimensional and labels (n,), finite, in types torch supports.

    The inputs are walked over once.

    Raises DataError for other shapes and types, non-finite numbers, and inputs above LARGEST.
    """
    if x.dtype.kind not in "uif" or y.dtype.kind not in "buif":
        raise DataError(must_be(f"{role} arrays", name, "of a real number type", f"{x.dtype}, {y.dtype}"))
    if x.ndim not in (2, 3, 4):
        raise DataError(must_be(f"x_{role}", name, "rows (n, d) or images (n, H, W, C)", x.shape))
    if y.ndim not in (1, 2) or x.shape[0] != len(y):
        raise DataError(must_be(f"y_{role}", name, f"one label for each of {x.shape[0]} rows", y.shape))
    if min(x.shape) == 0:
        raise DataError(must_be(f"x_{role}", name, "not empty", x.shape))
    x, y = finite(f"x_{role}", name, x, LARGEST), finite(f"y_{role}", name, y)
    return x, y


def finite(parameter: str, owner: str, x: Any, most: float = np.inf) -> Any:
    """Return numbers (n, ...), in memory or not, with longer floats as float64.

    Raises DataError for nan and infinity, and for entries above `most` in size.
    """
    if x.dtype.kind != "f":
        return x
    if x.dtype.itemsize > 8:
        x = cast(x, np.float64)
    start, size, row = 0, 0.0, 0
    for block in blocks(x):
        sizes = largest(block)
        # the largest entry of a row is finite only if all are
        if not np.isfinite(sizes).all():
            bad = start + int(np.flatnonzero(~np.isfinite(sizes))[0])
            raise DataError(
                must_be(parameter, owner, f"finite (row {bad} is not)", "nan or inf", "Clean the rows.")
            )
        if sizes.max() > size:
            size, row = float(sizes.max()), start + int(sizes.argmax())
        start += len(sizes)
    if size > most:
        constraint = f"at most {most:g} in size (row {row} is not): its square overflows"
        raise DataError(must_be(parameter, owner, constraint, size, "Scale it."))
    return x


def working_layout(name: str, role: str, x: Rows, layout: str | None) -> Any:
    """Return rows unchanged and images with channels last, (n, H, W, C), contiguous if converted.

    Raises DataError for rows with layout "channels_first" and for images of unclear layout if it is None.
    """
    if x.ndim == 2:
        if layout == "channels_first":
            remedy = f"Reshape x_{role} to images (n, C, H, W)."
            raise DataError(must_be("layout", name, "null for rows (n, d)", layout, remedy))
        return x
    image_shape(x.shape[1:], layout, name, f"x_{role}", "dataset.layout")
    return arranged(x, layout)


def labels_of(name: str, role: str, y: np.ndarray, classes: int) -> np.ndarray:
    """Return labels (n,) in 0..classes-1, of a type that torch can count with; DataError for others."""
    if y.dtype.kind == "f" and not np.array_equal(y, np.round(y)):
        raise DataError(must_be(f"y_{role}", name, "integers for classification", y.dtype.name))
    bad = np.flatnonzero((y < 0) | (y >= classes))
    if len(bad):
        constraint = f"in 0..{classes - 1} (row {bad[0]} is not)"
        raise DataError(must_be(f"y_{role}", name, constraint, int(y[bad[0]]), "Check the labels."))
    return y if y.dtype.name in LABELS else y.astype(np.int64)
