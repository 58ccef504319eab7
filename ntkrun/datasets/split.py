"""Split a loaded data set into train, valid and test parts, with fitted preprocessing and a hash."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import torch

from ntkrun.datasets.arrays import checked, labels_of, working_layout
from ntkrun.datasets.inputs import Inputs
from ntkrun.datasets.labels import Labels
from ntkrun.datasets.preprocess import PREPROCESS
from ntkrun.datasets.preprocess.base import Preprocess, prepared
from ntkrun.datasets.rows import Rows, joined, subset, update
from ntkrun.datasets.table.prepare import Prepare
from ntkrun.errors import DataError, must_be
from ntkrun.maths.sparse import is_sparse


class Role(StrEnum):
    """Role of a part: fit, choose lambda, or score once."""

    TRAIN = "train"
    VALID = "valid"
    TEST = "test"


@dataclass(frozen=True)
class Part:
    """Rows of one role: inputs x (n, ...), in memory or not, and labels y (n,); see `rows` for the inputs.

    Each input gives `views` consecutive rows.

    With two views, row 2 i is input i and row 2 i + 1 is its mirror image.
    """

    x: Rows
    y: np.ndarray
    views: int = 1

    def __len__(self) -> int:
        return self.views * len(self.y)

    def rows(self, index: np.ndarray) -> Any:
        """Return the inputs of the rows in `index`."""
        x = self.x[index // self.views]
        return _mirrored(x, index % 2 == 1) if self.views == 2 else x

    def labels(self, start: int, stop: int) -> np.ndarray:
        """Return the labels of rows start..stop."""
        return self.y[np.arange(start, min(stop, len(self))) // self.views]


def views_of(x: Any, views: int) -> Any:
    """Return the rows (views n, ...) of inputs x (n, ...); two views are the input and its mirror image."""
    return _mirrored(np.repeat(x, 2, axis=0), np.arange(2 * len(x)) % 2 == 1) if views == 2 else x


def _mirrored(x: np.ndarray, which: np.ndarray) -> np.ndarray:
    x[which] = x[which, :, ::-1]
    return x


@dataclass(frozen=True)
class Split:
    """Data set split into roles, with preprocessing fitted on the training data.

    Attributes
    ----------
    name : str
    train, valid, test : Part
        `valid` is the part of the training data held out to choose lambda; the final fit uses both.
    classes : int or None
        Number of classes; None for regression.
    class_names : list of str
    preprocess : Preprocess
        Fitted on train and valid together.
    sha256 : str
        Hash of everything above that determines numbers.
    inputs : Inputs
        Original form of a row, in which a model also takes its inputs.
    labels : Labels or None
        The classes as they came; None for numbers 0..k-1.
    """

    name: str
    train: Part
    valid: Part
    test: Part
    classes: int | None
    class_names: list[str]
    preprocess: Preprocess
    sha256: str
    inputs: Inputs
    labels: Labels | None = None

    def part(self, role: Role) -> Part:
        """Return the rows of a role."""
        return {Role.TRAIN: self.train, Role.VALID: self.valid, Role.TEST: self.test}[role]

    def batch(
        self, role: Role, start: int, stop: int, dtype: torch.dtype, device: torch.device | str = "cpu"
    ) -> Any:
        """Return preprocessed rows start..stop of a part, a tensor, or SparseRows of sparse rows."""
        part = self.part(role)
        return self._prepared(part.rows(np.arange(start, min(stop, len(part)))), dtype, device)

    def sample(self, rows: int, dtype: torch.dtype, device: torch.device | str = "cpu") -> Any:
        """Return at most `rows` preprocessed training rows, evenly spread over the train part."""
        return self._prepared(self.raw_sample(rows), dtype, device)

    def raw_sample(self, rows: int) -> Any:
        """Return the same rows without preprocessing."""
        n = len(self.train)
        return self.train.rows(np.arange(min(rows, n)) * n // min(rows, n))

    def fit_rows(self) -> Any:
        """Return all rows of the final fit, train before valid, without preprocessing."""
        return joined(*(part.rows(np.arange(len(part))) for part in (self.train, self.valid)))

    def _prepared(self, x: Any, dtype: torch.dtype, device: torch.device | str) -> Any:
        return prepared(x, self.preprocess, dtype, device)

    @property
    def sparse(self) -> bool:
        """Whether the rows are sparse."""
        return self.inputs.sparse

    @property
    def views(self) -> int:
        """Rows per example: 2 with mirror images, else 1. Predictions average over them."""
        return self.train.views

    @property
    def n_train(self) -> int:
        """Number of rows in the final fit."""
        return len(self.train) + len(self.valid)


def stratified_order(y: np.ndarray, classes: int | None, seed: int) -> np.ndarray:
    """Return a random order of the rows, every prefix of which has the class shares of the whole.

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


