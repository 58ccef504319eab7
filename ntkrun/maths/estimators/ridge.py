"""Ridge regression on kernel features as scikit-learn estimators, in one go or batch by batch.

`fit` and a sequence of `partial_fit` over the same rows hold out the same rows and give the same solution up
to rounding, since both keep only sums (docs/math.md, section 6).
"""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Any

import numpy as np
import torch
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets, unique_labels
from torch import Tensor

from ntkrun.errors import ConfigError, DataError, must_be
from ntkrun.maths import metrics
from ntkrun.maths.estimators.base import NTKRidge, sample_weights
from ntkrun.maths.estimators.held_out import Sample
from ntkrun.maths.estimators.spread import Spread, given_noise
from ntkrun.maths.ridge.normal import Linear


@dataclass(eq=False, repr=False)
class NTKRidgeRegressor(RegressorMixin, NTKRidge):
    """Kernel ridge regression with an approximate neural tangent kernel.

    >>> NTKRidgeRegressor(NTKRandomFeatures(2048)).fit(X, y).predict(X_new)

    Parameters and attributes beyond those of NTKRidge:

    Parameters
    ----------
    noise_variance : float, array (k,) or None
        Variance of the noise, for `return_std`, in squared units of the targets. None takes the one under
        which the held-out rows (at most 2048 of them) are most likely.

    Attributes
    ----------
    noise_variance_ : ndarray (k,)
        noise_variance, or the one found.
    """

    _: KW_ONLY
    noise_variance: Any = None

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> NTKRidgeRegressor:
        """Fit to rows or images X (n, ...), targets y (n,) or (n, k) and weights (n,).

        An integer weight counts as that many equal rows. Raises ConfigError for a bad parameter, DataError
        for bad weights.
        """
        X, y, weight = self._all(X, y, sample_weight, reset=True)
        self._start(X)
        self._add(X, y, weight)
        self._solution()
        return self

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> NTKRidgeRegressor:
        """Add a batch; the first one also fits the features. The solution is computed on first use."""
        first = not hasattr(self, "features_")
        X, y, weight = self._all(X, y, sample_weight, reset=first)
        if first:
            self._start(X)
        self._add(X, y, weight)
        return self

    def _start(self, X: Any) -> None:
        super()._start(X)
        self._sample = Sample()

    def _add(self, X: Any, y: Tensor, weight: Tensor | None) -> None:
        super()._add(X, y, weight)
        self._spread: Spread | None = None
        self._noise: np.ndarray | None = None

    def predict(self, X: Any, return_std: bool = False) -> Any:
        """Return predictions (n,) or (n, k), float64; with `return_std` also their standard deviations.

        These are of the Gaussian process whose mean is the prediction (docs/math.md, section 10), without the
        noise: a new target has the variance std^2 + ``noise_variance_``. The first such call after a fit
        factors a matrix of the smaller of rows and columns, and keeps the factor.
        """
        if not return_std:
            return self._raw(X).numpy().reshape(-1, *self._shape)
        self._solved()
        spread, noise, fit = self._spread_of_all(), torch.from_numpy(self.noise_variance_), self._solution()
        pairs = [(fit.predict(z).cpu(), spread(z).cpu()) for z in self._blocks(X)]
        mean, variance = (torch.cat(parts) for parts in zip(*pairs, strict=True))
        std = (variance * noise).sqrt()
        return mean.numpy().reshape(-1, *self._shape), std.numpy().reshape(-1, *self._shape)

    @property
    def noise_variance_(self) -> np.ndarray:
        """Variance of the noise per target, (k,) float64; DataError without held-out rows to find it."""
        fit = self._solved()
        if self._noise is None:
            self._noise = self._found_noise(fit.weight.shape[1])
        return self._noise

    def _found_noise(self, targets: int) -> np.ndarray:
        me = type(self).__name__
        given = given_noise(me, self.noise_variance, targets)
        if given is not None:
            return given
        if self._tuned is None:
            remedy = "Fit to more rows, or give it."
            raise DataError(must_be("noise_variance", me, "given if no rows are held out", None, remedy))
        spread = Spread(self._kept, self._tuned_lambda, targets)
        return self._sample.noise_variance(self._tuned, spread).cpu().numpy()

    def _spread_of_all(self) -> Spread:
        if self._spread is None:
            every = self._kept.merged(self._held)
            self._spread = Spread(every, self._lambda.tolist(), self._solved().weight.shape[1])
        return self._spread

    def _remember(self, z: Tensor, y: Tensor, weight: Tensor | None, draw: Tensor) -> None:
        self._sample.add(z, y, torch.ones_like(draw) if weight is None else weight, draw)

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()  # a factor is large, and quickly made again
        return state | ({"_spread": None} if "_spread" in state else {})

    def _check(self) -> None:
        super()._check()
        given_noise(type(self).__name__, self.noise_variance, None)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def _all(self, X: Any, y: Any, sample_weight: Any, reset: bool) -> tuple[Any, Tensor, Tensor | None]:
        if isinstance(X, Tensor):
            y = torch.as_tensor(y, dtype=torch.float64)
        else:
            X, y = self._input(X, reset, y=y, multi_output=True, y_numeric=True)
            y = torch.from_numpy(np.array(y, np.float64))
        if reset:
            self._shape = tuple(y.shape[1:])
        y = y.reshape(len(y), -1)
        weight = sample_weights(type(self).__name__, sample_weight, len(y))
        if weight is None:
            return X, y, None
        positive = (weight > 0).nonzero()[:, 0]
        return _rows(X, positive), y[positive.to(y.device)], weight[positive]


