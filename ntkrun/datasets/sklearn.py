"""Data sets of scikit-learn: those inside it, and those that its fetchers download."""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from ntkrun import checks
from ntkrun.datasets.base import DataSource
from ntkrun.datasets.parts import test_rows
from ntkrun.datasets.split import Split, make_split
from ntkrun.errors import DataError, NetworkError, must_be
from ntkrun.store.atomic import make_folder

# title -> function of sklearn.datasets; "fetch" needs a network once
LOADERS = {
    "iris": "load_iris",
    "wine": "load_wine",
    "breast_cancer": "load_breast_cancer",
    "digits": "load_digits",
    "diabetes": "load_diabetes",
    "california_housing": "fetch_california_housing",
    "covtype": "fetch_covtype",
    "olivetti_faces": "fetch_olivetti_faces",
    "20newsgroups_vectorized": "fetch_20newsgroups_vectorized",
}
REGRESSION = ("diabetes", "california_housing")
DIVIDED = ("20newsgroups_vectorized",)  # with parts of their own
DENSE = 2 << 30  # bytes that sparse rows may take as dense float32

Pair = tuple[Any, np.ndarray]


@dataclass(frozen=True, kw_only=True)
class Sklearn(DataSource):
    """One of scikit-learn's data sets, by its title.

    iris, wine, breast_cancer, digits and diabetes are inside scikit-learn. The others are downloaded once to
    data_dir/scikit_learn by scikit-learn, which checks their SHA-256 and keeps them there as pickles.

    Parameters
    ----------
    title : str
        As in the name of scikit-learn's function: load_iris is iris, fetch_covtype is covtype.
    test_fraction : float
        Share of the rows in the test part, drawn by split_seed and stratified by class;
        20newsgroups_vectorized has a test part of its own.
    max_columns : int or None
        Sparse sets: the columns that most training rows have, so many; None takes all.
    """

    name = "sklearn"

    title: str | None = None
    test_fraction: float = 0.2
    max_columns: int | None = None

    def problems(self) -> list[str]:
        """Return one sentence for every wrong parameter."""
        out = super().problems() + checks.choice("Sklearn", "title", self.title, tuple(LOADERS))
        if self.max_columns is not None:
            out += checks.integer("Sklearn", "max_columns", self.max_columns, 1)
        return out + checks.real("Sklearn", "test_fraction", self.test_fraction, 0, 0.9)

    def load(self) -> Split:
        """Return the split; NetworkError if a download fails, DataError if sparse rows take too much."""
        title = str(self.title)
        if title in DIVIDED:
            bunch, test_bunch = self._bunch(subset="train"), self._bunch(subset="test")
            whole = np.concatenate([bunch["target"], test_bunch["target"]])
            y, classes, names = self._labels(whole, bunch)
            cut = len(bunch["target"])
            train, test = (bunch["data"], y[:cut]), (test_bunch["data"], y[cut:])
        else:
            bunch = self._bunch()
            y, classes, names = self._labels(bunch["target"], bunch)
            x = bunch["images"] if "images" in bunch else bunch["data"]
            mask = test_rows(y, classes, self.test_fraction, self.split_seed)
            train, test = (x[~mask], y[~mask]), (x[mask], y[mask])
        train, test = self._dense(train, test)
        columns = [str(column) for column in bunch.get("feature_names", [])]
        named = columns if train[0].ndim == 2 and len(columns) == train[0].shape[1] else None
        parts = train, test
        return make_split(title, *parts, classes=classes, class_names=names, columns=named, **self.subset())

    def _bunch(self, **options: Any) -> Any:
        from sklearn import datasets

        function = LOADERS[str(self.title)]
        if function.startswith("load_"):
            return getattr(datasets, function)(**options)
        home = self.cache() / "scikit_learn"
        make_folder(home, "data_dir")
        offline = bool(os.environ.get("NTKRUN_OFFLINE"))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of retries
                return getattr(datasets, function)(
                    data_home=str(home), download_if_missing=not offline, **options
                )
        except OSError as error:
            reason = "NTKRUN_OFFLINE is set" if offline else "".join(str(error).splitlines()[:1])
            raise NetworkError(
                f"{self.title} is not in {home} and could not be downloaded ({reason}). "
                f"Call sklearn.datasets.{function}(data_home=DIR) where a network is, and copy DIR to {home}."
            ) from error
        # a damaged pickle can raise nearly anything
        except Exception as error:
            reason = "".join(str(error).splitlines()[:1]) or type(error).__name__
            raise DataError(f"{self.title} in {home} cannot be read: {reason}. Delete {home}.") from error

    def _labels(self, target: np.ndarray, bunch: Any) -> tuple[np.ndarray, int | None, list[str] | None]:
        """Return labels 0..k-1, k and the names of the classes; for regression the values, None and None."""
        if self.title in REGRESSION:
            return np.asarray(target, np.float64), None, None
        values, y = np.unique(target, return_inverse=True)
        names = bunch.get("target_names")
        if names is None or len(names) != len(values):  # covtype has the name of the column there
            names = values
        return y.astype(np.int64), len(values), [str(name) for name in names]

    def _dense(self, train: Pair, test: Pair) -> tuple[Pair, Pair]:
        """Return the parts with dense rows, float32 if they were sparse."""
        from scipy.sparse import issparse

        (x, y), (x_test, y_test) = train, test
        if not issparse(x):
            return train, test
        rows = x.shape[0] + x_test.shape[0]
        if self.max_columns is not None and self.max_columns < x.shape[1]:
            common = np.argsort(-x.tocsc().getnnz(axis=0), kind="stable")
            keep = np.sort(common[: self.max_columns])
            x, x_test = x[:, keep], x_test[:, keep]
        if (size := 4 * rows * x.shape[1]) > DENSE:
            constraint = f"at most {DENSE / 2**30:.2g} GiB once they are dense"
            got = f"{rows:,} x {x.shape[1]:,} numbers, {size / 2**30:.3g} GiB"
            remedy = f"Set dataset.max_columns={DENSE // (4 * rows)} for the most common columns."
            raise DataError(must_be(f"rows of {self.title}", "Sklearn", constraint, got, remedy))
        return (x.astype(np.float32).toarray(), y), (x_test.astype(np.float32).toarray(), y_test)
