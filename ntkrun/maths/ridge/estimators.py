"""Ridge regression on kernel features as scikit-learn estimators: in one go or batch by batch.

`fit` and a sequence of `partial_fit` over the same rows give the same solution but for rounding, since both
keep nothing but sums (MATH: section 6).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, clone
from sklearn.utils import get_tags
from sklearn.utils.multiclass import check_classification_targets, unique_labels
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor

from ntkrun import checks
from ntkrun.errors import ConfigError, DataError, must_be
from ntkrun.maths import metrics
from ntkrun.maths.method.ntk_sketch import NTKSketch
from ntkrun.maths.ridge.normal import Linear, NormalEquations
from ntkrun.maths.ridge.path import grid, grid_problems
from ntkrun.maths.threads import wait_passively

# rows that are turned into features at a time
ROWS = 512


class _NTKRidge(BaseEstimator):
    """Sums over rows kept for fitting and over rows held out to choose lambda; no features are kept.

    Parameters
    ----------
    features : estimator, "passthrough" or None
        Turns rows or images into features; it is cloned and fitted to the first rows. None takes
        NTKSketch(random_state=random_state), "passthrough" takes rows as they are.
    lambda_min, lambda_max : float
        Ends of the grid, relative to the mean squared norm of the centred features.
    lambda_count : int
    validation_fraction : float
        Share of the rows held out, by the least squared error over which lambda is chosen; the solution
        then uses all rows.
    random_state : int

    Attributes
    ----------
    features_ : fitted estimator, or None for "passthrough"
    lambda_ : float
        The ridge parameter of (1/n) ‖Z w + b - Y‖² + lambda ‖w‖².
    coef_ : ndarray (targets, columns), intercept_ : ndarray (targets,)
    n_features_in_ : int
    """

    def __init__(
        self,
        features: Any = None,
        *,
        lambda_min: float = 1e-10,
        lambda_max: float = 1e-1,
        lambda_count: int = 28,
        validation_fraction: float = 0.2,
        random_state: int = 0,
    ):
        self.features = features
        self.lambda_min = lambda_min
        self.lambda_max = lambda_max
        self.lambda_count = lambda_count
        self.validation_fraction = validation_fraction
        self.random_state = random_state

    def _check(self) -> None:
        me = type(self).__name__
        out = grid_problems(me, self.lambda_min, self.lambda_max, self.lambda_count)
        out += checks.real(me, "validation_fraction", self.validation_fraction, 0, 0.5)
        if out:
            raise ConfigError(" ".join(out))

    def _start(self, X: Any) -> None:
        """Forget everything, and fit the features to X."""
        self._check()
        wait_passively()
        features = NTKSketch(random_state=self.random_state) if self.features is None else self.features
        self.features_ = None if isinstance(features, str) and features == "passthrough" else clone(features)
        if self.features_ is not None:
            self.features_.fit(X)
        self._kept, self._held = NormalEquations(), NormalEquations()
        self._rng = np.random.default_rng(self.random_state)
        self._fit: Linear | None = None

    def _add(self, X: Any, y: Tensor) -> None:
        """Add rows X with targets y (n, k); a random share is held out."""
        for start in range(0, X.shape[0], ROWS):
            z, part = self._transformed(X[start : start + ROWS]), y[start : start + ROWS]
            # numpy's stream does not depend on how the rows are cut into batches
            held = torch.from_numpy(self._rng.random(len(z)) < self.validation_fraction)
            if not self._kept.n:
                held[0] = False
            for equations, rows in ((self._kept, ~held), (self._held, held)):
                if rows.any():
                    equations.add(z[rows.to(z.device)], part[rows].to(z.device))
        self._fit = None

    def _transformed(self, X: Any) -> Tensor:
        z = X if self.features_ is None else self.features_.transform(X)
        if sp.issparse(z):
            z = z.toarray()
        if isinstance(z, np.ndarray):
            z = np.require(z, requirements="W")  # torch warns of arrays that may not be written to
        return torch.as_tensor(z).flatten(1)

    def _solution(self) -> Linear:
        """Return the fit to all rows so far, solved on first use."""
        if self._fit is None:
            lambdas = grid(self.lambda_min, self.lambda_max, self.lambda_count)
            # a relative lambda is turned into an absolute one by the sums it is used with
            scores = [self._held.mse(fit) for fit in self._kept.path(lambdas)] if self._held.n else []
            best = int(np.argmin(scores)) if scores else len(lambdas) // 2
            self._fit = next(self._kept.merged(self._held).path([lambdas[best]]))
        return self._fit

    def _finish(self) -> None:
        fit = self._solution()
        self.lambda_ = fit.lam
        self.coef_ = fit.weight.T.cpu().numpy()
        self.intercept_ = fit.bias.cpu().numpy()

    def _input(self, X: Any, reset: bool, **more: Any) -> Any:
        """Check X as scikit-learn does; images and tensors pass with their shape."""
        if isinstance(X, Tensor):
            return X
        sparse = "csr" if get_tags(self).input_tags.sparse else False
        dtypes = [np.float32, np.float64]
        return validate_data(self, X, reset=reset, accept_sparse=sparse, allow_nd=True, dtype=dtypes, **more)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        own = self.features is None or isinstance(self.features, str)
        tags.input_tags.sparse = own or get_tags(self.features).input_tags.sparse
        return tags

    def _raw(self, X: Any) -> Tensor:
        check_is_fitted(self, "features_")
        X = self._input(X, reset=False)
        fit = self._solution()
        parts = [fit.predict(self._transformed(X[i : i + ROWS])) for i in range(0, X.shape[0], ROWS)]
        return torch.cat(parts).cpu()


class NTKRidgeRegressor(RegressorMixin, _NTKRidge):
    """Kernel ridge regression with an approximate neural tangent kernel.

    >>> NTKRidgeRegressor(NTKRandomFeatures(2048)).fit(X, y).predict(X_new)
    """

    def fit(self, X: Any, y: Any) -> NTKRidgeRegressor:
        """Fit to rows or images X (n, ...) and targets y (n,) or (n, k)."""
        X, y = self._both(X, y, reset=True)
        self._start(X)
        self._add(X, y)
        self._finish()
        return self

    def partial_fit(self, X: Any, y: Any) -> NTKRidgeRegressor:
        """Add a batch; the features are fitted to the first one. Solving waits until predict."""
        first = not hasattr(self, "features_")
        X, y = self._both(X, y, reset=first)
        if first:
            self._start(X)
        self._add(X, y)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Return predictions (n,) or (n, k), float64."""
        return self._raw(X).numpy().reshape(-1, *self._shape)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def _both(self, X: Any, y: Any, reset: bool) -> tuple[Any, Tensor]:
        if isinstance(X, Tensor):
            y = torch.as_tensor(y, dtype=torch.float64)
        else:
            X, y = self._input(X, reset, y=y, multi_output=True, y_numeric=True)
            y = torch.from_numpy(np.array(y, np.float64))
        if reset:
            self._shape = tuple(y.shape[1:])
        return X, y.reshape(len(y), -1)


