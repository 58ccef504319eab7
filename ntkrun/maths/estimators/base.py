"""Base class of the ridge regression estimators."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass
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
from ntkrun.maths.documented import Documented
from ntkrun.maths.estimators.held_out import draws
from ntkrun.maths.method.ntk_sketch import NTKSketch
from ntkrun.maths.ridge.normal import Linear
from ntkrun.maths.ridge.path import grid, grid_problems
from ntkrun.maths.ridge.rows import RowsOrSums
from ntkrun.maths.rng import resolved, seed_problems
from ntkrun.maths.sparse import SparseRows, is_sparse
from ntkrun.maths.threads import worth

# rows added to the sums at a time
ROWS = 512
# Rows transformed at a time. The number is fixed, since the rounding of a float32 product depends on it:
# a row alone would otherwise get another prediction than the same row in a batch.
BLOCK = 64
# feature directions with less than this share of the largest variance are rounding errors of the sums
FLOOR = 1e-13


@dataclass(eq=False, repr=False)
class NTKRidge(Documented, BaseEstimator):
    """Base of the ridge estimators: keeps sums over the rows to fit and over the held-out rows.

    While either has fewer rows than columns, its features are kept instead, which are smaller than the sums.

    A row is held out to choose lambda if a hash of its inputs and the seed is below `validation_fraction`.
    Equal rows are therefore on the same side in any order and batches, and weight two equals the row given
    twice.

    Parameters
    ----------
    features : estimator, "passthrough" or None
        Turns rows or images into features. It is cloned and fitted to the first rows, without their weights.
        None is NTKSketch with the same seed; "passthrough" uses the rows themselves.
    lambda_min, lambda_max : float
        Ends of the grid, relative to the mean squared norm of the centred features.
    lambda_count : int
        Number of lambdas in the grid.
    validation_fraction : float
        Share of the rows held out to choose lambda by squared error; the solution then uses all rows. If
        either side is empty, the middle of the grid is taken.
    alpha_per_target : bool
        True chooses a lambda per target or class, False the one with the least error over all.
    random_state : int, None or RandomState
        Seed of the held-out rows, and of the features if `features` is None.

    Attributes
    ----------
    features_ : fitted estimator, or None for "passthrough"
    lambda_ : float, or ndarray (targets,) for alpha_per_target
        The ridge parameter of (1/n) ‖Z w + b - Y‖² + lambda ‖w‖².
    lambda_path_ : tuple of ndarray (lambda_count,) and ndarray (lambda_count,), float64
        The lambdas tried, ascending, and the mean squared error on the held-out rows with each; errors of
        shape (lambda_count, targets) for alpha_per_target. The lambdas are those of the fit to the other
        rows. `lambda_` is for all rows, whose features have another scale, so it may lie beside the best of
        them. Without held-out rows the errors are NaN.
    coef_ : ndarray (targets, columns)
    intercept_ : ndarray (targets,)
    seed_ : int
        random_state, or the seed drawn from it.
    n_features_in_ : int
        Columns of the rows, or size of the second axis of images.
    """

    features: Any = None
    _: KW_ONLY
    lambda_min: float = 1e-10
    lambda_max: float = 1e-1
    lambda_count: int = 28
    validation_fraction: float = 0.2
    alpha_per_target: bool = False
    random_state: Any = 0

    def _check(self) -> None:
        me = type(self).__name__
        out = grid_problems(me, self.lambda_min, self.lambda_max, self.lambda_count)
        out += checks.real(me, "validation_fraction", self.validation_fraction, 0, 0.5)
        out += checks.boolean(me, "alpha_per_target", self.alpha_per_target)
        out += seed_problems(me, self.random_state)
        if out:
            raise ConfigError(" ".join(out))

    def _start(self, X: Any) -> None:
        """Reset everything and fit the features to X."""
        self._check()
        if isinstance(X, Tensor):  # scikit-learn's check has set it for arrays
            self.n_features_in_ = X.shape[1]
        self.seed_ = resolved(self.random_state)
        features = NTKSketch(random_state=self.seed_) if self.features is None else self.features
        self.features_ = None if isinstance(features, str) and features == "passthrough" else clone(features)
        if self.features_ is not None:
            self.features_.fit(X)
        self._kept, self._held = RowsOrSums(), RowsOrSums()
        self._fit: Linear | None = None
        self._tuned: Linear | None = None  # fit to the kept rows with the best lambda

    def _add(self, X: Any, y: Tensor, weight: Tensor | None) -> None:
        """Add rows X with targets y (n, k) and weights (n,)."""
        for start in range(0, X.shape[0], ROWS):
            batch = slice(start, start + ROWS)
            z, draw = self._transformed(X[batch])
            part, own = y[batch].to(z.device), None if weight is None else weight[batch].to(z.device)
            held = draw < self.validation_fraction
            with worth(z.shape[1]):
                for data, rows in ((self._kept, ~held), (self._held, held)):
                    if rows.any():
                        data.add(z[rows], part[rows], None if own is None else own[rows])
            if held.any():
                self._remember(z[held], part[held], None if own is None else own[held], draw[held])
        self._fit = None

    def _remember(self, z: Tensor, y: Tensor, weight: Tensor | None, draw: Tensor) -> None:
        """Store what a subclass needs of held-out rows besides their sums."""

    def _transformed(self, X: Any) -> tuple[Tensor, Tensor]:
        """Return features (n, m) of rows X, and their draws (n,) on the same device."""
        size = getattr(self.features_, "batch_rows", BLOCK)
        size = min(BLOCK, 1 << (size.bit_length() - 1))  # a power of two within the method's own batch
        features, drawn = [], []
        for start in range(0, X.shape[0], size):
            rows = X[start : start + size]
            count = rows.shape[0]
            if count < size:
                rows = rows[np.arange(size) % count]
            z = rows if self.features_ is None else self.features_.transform(rows)
            features.append(_tensor(z).flatten(1)[:count])
            own = SparseRows.of(rows, torch.float64) if is_sparse(rows) else _tensor(rows)
            drawn.append(draws(own[:count], self.seed_).to(features[-1].device))
        return torch.cat(features), torch.cat(drawn)

    def _solution(self) -> Linear:
        """Return the fit to all rows so far, solved on first use."""
        if self._fit is None:
            with worth((self._kept if self._kept.n else self._held).size):
                self._fit = self._solve()
        return self._fit

    def _solve(self) -> Linear:
        lambdas = grid(self.lambda_min, self.lambda_max, self.lambda_count)
        best, self._tuned = [len(lambdas) // 2], None
        errors: np.ndarray | None = None
        if self._kept.n and self._held.n:
            # relative lambdas become absolute by the sums that are solved
            fits = list(self._kept.path(lambdas, FLOOR))
            if self.alpha_per_target:
                errors = torch.stack([self._held.mse_per_target(fit) for fit in fits]).cpu().numpy()
                best = errors.argmin(0).tolist()
            else:
                errors = np.array([self._held.mse(fit) for fit in fits])
                best = [int(errors.argmin())]
            tried = np.array([fit.lam for fit in fits])
            self._tuned = _joined([fits[i] for i in best])
            self._tuned_lambda = [fits[i].lam for i in best]
        every = self._kept.merged(self._held)
        if self.alpha_per_target and self._tuned is None:
            best *= every.targets
        used = sorted(set(best))
        final = dict(zip(used, every.path([lambdas[i] for i in used], FLOOR), strict=True))
        self._lambda = np.array([final[i].lam for i in best])
        if errors is None:  # nothing was held out: the grid in the units of all rows
            tried = np.array(lambdas) * (self._lambda[0] / lambdas[best[0]])
            errors = np.full((len(lambdas), every.targets) if self.alpha_per_target else len(lambdas), np.nan)
        self._path = tried, errors
        return _joined([final[i] for i in best])

    @property
    def lambda_(self) -> Any:
        """Ridge parameter, or one per target."""
        self._solved()
        return self._lambda if self.alpha_per_target else float(self._lambda[0])

    @property
    def lambda_path_(self) -> tuple[np.ndarray, np.ndarray]:
        """Lambdas tried, and the held-out error with each."""
        self._solved()
        return self._path

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
        """Check X as scikit-learn does, keeping the shape of images; tensors pass unchecked."""
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
        return torch.cat([self._solution().predict(z) for z in self._blocks(X)]).cpu()

    def _blocks(self, X: Any) -> Iterator[Tensor]:
        """Yield the features of X, BLOCK rows at a time."""
        check_is_fitted(self, "features_")
        X = self._input(X, reset=False)
        for start in range(0, X.shape[0], ROWS):
            z = self._transformed(X[start : start + ROWS])[0]
            yield from z.split(BLOCK)


def sample_weights(owner: str, weight: Any, n: int) -> Tensor | None:
    """Return the weights of n rows, (n,) float64, or None for None.

    Raises DataError unless all are finite and at least 0, and one is positive.
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
        raise DataError(must_be(name, owner, f"one number per row, {n} in all", tuple(weight.shape)))
    if not torch.isfinite(weight).all() or (weight < 0).any():
        raise DataError(must_be(name, owner, "finite and at least 0", float(weight.min())))
    if not (weight > 0).any():
        raise DataError(must_be(name, owner, "positive for at least one row", "only zeros"))
    return weight


def _tensor(x: Any) -> Tensor:
    if sp.issparse(x):
        x = x.toarray()
    if isinstance(x, np.ndarray):
        x = np.require(x, requirements="W")  # torch warns about read-only arrays
    return torch.as_tensor(x)


def _joined(fits: list[Linear]) -> Linear:
    """Return the only fit, or one that takes target i from fit i."""
    if len(fits) == 1:
        return fits[0]
    weight = torch.stack([fit.weight[:, i] for i, fit in enumerate(fits)], 1)
    return Linear(weight, torch.stack([fit.bias[i] for i, fit in enumerate(fits)]), fits[0].lam)
