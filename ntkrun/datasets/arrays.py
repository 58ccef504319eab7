"""Check a user's arrays and bring images to channels last."""

from __future__ import annotations

import numpy as np

from ntkrun.errors import DataError, must_be
from ntkrun.maths.layout import channels_last, image_shape

LARGEST = 1e150
# label types that stay as they are: their bytes are part of data hashes and shards
LABELS = ("int8", "int16", "int32", "int64", "uint8")


def checked(name: str, role: str, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return inputs (n, d), (n, H, W) or four-dimensional and labels (n,), finite, in types torch supports.

    Raises DataError for other shapes and types, non-finite numbers, and inputs above LARGEST.
    """
    if x.dtype.kind not in "uif" or y.dtype.kind not in "buif":
        raise DataError(must_be(f"{role} arrays", name, "of a real number type", f"{x.dtype}, {y.dtype}"))
    if x.ndim not in (2, 3, 4):
        raise DataError(must_be(f"x_{role}", name, "rows (n, d) or images (n, H, W, C)", x.shape))
    if y.ndim not in (1, 2) or len(x) != len(y):
        raise DataError(must_be(f"y_{role}", name, f"one label for each of {len(x)} rows", y.shape))
    if min(x.shape) == 0:
        raise DataError(must_be(f"x_{role}", name, "not empty", x.shape))
    x, y = finite(f"x_{role}", name, x), finite(f"y_{role}", name, y)
    if x.dtype.kind == "f" and float(np.abs(x).max()) > LARGEST:
        row = int(np.abs(x).reshape(len(x), -1).max(1).argmax())
        constraint = f"at most {LARGEST:g} in size (row {row} is not): its square overflows"
        raise DataError(must_be(f"x_{role}", name, constraint, float(np.abs(x).max()), "Scale it."))
    return x, y


def finite(parameter: str, owner: str, array: np.ndarray) -> np.ndarray:
    """Return the array, with longer floats as float64; DataError for nan and infinity."""
    if array.dtype.kind != "f":
        return array
    with np.errstate(over="ignore"):  # values too large for float64 are refused below
        array = array.astype(np.float64) if array.dtype.itemsize > 8 else array
    if not np.isfinite(array).all():
        row = int(np.argwhere(~np.isfinite(array))[0][0])
        constraint = f"finite (row {row} is not)"
        raise DataError(must_be(parameter, owner, constraint, "nan or inf", "Clean the rows."))
    return array


def working_layout(name: str, role: str, x: np.ndarray, layout: str | None) -> np.ndarray:
    """Return rows unchanged and images with channels last, (n, H, W, C), contiguous if converted.

    Raises DataError for rows with layout "channels_first" and for images of unclear layout if it is None.
    """
    if x.ndim == 2:
        if layout == "channels_first":
            remedy = f"Reshape x_{role} to images (n, C, H, W)."
            raise DataError(must_be("layout", name, "null for rows (n, d)", layout, remedy))
        return x
    image_shape(x.shape[1:], layout, name, f"x_{role}", "dataset.layout")
    if x.ndim == 4 and layout != "channels_first":
        return x
    return np.ascontiguousarray(channels_last(x, layout))


def labels_of(name: str, role: str, y: np.ndarray, classes: int) -> np.ndarray:
    """Return labels (n,) in 0..classes-1, of a type that torch can count with; DataError for others."""
    if y.dtype.kind == "f" and not np.array_equal(y, np.round(y)):
        raise DataError(must_be(f"y_{role}", name, "integers for classification", y.dtype.name))
    bad = np.flatnonzero((y < 0) | (y >= classes))
    if len(bad):
        constraint = f"in 0..{classes - 1} (row {bad[0]} is not)"
        raise DataError(must_be(f"y_{role}", name, constraint, int(y[bad[0]]), "Check the labels."))
    return y if y.dtype.name in LABELS else y.astype(np.int64)