def make_split(
    name: str,
    train: tuple[Any, np.ndarray],
    test: tuple[Any, np.ndarray],
    *,
    n_train: int | None,
    n_test: int | None,
    valid_fraction: float,
    split_seed: int,
    classes: int | None,
    class_names: list[str] | None = None,
    preprocess: str = "standardize",
    augment: str = "none",
    layout: str | None = "channels_last",
    columns: list[str] | None = None,
    labels: Labels | None = None,
    table: Prepare | None = None,
    targets: list[str] | None = None,
    first: int = 0,
) -> Split:
    """Check the arrays, take stratified subsets, hold out a part of train and fit the preprocessing to train.

    Inputs are rows (n, d), named by `columns` if they have names, or images in `layout`: None refuses images
    of unclear layout; (n, H, W) are grey. With a `table` they are DataFrames, which it turns into rows after
    it was fitted to the training ones. `labels` are the classes as they came, if they are not 0..k-1;
    `targets` are the names of the columns of `y`; `first` is the number of the first column in svmlight
    files. Raises DataError for arrays that do not fit.
    """
    prepared_inputs = None
    if table is not None:
        (frame, y), (frame_test, y_test) = train, test
        x, x_test = table.numbers(frame), table.numbers(frame_test)
        if x is None or x_test is None:
            rows = _subset(name, "n_train", n_train, y, classes, split_seed)
            table.fit(frame.iloc[np.sort(rows)])
            x, x_test = table(frame), table(frame_test)
            if not x.shape[1]:
                got = "; ".join(table.described()) or "no columns"
                raise DataError(must_be("columns", name, "a column that varies, beside the target", got))
            prepared_inputs = Inputs.of_table(table, frame.iloc[[rows.min()]], targets)
        train, test = (x, y), (x_test, y_test)
    (x, y), (x_test, y_test) = checked(name, "train", *train), checked(name, "test", *test)
    input_shape = x.shape[1:]
    if input_shape != x_test.shape[1:]:
        raise DataError(must_be("x_test", name, f"shaped like x_train, (n, {input_shape})", x_test.shape))
    x, x_test = (working_layout(name, role, a, layout) for role, a in (("train", x), ("test", x_test)))
    if (x.dtype.kind == "f") != (x_test.dtype.kind == "f"):
        both = f"{x.dtype.name} and {x_test.dtype.name}"
        raise DataError(must_be("x_test", name, "whole numbers or floats like x_train", both, "Convert one."))
    if classes is not None:
        y, y_test = labels_of(name, "train", y, classes), labels_of(name, "test", y_test, classes)
    order = _subset(name, "n_train", n_train, y, classes, split_seed)
    order_test = np.sort(_subset(name, "n_test", n_test, y_test, classes, split_seed))
    held = max(1, round(valid_fraction * len(order)))
    if len(order) - held < 2:
        raise DataError(must_be("n_train", name, "large enough to hold out a part", len(order)))
    if classes is not None and len(np.unique(y[order])) < 2:
        raise DataError(must_be("y_train", name, "of at least two classes", int(y[order][0])))
    # sorted to read the source in order; the roles do not depend on it
    fit_rows, valid_rows = np.sort(order[:-held]), np.sort(order[-held:])
    if augment == "flip" and x.ndim != 4:
        raise DataError(must_be("augment", name, "none for rows", augment, "Mirror images need images."))
    views = 2 if augment == "flip" else 1
    kind = PREPROCESS.get(preprocess)
    if is_sparse(x) and not kind.sparse:
        need, remedy = "scale, tfidf or none for sparse rows", "It would make every zero a number."
        raise DataError(must_be("preprocess", name, need, preprocess, remedy))
    fitted = kind(x, np.sort(order))
    parts = (
        Part(subset(x, fit_rows), y[fit_rows], views),
        Part(subset(x, valid_rows), y[valid_rows], views),
        Part(subset(x_test, order_test), y_test[order_test], views),
    )
    digest = hashlib.sha256(repr((x.shape[1:], x.dtype.str, classes, preprocess, augment)).encode())
    for array in (*(a for p in parts for a in (p.x, p.y)), *fitted.arrays()):
        update(digest, array)
    names = class_names or (labels.names if labels else [str(i) for i in range(classes or 0)])
    inputs = prepared_inputs or Inputs(
        input_shape, x.dtype, layout, columns, targets=targets, sparse=is_sparse(x), first=first
    )
    return Split(name, *parts, classes, names, fitted, digest.hexdigest(), inputs, labels)


def _subset(
    name: str, key: str, wanted: int | None, y: np.ndarray, classes: int | None, seed: int
) -> np.ndarray:
    """Return the first `wanted` rows of a stratified order, all for None; DataError if there are fewer."""
    if wanted is not None and wanted > len(y):
        remedy = f"Leave dataset.{key} out for all rows."
        raise DataError(must_be(key, name, f"at most {len(y)}", wanted, remedy))
    return stratified_order(y, classes, seed)[:wanted]
