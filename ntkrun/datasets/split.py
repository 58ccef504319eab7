"""What a data set is once loaded: train, valid and test parts with their statistics and a hash."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ntkrun.datasets.preprocess import PREPROCESS, Preprocess, prepared
from ntkrun.errors import DataError, must_be

LARGEST = 1e150


@dataclass(frozen=True)
class Part:
    """Rows of one role: inputs x (n, ...), labels y (n,), and how many views of each are rows of their own.

    With two views row 2 i is example i and row 2 i + 1 its mirror image.
    """

    x: np.ndarray
    y: np.ndarray
    views: int = 1

    def __len__(self) -> int:
        return self.views * len(self.y)

    def rows(self, index: np.ndarray) -> np.ndarray:
        """Return the inputs of some rows."""
        x = self.x[index // self.views]
        if self.views == 2:
            mirrored = index % 2 == 1
            x[mirrored] = x[mirrored, :, ::-1]
        return x


@dataclass(frozen=True)
class Split:
    """A data set cut into roles, with the preprocessing that train alone determines.

    Attributes
    ----------
    name : str
    train, valid, test : Part
        `valid` is the part of the training data held out to choose lambda; the final fit uses both.
    classes : int or None
        Number of classes; None for regression.
    class_names : list of str
    preprocess : Standardize, Contrast or ZCA
        Fitted on train and valid together.
    sha256 : str
        Hash of everything above that determines numbers.
    """

    name: str
    train: Part
    valid: Part
    test: Part
    classes: int | None
    class_names: list[str]
    preprocess: Preprocess
    sha256: str

    def batch(
        self, part: str, start: int, stop: int, dtype: torch.dtype, device: torch.device | str = "cpu"
    ) -> Tensor:
        """Return preprocessed rows start..stop of a part."""
        here = getattr(self, part)
        return self._prepared(here.rows(np.arange(start, min(stop, len(here)))), dtype, device)

    def sample(self, rows: int, dtype: torch.dtype, device: torch.device | str = "cpu") -> Tensor:
        """Return at most `rows` preprocessed training rows, evenly spread over the train part."""
        return self._prepared(self.raw_sample(rows), dtype, device)

    def raw_sample(self, rows: int) -> np.ndarray:
        """Return the same rows as they came."""
        n = len(self.train)
        return self.train.rows(np.arange(min(rows, n)) * n // min(rows, n))

    def fit_rows(self) -> np.ndarray:
        """Return all rows of the final fit, train before valid, as they came."""
        return np.concatenate([part.rows(np.arange(len(part))) for part in (self.train, self.valid)])

    def _prepared(self, x: np.ndarray, dtype: torch.dtype, device: torch.device | str) -> Tensor:
        return prepared(x, self.preprocess, dtype, device)

    def labels(self, part: str) -> Tensor:
        """Return the label of every row of a part."""
        here = getattr(self, part)
        return torch.from_numpy(np.repeat(here.y, here.views))

    @property
    def views(self) -> int:
        """Rows of each example: 2 with mirror images, else 1. Predictions average over them."""
        return self.train.views

    @property
    def n_train(self) -> int:
        """Rows that the final fit sees."""
        return len(self.train) + len(self.valid)


def stratified_order(y: np.ndarray, classes: int | None, seed: int) -> np.ndarray:
    """Return a random order of the rows whose every prefix has the class shares of the whole.

    Row number r (from 0) of a class with c rows gets the rank (r + u) / c with u uniform; sorting the ranks
    interleaves the classes. For regression it is a plain permutation.
    """
    rng = np.random.default_rng(seed)
    if classes is None:
        return rng.permutation(len(y))
    rank = np.empty(len(y))
    for label in np.unique(y):
        rows = rng.permutation(np.flatnonzero(y == label))
        rank[rows] = (np.arange(len(rows)) + rng.random(len(rows))) / len(rows)
    return np.argsort(rank, kind="stable")


def classes_of(y: np.ndarray, parameter: str, owner: str, remedy: str = "") -> int:
    """Return how many classes the labels 0..k-1 make, at least 2; DataError where one of them is absent.

    Labels that are no such numbers at all pass here: `make_split` names them.
    """
    labels = np.unique(y)
    if labels.dtype.kind not in "uif" or not np.isfinite(labels).all() or len(labels) < 2 or labels[0] < 0:
        return 2
    top = int(labels[-1])
    if top >= len(labels) and (labels == np.round(labels)).all():
        # not by a list of all numbers up to the top, which may be 2^63
        absent = int(np.argmax(labels != np.arange(len(labels))))
        constraint = f"labels of all of 0..{top:g} ({absent} is absent)"
        raise DataError(must_be(parameter, owner, constraint, f"{len(labels)} labels up to {top:g}", remedy))
    return top + 1


def make_split(
    name: str,
    train: tuple[np.ndarray, np.ndarray],
    test: tuple[np.ndarray, np.ndarray],
    *,
    n_train: int | None,
    n_test: int | None,
    valid_fraction: float,
    split_seed: int,
    classes: int | None,
    class_names: list[str] | None = None,
    preprocess: str = "standardize",
    augment: str = "none",
) -> Split:
    """Check the arrays, take stratified subsets, hold out a part of train and fit the preprocessing to train.

    Raises DataError with one sentence for anything that does not fit.
    """
    (x, y), (x_test, y_test) = _checked(name, "train", *train), _checked(name, "test", *test)
    if x.shape[1:] != x_test.shape[1:]:
        raise DataError(must_be("x_test", name, f"shaped like x_train, (n, {x.shape[1:]})", x_test.shape))
    if (x.dtype.kind == "f") != (x_test.dtype.kind == "f"):
        both = f"{x.dtype.name} and {x_test.dtype.name}"
        raise DataError(must_be("x_test", name, "whole numbers or not, as x_train is", both, "Convert one."))
    if classes is not None:
        for role, labels in (("y_train", y), ("y_test", y_test)):
            if not np.issubdtype(labels.dtype, np.integer):
                raise DataError(must_be(role, name, "integers for classification", labels.dtype.name))
            bad = np.flatnonzero((labels < 0) | (labels >= classes))
            if len(bad):
                constraint = f"in 0..{classes - 1} (row {bad[0]} is not)"
                raise DataError(must_be(role, name, constraint, int(labels[bad[0]]), "Check the labels."))
    order = stratified_order(y, classes, split_seed)[: _count(name, "n_train", n_train, len(y))]
    order_test = np.sort(
        stratified_order(y_test, classes, split_seed)[: _count(name, "n_test", n_test, len(y_test))]
    )
    held = max(1, round(valid_fraction * len(order)))
    if len(order) - held < 2:
        raise DataError(must_be("n_train", name, "large enough to hold out a part", len(order)))
    if classes is not None and len(np.unique(y[order])) < 2:
        raise DataError(must_be("y_train", name, "of at least two classes", int(y[order][0])))
    # sorted indices read the source in its order; the roles do not depend on it
    fit_rows, valid_rows = np.sort(order[:-held]), np.sort(order[-held:])
    if augment == "flip" and x.ndim != 4:
        raise DataError(must_be("augment", name, "none for rows", augment, "Mirror images need images."))
    views = 2 if augment == "flip" else 1
    prepared = PREPROCESS[preprocess](x, np.sort(order))
    parts = (
        Part(x[fit_rows], y[fit_rows], views),
        Part(x[valid_rows], y[valid_rows], views),
        Part(x_test[order_test], y_test[order_test], views),
    )
    digest = hashlib.sha256(repr((x.shape[1:], x.dtype.str, classes, preprocess, augment)).encode())
    for array in (*(a for p in parts for a in (p.x, p.y)), *prepared.arrays()):
        digest.update(repr((array.shape, array.dtype.str)).encode())
        digest.update(np.ascontiguousarray(array).data)
    names = class_names or [str(i) for i in range(classes or 0)]
    return Split(name, *parts, classes, names, prepared, digest.hexdigest())


def _checked(name: str, role: str, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if x.dtype.kind not in "uif" or y.dtype.kind not in "uif":
        raise DataError(must_be(f"{role} arrays", name, "of a real number type", f"{x.dtype}, {y.dtype}"))
    if x.ndim not in (2, 4):
        raise DataError(must_be(f"x_{role}", name, "rows (n, d) or images (n, H, W, C)", x.shape))
    if y.ndim != 1 or len(x) != len(y):
        raise DataError(must_be(f"y_{role}", name, f"one label for each of {len(x)} rows", y.shape))
    if min(x.shape) == 0:
        raise DataError(must_be(f"x_{role}", name, "not empty", x.shape))
    for what, array in ((f"x_{role}", x), (f"y_{role}", y)):
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            row = int(np.argwhere(~np.isfinite(array))[0][0])
            raise DataError(
                must_be(what, name, f"finite (row {row} is not)", "nan or inf", "Clean the rows.")
            )
    if x.dtype.kind == "f" and float(np.abs(x).max()) > LARGEST:
        row = int(np.abs(x).reshape(len(x), -1).max(1).argmax())
        constraint = f"at most {LARGEST:g} in size (row {row} is not), or its square overflows"
        raise DataError(must_be(f"x_{role}", name, constraint, float(np.abs(x).max()), "Scale it."))
    return x, y


def _count(name: str, key: str, wanted: int | None, have: int) -> int:
    if wanted is None:
        return have
    if wanted > have:
        raise DataError(
            must_be(key, name, f"at most {have}", wanted, f"Leave dataset.{key} out for all rows.")
        )
    return wanted
