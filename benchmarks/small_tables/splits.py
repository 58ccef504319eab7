"""Outer and inner splits, and preparation fitted on training rows alone.

The outer splits are 4 stratified folds, as Arora et al. (2020) and Fernandez-Delgado et al. (2014) have
them. Those papers choose parameters on a split of the whole set, so that rows of the test folds take part in
the choice. Here every choice is made inside the training part.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.model_selection import StratifiedKFold, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, QuantileTransformer, StandardScaler

from benchmarks.small_tables.keel import Table

OUTER, INNER = 4, 3
CAP = 1000  # training rows
HOLD_OUT_FROM = 1000  # from this number of training rows on, one inner fold of a quarter is held out
SCALINGS = ("none", "standardize", "quantile", "standardize_all", "both")


@dataclass
class Fold:
    """Rows to fit and rows to score.

    Attributes
    ----------
    table : Table
    fit, score : ndarray, int64
        Row numbers of the table.
    final : bool
        False while settings are compared inside the training part.
    """

    table: Table
    fit: np.ndarray
    score: np.ndarray
    final: bool = False
    _made: dict[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)

    @property
    def y(self) -> np.ndarray:
        """Class numbers of the rows to fit."""
        return self.table.y[self.fit]

    def rows(self, scaling: str) -> tuple[np.ndarray, np.ndarray]:
        """Return the rows to fit (n, d) and to score (m, d), float64, prepared on the rows to fit.

        Missing numbers become the median, missing words the most frequent one; words are one-hot. "none"
        stops there. "standardize" gives numbers mean 0 and variance 1, "quantile" their rank, standardised;
        both leave one-hot columns at 0 and 1, minus their mean. "standardize_all" gives these variance 1.
        "both" puts the columns of "standardize" and of "quantile" side by side.
        """
        if scaling == "both":
            parts = [self.rows("standardize"), self.rows("quantile")]
            return np.hstack([part[0] for part in parts]), np.hstack([part[1] for part in parts])
        if scaling not in self._made:
            steps = prepared(scaling, len(self.fit))
            whole = (self.table.numbers, self.table.words)
            p, q = (part.shape[1] for part in whole)
            cells = np.empty((len(self.table), p + q), dtype=object)
            cells[:, :p], cells[:, p:] = whole
            where = {"numbers": slice(0, p), "words": slice(p, p + q)}
            used = [(name, step, where[name]) for name, step in steps if (p if name == "numbers" else q)]
            transform = ColumnTransformer(used, sparse_threshold=0)
            fitted = transform.fit_transform(cells[self.fit]).astype(np.float64)
            self._made[scaling] = fitted, transform.transform(cells[self.score]).astype(np.float64)
        return self._made[scaling]

    def accuracy(self, predicted: np.ndarray) -> float:
        """Return the share of right class numbers among the rows to score."""
        return float(np.mean(predicted == self.table.y[self.score]))


def prepared(scaling: str, n: int) -> list[tuple[str, object]]:
    """Return scikit-learn's steps for numbers and for words."""
    number: list[object] = [FunctionTransformer(_floats), SimpleImputer(keep_empty_features=True)]
    number[1].set_params(strategy="median")  # type: ignore[attr-defined]
    if scaling == "quantile":
        number.append(QuantileTransformer(n_quantiles=min(n, 1000), subsample=None))
    if scaling != "none":
        number.append(StandardScaler())
    word = [
        SimpleImputer(strategy="most_frequent", missing_values=None),
        OneHotEncoder(handle_unknown="ignore", sparse_output=False),
    ]
    if scaling != "none":
        word.append(StandardScaler(with_std=scaling == "standardize_all"))
    return [("numbers", make_pipeline(*number)), ("words", make_pipeline(*word))]


def _floats(cells: np.ndarray) -> np.ndarray:
    return cells.astype(np.float64)


def outer(table: Table, cap: int = CAP, seed: int = 0) -> Iterator[Fold]:
    """Yield the outer folds; at most `cap` rows are fitted, drawn by class."""
    folds = StratifiedKFold(OUTER, shuffle=True, random_state=seed)
    for fit, score in folds.split(table.y, table.y):
        if len(fit) > cap:
            fit, _ = train_test_split(fit, train_size=cap, stratify=table.y[fit], random_state=seed)
        yield Fold(table, np.sort(fit), score, final=True)


def inner(fold: Fold, seed: int = 0) -> list[Fold]:
    """Return the folds inside the rows to fit: three, or one of four for many rows."""
    y, many = fold.y, len(fold.fit) >= HOLD_OUT_FROM
    folds = StratifiedKFold(4 if many else INNER, shuffle=True, random_state=seed)
    parts = list(folds.split(y, y))[: 1 if many else INNER]
    return [Fold(fold.table, fold.fit[fit], fold.fit[score]) for fit, score in parts]
