"""Check a user's arrays and bring images to channels last."""

from __future__ import annotations

from typing import Any

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
    if y.ndim != 1 or len(x) != len(y):
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
        remedy = renumbering(y) if y.min() else "Check the labels."
        raise DataError(must_be(f"y_{role}", name, constraint, int(y[bad[0]]), remedy))
    return y if y.dtype.name in LABELS else y.astype(np.int64)


def classes_of(y: np.ndarray, parameter: str, owner: str, remedy: str = "") -> int:
    """Return the number k of classes of labels 0..k-1, at least 2; DataError if a label is absent.

    Labels that are not whole numbers >= 0 give 2: `labels_of` refuses them.
    """
    with np.errstate(over="ignore"):
        labels = np.unique(y.astype(np.float64) if y.dtype.kind == "f" else y)
    if labels.dtype.kind not in "uif" or not np.isfinite(labels).all() or len(labels) < 2:
        return 2
    if labels[0] < 0 or not (labels == np.round(labels)).all():
        return 2
    top = int(labels[-1])
    if top >= len(labels):
        # without a list of all numbers up to `top`, which may be 2^63
        absent = int(np.argmax(labels != np.arange(len(labels))))
        constraint, got = (
            f"labels with all of 0..{top:g} ({absent} is absent)",
            f"{len(labels)} labels up to {top:g}",
        )
        raise DataError(must_be(parameter, owner, constraint, got, f"{renumbering(labels)} {remedy}"))
    return top + 1


def renumbering(y: np.ndarray) -> str:
    """Return the remedy for whole labels y that are not 0..k-1."""
    labels: list[Any] = np.unique(y).tolist()
    first, last = int(labels[0]), int(labels[-1])
    if labels == [-1, 1]:
        return "Write 0 for -1."
    if first and last - first + 1 == len(labels):
        return f"Subtract {first} from every label." if first > 0 else f"Add {-first} to every label."
    return f"Number the classes 0..{len(labels) - 1}."
