"""Base class of all methods: parameters, checks of inputs, fit and transform."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Protocol, TypeVar

import numpy as np
import scipy.sparse as sp
import torch
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin, clone
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor

from ntkrun import checks
from ntkrun.errors import ConfigError, DataError, MachineError, must_be
from ntkrun.maths.documented import Documented
from ntkrun.maths.ridge.dual import KernelPredictor
from ntkrun.maths.ridge.normal import Linear
from ntkrun.maths.rng import resolved, seed_problems
from ntkrun.maths.sparse import SparseRows, canonical, is_sparse

# Working set of one batch: large enough for full matrix products, small enough for the last-level cache.
# Measured on 32x32 images: batches of 4 to 8 images are fastest and 16 are 10 % slower.
BATCH_BYTES = 48 << 20
BATCH_ENTRIES = 1 << 19  # of sparse rows, at which the arrays between two steps still come from the cache
DTYPES = {"float32": torch.float32, "float64": torch.float64}

P = TypeVar("P", covariant=True)


class Solves(Protocol[P]):
    """Interface of a solver of ridge regression, for features (primal) and for kernel values (dual)."""

    @property
    def primal(self) -> P:
        """Solver for features."""

    @property
    def dual(self) -> P:
        """Solver for kernel values."""


class Method(Documented, ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator, ABC):
    """Base of all methods: the constructor stores, `fit` draws, `transform` is pure.

    A method is a FeatureMethod or a KernelMethod. Its `name` is that of its yaml. Its `version` is part of
    the cache key: raise it whenever the numbers change.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1
    predictor: ClassVar[type[Linear] | type[KernelPredictor]]
    # whether sparse rows are accepted, and whether they stay sparse or become dense a batch at a time
    sparse: ClassVar[bool] = False
    stays_sparse: ClassVar[bool] = False

    # whether the rows of `fit`, or those of a data set, stay sparse
    _sparse = False

    # The device is not part of the features' identity, since it does not change what is drawn.
    device: str = "cpu"
    dtype: str = "float32"

    def problems(self) -> list[str]:
        """Return one sentence per wrong parameter, without looking at data."""
        me, has = type(self).__name__, self.get_params(deep=False)
        out = checks.choice(me, "dtype", self.dtype, list(DTYPES))
        if "depth" in has:
            out += checks.integer(me, "depth", has["depth"], 1, 100)
        if "n_components" in has:
            out += checks.integer(me, "n_components (feature_dim)", has["n_components"], 1, 1 << 24)
        if "random_state" in has:
            out += seed_problems(me, has["random_state"])
        return out

    def parameters(self) -> dict[str, Any]:
        """Return the constructor's arguments except the device."""
        return {k: v for k, v in self.get_params(deep=False).items() if k != "device"}

    def identity(self) -> dict[str, Any]:
        """Return what determines the numbers: class, version and parameters."""
        return {"method": type(self).__name__, "version": self.version, **self.parameters()}

    def code(self) -> str:
        """Return class and version, which change whenever the numbers do."""
        return f"{type(self).__name__} {self.version}"

    def fitted(self) -> list[Tensor]:
        """Return the tensors that `fit` took from the inputs; they keep features of two fits apart."""
        return []

    @property
    def adapts(self) -> bool:
        """Whether `fit` takes tensors from the inputs, see `fitted`."""
        return type(self).fitted is not Method.fitted

    def compact(self) -> tuple[dict[str, Any], Any]:
        """Return parameters and an index of the sample: fitted to those rows alone, the method is the same.

        A saved model keeps no others.
        """
        return self.parameters(), slice(None)

    def for_data(self, shape: Sequence[int]) -> Method:
        """Return the method for rows of shape `shape` from a data set; images are channels-last.

        Raises DataError if the method cannot take them.
        """
        return self

    def for_sparse(self) -> Method:
        """Return the method for sparse rows from a data set; DataError if it cannot take them."""
        if not self.sparse:
            remedy = "Take method=ntk_sketch."
            raise DataError(must_be("method", "ntkrun", "one that takes sparse rows", self.name, remedy))
        made = clone(self)
        made._sparse = self.stays_sparse
        return made

    def fit(self, X: Any, y: Any = None) -> Method:
        """Draw all randomness for data shaped like X; labels are never used.

        Raises ConfigError for a bad parameter and DataError for a shape that does not fit.
        """
        if found := self.problems():
            raise ConfigError(" ".join(found))
        self.seed_ = resolved(getattr(self, "random_state", 0))
        X = self._checked(X, reset=True)
        self._sparse = self.stays_sparse and is_sparse(X)
        self.input_shape_ = tuple(self._tensor(X[:1]).shape[1:])
        self._fit(X)
        return self

    def transform(self, X: Any) -> Any:
        """Return features (n, columns) or kernel values of X; a tensor if X is one, else an array.

        Sparse and dense X may be mixed: each batch is brought to the kind of the rows that were fitted.
        """
        check_is_fitted(self, "input_shape_")
        X = self._checked(X, reset=False)
        rows, parts = self.batch_rows, []
        if self._sparse and is_sparse(X):
            entries = len(X.values) if isinstance(X, SparseRows) else X.nnz
            rows = min(rows, max(1, BATCH_ENTRIES * X.shape[0] // max(1, entries)))
        with torch.inference_mode():
            for start in range(0, X.shape[0], rows):
                batch = self._tensor(X[start : start + rows])
                if tuple(batch.shape[1:]) != self.input_shape_:
                    need, got = f"of shape (n, {self.input_shape_})", tuple(batch.shape)
                    raise DataError(must_be("X", type(self).__name__, need, got))
                parts.append(self._transform(batch))
        out = torch.cat(parts)
        return out if isinstance(X, Tensor | SparseRows) else out.cpu().numpy()

    @property
    def batch_rows(self) -> int:
        """Rows transformed at a time, after fit."""
        return max(1, BATCH_BYTES // max(1, self.bytes_per_row(self.input_shape_)))

    @property
    def sample_rows(self) -> int:
        """Rows that `fit` uses: one for its shape, more if the method adapts to the inputs."""
        return 1

    @property
    @abstractmethod
    def columns(self) -> int:
        """Columns of the features, after fit."""

    @abstractmethod
    def columns_for(self, shape: Sequence[int]) -> int:
        """Return the number of columns of the features of rows shaped `shape`, before fit."""

    @abstractmethod
    def problem(self, solver: Solves[P]) -> P:
        """Return the form of `solver` for this method, primal or dual."""

    def shape_of(self, shape: Sequence[int]) -> tuple[int, ...]:
        """Return the internal shape of a row shaped `shape`; raises DataError if it does not fit."""
        return tuple(shape)

    def check_shape(self, shape: Sequence[int]) -> None:
        """Raise DataError unless the method fits rows of this internal shape; `fit` does the same."""
        return

    @abstractmethod
    def kernel(self, X: Any, Y: Any = None) -> Any:
        """Return the exact kernel (n, m) that the method approximates; symmetric and cheaper for Y None."""

    @abstractmethod
    def bytes_per_row(self, shape: Sequence[int]) -> int:
        """Return the bytes that one row of a batch needs during transform."""

    @abstractmethod
    def _fit(self, X: Any) -> None: ...

    @abstractmethod
    def _transform(self, batch: Any) -> Tensor:
        """Return the features of a batch, a Tensor or, if the fitted rows stay sparse, SparseRows."""

    def _shaped(self, rows: Tensor) -> Tensor:
        return rows

    @property
    def _n_features_out(self) -> int:
        return self.columns

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = [self.dtype]
        tags.input_tags.sparse = self.sparse
        return tags

    def _checked(self, X: Any, reset: bool) -> Any:
        """Return X as scikit-learn validates it (shape, finite, column names); tensors pass unchanged."""
        if isinstance(X, Tensor) and is_sparse(X):
            X = SparseRows.of(X, X.dtype, X.device)
        if isinstance(X, Tensor | SparseRows):
            if reset:
                self.n_features_in_ = int(X.shape[1])
            return X
        try:
            X = validate_data(
                self,
                X,
                reset=reset,
                accept_sparse="csr" if self.sparse else False,
                allow_nd=True,
                dtype="numeric",
                ensure_all_finite=False,
            )
        except ValueError as error:
            raise DataError(" ".join(str(error).split())) from error
        if is_sparse(X):
            X = canonical(X)
        # fit may use only some of the rows; transform checks its rows batch by batch
        if reset and not np.isfinite(X.data if sp.issparse(X) else X).all():
            raise self._not_finite()
        return X

    def _not_finite(self) -> DataError:
        return DataError(must_be("X", type(self).__name__, "finite", "nan or inf", "Clean the rows."))

    def _tensor(self, x: Any) -> Any:
        """Return x as a finite tensor of this method's dtype on its device, or raise DataError.

        SparseRows if the rows of `fit` stay sparse; before `fit`, if those of x do.
        """
        if self._sparse or (self.stays_sparse and is_sparse(x) and not hasattr(self, "input_shape_")):
            if not is_sparse(x):
                x = torch.as_tensor(x)
            rows = SparseRows.of(x, DTYPES[self.dtype], torch_device(self.device))
            if not torch.isfinite(rows.values).all():
                raise self._not_finite()
            return rows
        if isinstance(x, SparseRows):
            x = x.dense()
        elif sp.issparse(x):
            x = x.toarray()
        try:
            tensor = torch.as_tensor(np.require(x, None, ["C", "W"]) if isinstance(x, np.ndarray) else x)
        except (TypeError, ValueError, RuntimeError) as error:
            raise DataError(must_be("X", type(self).__name__, "numeric", type(x).__name__)) from error
        tensor = tensor.to(device=torch_device(self.device), dtype=DTYPES[self.dtype])
        if not torch.isfinite(tensor).all():
            raise self._not_finite()
        return self._shaped(tensor)


def torch_device(name: str) -> torch.device:
    """Return the device; raises MachineError if this machine lacks it, ConfigError for other names.

    "auto" is CUDA if there is one, else the CPU. (Apple's MPS has no float64, which the solver needs.)
    """
    if not isinstance(name, str) or not re.fullmatch(r"auto|cpu|cuda(:[0-9]{1,3})?", name):
        raise ConfigError(must_be("device", "ntkrun", "auto, cpu, cuda or cuda:N", name))
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise MachineError(must_be("device", "ntkrun", "one this machine has", name, "Use device=cpu."))
    return device