@dataclass(eq=False, repr=False)
class NTKRidgeClassifier(ClassifierMixin, NTKRidge):
    """Classification by ridge regression on centred one-hot targets; the class with the largest value wins.

    >>> make_pipeline(StandardScaler(), NTKRidgeClassifier()).fit(X, y).score(X_new, y_new)

    Parameters and attributes beyond those of NTKRidge:

    Parameters
    ----------
    class_weight : None, "balanced" or dict
        Factor on the weights of a class's rows. "balanced" gives all classes the same total weight;
        partial_fit does not accept it.

    Attributes
    ----------
    classes_ : ndarray (k,)
    temperature_ : float
        Probabilities are ``softmax(values / temperature_)``. It is the most likely one for held-out rows
        under the fit to the other rows. If either side is empty it is 1/k: probabilities are then
        1/k + values, to first order.
    """

    _: KW_ONLY
    class_weight: Any = None

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> NTKRidgeClassifier:
        """Fit to rows or images X (n, ...), labels y (n,) and weights (n,).

        An integer weight counts as that many equal rows. Raises ConfigError for a bad parameter, DataError
        for bad weights or a single class.
        """
        X, y, weight = self._all(X, y, sample_weight, reset=True)
        self.classes_ = unique_labels(y)
        if len(self.classes_) < 2:
            raise DataError(must_be("y", type(self).__name__, "labels of more than one class", "one class"))
        self._start(X)
        self._add(X, self._targets(y), self._weighted(y, weight))
        self._solution()
        return self

    def partial_fit(
        self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None
    ) -> NTKRidgeClassifier:
        """Add a batch. The first call needs `classes`, all labels that will occur."""
        me, first = type(self).__name__, not hasattr(self, "features_")
        if isinstance(self.class_weight, str):
            remedy = "Use class_weight={class: weight}, since a batch lacks the class counts."
            raise ConfigError(
                must_be("class_weight", me, "None or a dict for partial_fit", self.class_weight, remedy)
            )
        X, y, weight = self._all(X, y, sample_weight, reset=first)
        if first:
            if classes is None:
                raise ConfigError(must_be("classes", me, "given in the first call to partial_fit", None))
            self.classes_ = unique_labels(np.asarray(classes))
            self._start(X)
        self._add(X, self._targets(y), self._weighted(y, weight))
        return self

    def decision_function(self, X: Any) -> np.ndarray:
        """Return the regression's values (n, k), or (n,) for two classes: positive for classes_[1]."""
        value = self._raw(X).numpy()
        return value[:, 1] - value[:, 0] if len(self.classes_) == 2 else value

    def predict(self, X: Any) -> np.ndarray:
        """Return labels (n,)."""
        best = self._raw(X).argmax(1).numpy()
        return self.classes_[best]

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return probabilities (n, k), float64: softmax of the values over `temperature_`."""
        return (self._raw(X) / self.temperature_).softmax(1).numpy()

    @property
    def temperature_(self) -> float:
        """Temperature of the probabilities."""
        self._solved()
        return self._temperature

    def _start(self, X: Any) -> None:
        super()._start(X)
        self._sample = Sample()

    def _remember(self, z: Tensor, y: Tensor, weight: Tensor | None, draw: Tensor) -> None:
        ones = torch.ones_like(draw) if weight is None else weight
        self._sample.add(z, y.argmax(1), ones, draw)

    def _solve(self) -> Linear:
        fit = super()._solve()
        self._temperature = 1 / len(self.classes_)
        if self._tuned is not None:
            self._temperature = self._sample.temperature(self._tuned)
        return fit

    def _all(self, X: Any, y: Any, sample_weight: Any, reset: bool) -> tuple[Any, np.ndarray, Tensor | None]:
        if isinstance(X, Tensor):
            y = np.asarray(y.cpu() if isinstance(y, Tensor) else y)
        else:
            X, y = self._input(X, reset, y=y)
        check_classification_targets(y)
        weight = sample_weights(type(self).__name__, sample_weight, len(y))
        if weight is None:
            return X, y, None
        positive = (weight > 0).nonzero()[:, 0]
        return _rows(X, positive), y[positive.cpu().numpy()], weight[positive]

    def _weighted(self, y: np.ndarray, weight: Tensor | None) -> Tensor | None:
        """Return the row weights times the class weights."""
        if self.class_weight is None:
            return weight
        own = None if weight is None else weight.cpu().numpy()
        try:
            factors = compute_class_weight(self.class_weight, classes=self.classes_, y=y, sample_weight=own)
        except (ValueError, TypeError) as error:
            me, allowed = type(self).__name__, 'None, "balanced" or a dict {class: weight}'
            reason = " ".join(str(error).split())
            raise ConfigError(must_be("class_weight", me, allowed, self.class_weight, reason)) from error
        each = factors[np.searchsorted(self.classes_, y)]
        each = torch.from_numpy(each if own is None else each * own)
        return sample_weights(type(self).__name__, each, len(y))

    def _targets(self, y: np.ndarray) -> Tensor:
        index = np.searchsorted(self.classes_, y)
        index = index.clip(max=len(self.classes_) - 1)
        if (self.classes_[index] != y).any():
            unknown = np.setdiff1d(y, self.classes_)[:3].tolist()
            raise DataError(must_be("y", type(self).__name__, "labels in `classes`", unknown))
        return metrics.targets(torch.from_numpy(index), len(self.classes_))


def _rows(X: Any, index: Tensor) -> Any:
    return X[index.to(X.device)] if isinstance(X, Tensor) else X[index.cpu().numpy()]
