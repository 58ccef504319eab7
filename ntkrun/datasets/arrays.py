"""Arrays as a user has them, checked: inputs with channels last, labels that are the numbers of classes."""

from __future__ import annotations

from typing import Any

import numpy as np

from ntkrun.errors import DataError, must_be
from ntkrun.maths.layout import channels_last, image_shape

LARGEST = 1e150
# labels of these have always gone through torch, and their bytes are in the hashes of data and in shards
LABELS = ("int8", "int16", "int32", "int64", "uint8")


def checked(name: str, role: str, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return inputs (n, d), (n, H, W) or four-dimensional, and labels (n,), both finite in a type of torch.

    Raises DataError for another shape, another type and for numbers that are not finite.
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
        constraint = f"at most {LARGEST:g} in size (row {row} is not), or its square overflows"
        raise DataError(must_be(f"x_{role}", name, constraint, float(np.abs(x).max()), "Scale it."))
    return x, y


def finite(parameter: str, owner: str, array: np.ndarray) -> np.ndarray:
    """Return the array, float64 if its type is longer than torch knows; DataError for nan and infinity."""
    if array.dtype.kind != "f":
        return array
    with np.errstate(over="ignore"):  # what is too large for float64 is refused below
        array = array.astype(np.float64) if array.dtype.itemsize > 8 else array
    if not np.isfinite(array).all():
        row = int(np.argwhere(~np.isfinite(array))[0][0])
        constraint = f"finite (row {row} is not)"
        raise DataError(must_be(parameter, owner, constraint, "nan or inf", "Clean the rows."))
    return array


def working_layout(name: str, role: str, x: np.ndarray, layout: str | None) -> np.ndarray:
    """Return rows as they are, images with channels last, (n, H, W, C), in memory as if they had come so.

    Raises DataError for images that may have channels first, with `layout` null, and for rows said to have.
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
    """Return labels (n,) of 0..classes-1 in a type that torch can count with.

    Raises DataError for fractions and for labels outside.
    """
    if y.dtype.kind == "f" and not np.array_equal(y, np.round(y)):
        raise DataError(must_be(f"y_{role}", name, "integers for classification", y.dtype.name))
    bad = np.flatnonzero((y < 0) | (y >= classes))
    if len(bad):
        constraint = f"in 0..{classes - 1} (row {bad[0]} is not)"
        remedy = renumbering(y) if y.min() else "Check the labels."
        raise DataError(must_be(f"y_{role}", name, constraint, int(y[bad[0]]), remedy))
    return y if y.dtype.name in LABELS else y.astype(np.int64)


def classes_of(y: np.ndarray, parameter: str, owner: str, remedy: str = "") -> int:
    """Return how many classes the labels 0..k-1 make, at least 2.

    Labels that are no such numbers at all pass here: `labels_of` names them. Raises DataError if one of them
    is absent.
    """
    with np.errstate(over="ignore"):
        labels = np.unique(y.astype(np.float64) if y.dtype.kind == "f" else y)
    if labels.dtype.kind not in "uif" or not np.isfinite(labels).all() or len(labels) < 2:
        return 2
    if labels[0] < 0 or not (labels == np.round(labels)).all():
        return 2
    top = int(labels[-1])
    if top >= len(labels):
        # not by a list of all numbers up to the top, which may be 2^63
        absent = int(np.argmax(labels != np.arange(len(labels))))
        constraint, got = (
            f"labels of all of 0..{top:g} ({absent} is absent)",
            f"{len(labels)} labels up to {top:g}",
        )
        raise DataError(must_be(parameter, owner, constraint, got, f"{renumbering(labels)} {remedy}"))
    return top + 1


def renumbering(y: np.ndarray) -> str:
    """Return what to do with whole labels y that are not 0..k-1."""
    labels: list[Any] = np.unique(y).tolist()
    first, last = int(labels[0]), int(labels[-1])
    if labels == [-1, 1]:
        return "Write 0 for -1."
    if first and last - first + 1 == len(labels):
        return f"Subtract {first} from every label." if first > 0 else f"Add {-first} to every label."
    return f"Number the classes 0..{len(labels) - 1}."
