"""The methods that are compared, each with 25 candidate settings: a grid of 5 by 5.

A method gets the rows of a fold and predicts the rows to score for many settings at once, so that settings
share work: all ridge parameters one decomposition, all numbers of iterations one boosted model.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.svm import SVC

from benchmarks.small_tables import pairs
from benchmarks.small_tables.splits import Fold
from ntkrun.maths.estimators.base import FLOOR
from ntkrun.maths.kernel.rows import median_distance
from ntkrun.maths.method.exact_ntk import ExactNTK
from ntkrun.maths.method.features import FeatureMethod
from ntkrun.maths.method.ntk_nystrom import NTKNystrom
from ntkrun.maths.method.ntk_random_features import NTKRandomFeatures
from ntkrun.maths.method.ntk_sketch import NTKSketch
from ntkrun.maths.method.rff import RandomFourierFeatures
from ntkrun.maths.metrics import targets
from ntkrun.maths.ridge.dual import dual_path
from ntkrun.maths.ridge.rows import RowsOrSums

Setting = tuple[Any, Any]
Rows = tuple[np.ndarray, np.ndarray]

DEPTHS = (1, 2, 3, 4, 5)
LAMBDAS = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1)  # relative to the mean squared norm of centred features
# scaling, bias and depth; explore.py compares them on training rows
BIASED = tuple(("both", 0.3, depth) for depth in DEPTHS)
MIXED = (*(("standardize", 0.3, depth) for depth in (1, 3, 5)), ("both", 0.3, 1), ("both", 0.3, 3))
WIDTHS = (0.25, 0.5, 1.0, 2.0, 4.0)  # of median distances
COLUMNS = 1024
COSTS = (0.1, 1.0, 10.0, 100.0, 1000.0)
GAMMAS = (0.03, 0.12, 0.5, 2.0, 8.0)  # over the mean squared norm of rows
LEAVES = (1, 2, 4, 8, 16)
TRIED = (0.5, 1.0, 2.0, 4.0, np.inf)  # features tried per split of a tree, over the root of their number
TREES = {False: 32, True: 300}  # while settings are compared, and at the end
BOOSTED = ((4, 5), (8, 5), (16, 5), (16, 20), (31, 20))  # leaves of a tree, least rows of a leaf
ITERATIONS = (6, 12, 25, 50, 100)


class Contender(Protocol):
    """Interface of a method."""

    @property
    def name(self) -> str:
        """Name in the tables."""

    @property
    def settings(self) -> list[Setting]:
        """Candidate settings; the first of equally good ones is taken."""

    def predict(self, fold: Fold, settings: Sequence[Setting]) -> list[np.ndarray]:
        """Return the predicted class numbers of the rows to score for each setting."""


def product(first: Sequence[Any], second: Sequence[Any]) -> list[Setting]:
    """Return all pairs."""
    return [(a, b) for a in first for b in second]


def by_first(
    settings: Sequence[Setting], many: Callable[[Any, list[Any]], list[np.ndarray]]
) -> list[np.ndarray]:
    """Call `many` once for each first entry with all its second entries; return results in order."""
    found: dict[Setting, np.ndarray] = {}
    for first in dict.fromkeys(a for a, _ in settings):
        seconds = [b for a, b in settings if a == first]
        found |= {(first, b): out for b, out in zip(seconds, many(first, seconds), strict=True)}
    return [found[setting] for setting in settings]


def classes(fold: Fold) -> torch.Tensor:
    """Return the targets of ridge regression, (n, classes) float64."""
    return targets(torch.from_numpy(fold.y), len(fold.table.classes))


@dataclass(frozen=True)
class KernelRidge:
    """Kernel ridge regression on one-hot targets; `gram(fold, a)` is the kernel of the first entry a.

    With `one_vs_one`, between every two classes.
    """

    name: str
    gram: Callable[[Fold, Any], Rows]
    firsts: tuple[Any, ...] = DEPTHS
    lambdas: tuple[float, ...] = LAMBDAS
    one_vs_one: bool = False

    @property
    def settings(self) -> list[Setting]:
        """Kernel and relative lambda, the largest first."""
        return product(self.firsts, self.lambdas[::-1])

    def predict(self, fold: Fold, settings: Sequence[Setting]) -> list[np.ndarray]:
        """Return the predicted class numbers of the rows to score for each setting."""

        def many(first: Any, lambdas: list[float]) -> list[np.ndarray]:
            own, other = (torch.from_numpy(k) for k in self.gram(fold, first))
            if self.one_vs_one:
                return pairs.predicted(own, other, fold.y, lambdas)
            fits = dual_path(own, classes(fold), lambdas)
            return [fit.predict(other).argmax(1).numpy() for fit in fits]

        return by_first(settings, many)


def ntk(fold: Fold, depth: int) -> Rows:
    """Return the NTK (n, n) of the rows to fit, and of rows to score with them, (m, n)."""
    return biased(fold, ("standardize", 0.0, depth))


def biased(fold: Fold, first: tuple[str, float, int]) -> Rows:
    """Return the NTK as `ntk` does, of a scaling, a bias and a depth."""
    scaling, bias, depth = first
    rows, new = fold.rows(scaling)
    method = ExactNTK(depth=depth, bias=bias, dtype="float64")
    return method.kernel(rows), method.kernel(new, rows)


@dataclass(frozen=True)
class FeatureRidge:
    """Ridge regression on features; `method(rows, a)` is the method, not yet fitted, of the first entry a."""

    name: str
    method: Callable[[np.ndarray, Any], FeatureMethod]
    firsts: tuple[Any, ...] = DEPTHS
    scaling: str = "standardize"
    lambdas: tuple[float, ...] = LAMBDAS

    @property
    def settings(self) -> list[Setting]:
        """Parameter of the method and relative lambda, the largest first."""
        return product(self.firsts, self.lambdas[::-1])

    def predict(self, fold: Fold, settings: Sequence[Setting]) -> list[np.ndarray]:
        """Return the predicted class numbers of the rows to score for each setting."""

        def many(first: Any, lambdas: list[float]) -> list[np.ndarray]:
            rows, new = fold.rows(self.scaling)
            method = self.method(rows, first).fit(rows)
            data = RowsOrSums()
            data.add(torch.from_numpy(method.transform(rows)), classes(fold))
            z = torch.from_numpy(method.transform(new))
            return [fit.predict(z).argmax(1).numpy() for fit in data.path(lambdas, FLOOR)]

        return by_first(settings, many)


def rff(rows: np.ndarray, width: float) -> FeatureMethod:
    """Return Fourier features with a multiple of the median distance as bandwidth."""
    return RandomFourierFeatures(COLUMNS, bandwidth=width * median_distance(torch.from_numpy(rows)))


@dataclass(frozen=True)
class VectorMachine:
    """SVC; `gram` gives its kernel (None: Gaussian, with gamma over the mean squared norm of rows)."""

    name: str
    gram: Callable[[Fold, Any], Rows] | None = None
    firsts: tuple[Any, ...] = GAMMAS

    @property
    def settings(self) -> list[Setting]:
        """Kernel and C, the smallest first."""
        return product(self.firsts, COSTS)

    def predict(self, fold: Fold, settings: Sequence[Setting]) -> list[np.ndarray]:
        """Return the predicted class numbers of the rows to score for each setting."""

        def many(first: Any, costs: list[float]) -> list[np.ndarray]:
            if self.gram is None:
                own, other = fold.rows("standardize")
                options = {"gamma": first / max(np.square(own).sum(1).mean(), 1e-300)}
            else:
                own, other = self.gram(fold, first)
                scale = np.diag(own).mean() - own.mean()  # C then means the same for every kernel
                own, other, options = own / scale, other / scale, {"kernel": "precomputed"}
            fits = [SVC(C=c, max_iter=200_000, **options).fit(own, fold.y) for c in costs]
            return [fit.predict(other) for fit in fits]

        return by_first(settings, many)


@dataclass(frozen=True)
class Forest:
    """Random forest: features tried per split, least rows of a leaf."""

    name: str = "forest"

    @property
    def settings(self) -> list[Setting]:
        """Features over the root of their number, and least rows of a leaf; scikit-learn's default first."""
        found = product(TRIED, LEAVES)
        return sorted(found, key=lambda setting: setting != (1.0, 1))

    def predict(self, fold: Fold, settings: Sequence[Setting]) -> list[np.ndarray]:
        """Return the predicted class numbers of the rows to score for each setting."""
        rows, new = fold.rows("none")
        d = rows.shape[1]
        counts = {tried: int(min(d, max(1, tried * d**0.5 + 0.5))) for tried, _ in settings}
        done: dict[Setting, np.ndarray] = {}
        for tried, leaf in settings:
            if ((count := counts[tried]), leaf) not in done:
                options = {"max_features": count, "min_samples_leaf": leaf, "random_state": 0}
                fit = RandomForestClassifier(TREES[fold.final], **options).fit(rows, fold.y)
                done[count, leaf] = fit.predict(new)
        return [done[counts[tried], leaf] for tried, leaf in settings]


