"""What ridge regression as a scikit-learn estimator keeps of its rows, and how it solves."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from sklearn.base import BaseEstimator, clone
from sklearn.utils import get_tags
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor

from ntkrun import checks
from ntkrun.errors import ConfigError, DataError, must_be
from ntkrun.maths.estimators.held_out import draws
from ntkrun.maths.method.ntk_sketch import NTKSketch
from ntkrun.maths.ridge.normal import Linear, NormalEquations
from ntkrun.maths.ridge.path import grid, grid_problems
from ntkrun.maths.rng import resolved, seed_problems
from ntkrun.maths.threads import worth

# rows that are added to the sums at a time
ROWS = 512
# Rows that become features at a time, always as many: the rounding of a matrix product in single precision
# depends on its number of rows, so a row alone would get another prediction than the same row among others.
BLOCK = 64
# directions of the features with less than this of the largest variance are rounding of the sums
FLOOR = 1e-13


class NTKRidge(BaseEstimator):
    """Sums over rows kept for fitting and over rows held out to choose lambda; no features are kept.

    A row is held out where a hash of its inputs and of the seed is below `validation_fraction`. So equal
    rows are on the same side, whatever their order and batches, and a row of weight two counts on its side
    as the row given twice.

    Parameters
    ----------
    features : estimator, "passthrough" or None
        Turns rows or images into features; it is cloned and fitted to the first rows, without their
        weights. None takes NTKSketch with the same seed, "passthrough" takes rows as they are.
    lambda_min, lambda_max : float
        Ends of the grid, relative to the mean squared norm of the centred features.
    lambda_count : int
    validation_fraction : float
        Share of the rows held out, by the least squared error over which lambda is chosen; the solution
        then uses all rows. If either side is empty, the middle of the grid is taken.
    alpha_per_target : bool
        True gives each target, or class, a lambda of its own; False the one with the least error over all.
    random_state : int, None or RandomState
        Of the held-out rows, and of the features for None.

    Attributes
    ----------
    features_ : fitted estimator, or None for "passthrough"
    lambda_ : float, or ndarray (targets,) for alpha_per_target
        The ridge parameter of (1/n) ‖Z w + b - Y‖² + lambda ‖w‖².
    coef_ : ndarray (targets, columns)
    intercept_ : ndarray (targets,)
    seed_ : int
        random_state, or what it gave.
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
        alpha_per_target: bool = False,
        random_state: Any = 0,
    ):
        self.features = features
        self.lambda_min = lambda_min
        self.lambda_max = lambda_max
        self.lambda_count = lambda_count
        self.validation_fraction = validation_fraction
        self.alpha_per_target = alpha_per_target
        self.random_state = random_state

    def _check(self) -> None:
        me = type(self).__name__
        out = grid_problems(me, self.lambda_min, self.lambda_max, self.lambda_count)
        out += checks.real(me, "validation_fraction", self.validation_fraction, 0, 0.5)
        out += checks.boolean(me, "alpha_per_target", self.alpha_per_target)
        out += seed_problems(me, self.random_state)
        if out:
            raise ConfigError(" ".join(out))

    def _start(self, X: Any) -> None:
        """Forget everything, and fit the features to X."""
        self._check()
        self.seed_ = resolved(self.random_state)
        features = NTKSketch(random_state=self.seed_) if self.features is None else self.features
        self.features_ = None if isinstance(features, str) and features == "passthrough" else clone(features)
        if self.features_ is not None:
            self.features_.fit(X)
        self._kept, self._held = NormalEquations(), NormalEquations()
        self._fit: Linear | None = None
        self._tuned: Linear | None = None  # to the kept rows, with the lambda that is best

    def _add(self, X: Any, y: Tensor, weight: Tensor | None) -> None:
        """Add rows X with targets y (n, k) and weights (n,)."""
        for start in range(0, X.shape[0], ROWS):
            batch = slice(start, start + ROWS)
            z, draw = self._transformed(X[batch])
            part, own = y[batch].to(z.device), None if weight is None else weight[batch].to(z.device)
            held = draw < self.validation_fraction
            with worth(z.shape[1]):
                for equations, rows in ((self._kept, ~held), (self._held, held)):
                    if rows.any():
                        equations.add(z[rows], part[rows], None if own is None else own[rows])
            if held.any():
                self._remember(z[held], part[held], None if own is None else own[held], draw[held])
        self._fit = None

    def _remember(self, z: Tensor, y: Tensor, weight: Tensor | None, draw: Tensor) -> None:
        """Keep what a subclass needs of held-out rows beyond their sums."""

    def _transformed(self, X: Any) -> tuple[Tensor, Tensor]:
        """Return features (n, m) of rows X, and their draws (n,) on the same device."""
        size = getattr(self.features_, "batch_rows", BLOCK)
        size = min(BLOCK, 1 << (size.bit_length() - 1))  # a divisor of what the method does at once
        features, drawn = [], []
        for start in range(0, X.shape[0], size):
            rows = X[start : start + size]
            count = rows.shape[0]
            if count < size:
                rows = rows[np.arange(size) % count]
            z = rows if self.features_ is None else self.features_.transform(rows)
            features.append(_tensor(z).flatten(1)[:count])
            drawn.append(draws(_tensor(rows)[:count], self.seed_).to(features[-1].device))
        return torch.cat(features), torch.cat(drawn)

    def _solution(self) -> Linear:
        """Return the fit to all rows so far, solved on first use."""
        if self._fit is None:
            with worth((self._kept if self._kept.n else self._held).gram.shape[0]):
                self._fit = self._solve()
        return self._fit

    def _solve(self) -> Linear:
        lambdas = grid(self.lambda_min, self.lambda_max, self.lambda_count)
        best, self._tuned = [len(lambdas) // 2], None
        if self._kept.n and self._held.n:
            # a relative lambda is turned into an absolute one by the sums it is used with
            fits = list(self._kept.path(lambdas, FLOOR))
            if self.alpha_per_target:
                best = torch.stack([self._held.mse_per_target(fit) for fit in fits]).argmin(0).tolist()
            else:
                best = [int(np.argmin([self._held.mse(fit) for fit in fits]))]
            self._tuned = _joined([fits[i] for i in best])
        every = self._kept.merged(self._held)
        if self.alpha_per_target and self._tuned is None:
            best *= len(every.mean_y)
        used = sorted(set(best))
        final = dict(zip(used, every.path([lambdas[i] for i in used], FLOOR), strict=True))
        self._lambda = np.array([final[i].lam for i in best])
        return _joined([final[i] for i in best])

    @property
    def lambda_(self) -> Any:
        """Ridge parameter, or those of all targets."""
        self._solved()
        return self._lambda if self.alpha_per_target else float(self._lambda[0])

    @property
    def coef_(self) -> np.ndarray:
        """Weights (targets, columns), float64."""
        return self._solved().weight.T.cpu().numpy()

    @property
    def intercept_(self) -> np.ndarray:
        """Constants (targets,), float64."""
        return self._solved().bias.cpu().numpy()

    def _solved(self) -> Linear:
        check_is_fitted(self, "features_")
        return self._solution()

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
        parts = []
        for start in range(0, X.shape[0], ROWS):
            z = self._transformed(X[start : start + ROWS])[0]
            parts += [fit.predict(z[i : i + BLOCK]) for i in range(0, len(z), BLOCK)]
        return torch.cat(parts).cpu()


def sample_weights(owner: str, weight: Any, n: int) -> Tensor | None:
    """Return weights of n rows, (n,) float64; None as it is.

    Raises DataError unless they are finite, none is negative, and at least one is positive.
    """
    if weight is None:
        return None
    if not isinstance(weight, Tensor):
        weight = torch.from_numpy(np.array(weight, np.float64))
    weight = weight.to(torch.float64)
    if weight.ndim == 0:
        weight = weight.expand(n)
    name = "sample_weight"
    if weight.shape != (n,):
        raise DataError(must_be(name, owner, f"a number for each of {n} rows", tuple(weight.shape)))
    if not torch.isfinite(weight).all() or (weight < 0).any():
        raise DataError(must_be(name, owner, "finite and at least 0", float(weight.min())))
    if not (weight > 0).any():
        raise DataError(must_be(name, owner, "positive for some row", "a weight of zero for each"))
    return weight


def _tensor(x: Any) -> Tensor:
    if sp.issparse(x):
        x = x.toarray()
    if isinstance(x, np.ndarray):
        x = np.require(x, requirements="W")  # torch warns of arrays that may not be written to
    return torch.as_tensor(x)


def _joined(fits: list[Linear]) -> Linear:
    """Return the one fit there is, or that which takes target i from fit i."""
    if len(fits) == 1:
        return fits[0]
    weight = torch.stack([fit.weight[:, i] for i, fit in enumerate(fits)], 1)
    return Linear(weight, torch.stack([fit.bias[i] for i, fit in enumerate(fits)]), fits[0].lam)