class NTKRidgeClassifier(ClassifierMixin, _NTKRidge):
    """Classification by ridge regression on centred one-hot targets, the class with the largest value.

    >>> make_pipeline(StandardScaler(), NTKRidgeClassifier()).fit(X, y).score(X_new, y_new)

    Attributes
    ----------
    classes_ : ndarray (k,)
    """

    def fit(self, X: Any, y: Any) -> NTKRidgeClassifier:
        """Fit to rows or images X (n, ...) and labels y (n,)."""
        X, y = self._both(X, y, reset=True)
        self.classes_ = unique_labels(y)
        if len(self.classes_) < 2:
            raise DataError(must_be("y", type(self).__name__, "labels of more than one class", "one class"))
        self._start(X)
        self._add(X, self._targets(y))
        self._finish()
        return self

    def partial_fit(self, X: Any, y: Any, classes: Any = None) -> NTKRidgeClassifier:
        """Add a batch; `classes`, all labels there will be, is needed in the first call."""
        first = not hasattr(self, "features_")
        X, y = self._both(X, y, reset=first)
        if first:
            if classes is None:
                me = type(self).__name__
                raise ConfigError(must_be("classes", me, "given in the first call of partial_fit", None))
            self.classes_ = unique_labels(np.asarray(classes))
            self._start(X)
        self._add(X, self._targets(y))
        return self

    def decision_function(self, X: Any) -> np.ndarray:
        """Return the regression's values (n, k), or (n,) for two classes: positive for classes_[1]."""
        value = self._raw(X).numpy()
        return value[:, 1] - value[:, 0] if len(self.classes_) == 2 else value

    def predict(self, X: Any) -> np.ndarray:
        """Return labels (n,)."""
        best = self._raw(X).argmax(1).numpy()
        return self.classes_[best]

    def _both(self, X: Any, y: Any, reset: bool) -> tuple[Any, np.ndarray]:
        if isinstance(X, Tensor):
            y = np.asarray(y)
        else:
            X, y = self._input(X, reset, y=y)
        check_classification_targets(y)
        return X, y

    def _targets(self, y: np.ndarray) -> Tensor:
        index = np.searchsorted(self.classes_, y)
        index = index.clip(max=len(self.classes_) - 1)
        if (self.classes_[index] != y).any():
            unknown = np.setdiff1d(y, self.classes_)[:3].tolist()
            raise DataError(must_be("y", type(self).__name__, "labels that `classes` names", unknown))
        return metrics.targets(torch.from_numpy(index), len(self.classes_))