@dataclass(frozen=True)
class Boosting:
    """Histogram gradient boosting: size of the trees, number of iterations at learning rate 0.1."""

    name: str = "boosting"

    @property
    def settings(self) -> list[Setting]:
        """(Leaves of a tree, least rows of a leaf) and iterations."""
        return product(BOOSTED, ITERATIONS)

    def predict(self, fold: Fold, settings: Sequence[Setting]) -> list[np.ndarray]:
        """Return the predicted class numbers of the rows to score for each setting."""
        rows, new = fold.rows("none")

        def many(first: tuple[int, int], iterations: list[int]) -> list[np.ndarray]:
            leaves, least = first
            options = {"max_leaf_nodes": leaves, "min_samples_leaf": least, "random_state": 0}
            fit = HistGradientBoostingClassifier(max_iter=max(iterations), early_stopping=False, **options)
            fit.fit(rows, fold.y)
            staged = list(fit.staged_predict(new))
            return [staged[count - 1] for count in iterations]

        return by_first(settings, many)


CONTENDERS: tuple[Contender, ...] = (
    KernelRidge("exact_ntk", ntk),
    KernelRidge("exact_ntk_bias", biased, BIASED),
    KernelRidge("exact_ntk_pairs", biased, MIXED, one_vs_one=True),
    VectorMachine("exact_ntk_svc", biased, MIXED),
    FeatureRidge("ntk_nystrom", lambda rows, depth: NTKNystrom(COLUMNS, depth=depth)),
    FeatureRidge("ntk_random_features", lambda rows, depth: NTKRandomFeatures(COLUMNS, depth=depth)),
    FeatureRidge("ntk_sketch", lambda rows, depth: NTKSketch(COLUMNS, depth=depth)),
    FeatureRidge("rff", rff, WIDTHS),
    VectorMachine("svc_rbf"),
    Forest(),
    Boosting(),
)
