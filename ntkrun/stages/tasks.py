"""Define the work of a run: features of rows or exact kernel values, depending on the method."""

from __future__ import annotations

import hashlib
import logging
import time
from abc import ABC, abstractmethod
from functools import cached_property
from typing import ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ntkrun.datasets.split import Role, Split
from ntkrun.maths.method.base import BATCH_BYTES, DTYPES, Method, torch_device
from ntkrun.maths.method.features import FeatureMethod
from ntkrun.maths.method.kernel import KernelMethod
from ntkrun.maths.ridge.cholesky import dual_bytes
from ntkrun.maths.sparse import joined
from ntkrun.progress import saying
from ntkrun.solvers.base import Solver
from ntkrun.store.precision import BYTES

log = logging.getLogger(__name__)


class Piece(NamedTuple):
    """Rows start..stop of a part, which make up the shard `name`."""

    name: str
    role: Role
    start: int
    stop: int

    @property
    def rows(self) -> int:
        """Number of rows."""
        return self.stop - self.start


class Task(ABC):
    """Fit a method, compute pieces with it, estimate its memory, name the rows that a saved model needs."""

    kind: ClassVar[str]  # name in results and reports
    title: ClassVar[str]
    unit: ClassVar[str]
    fit_seconds = 0.0

    def __init__(self, split: Split, method: Method, features_dtype: str | None = None):
        self.split, self.dtype = split, DTYPES[method.dtype]
        method = method.for_sparse() if split.sparse else method
        # the type that features are stored in, if it is another one
        self.features_dtype = None if features_dtype == method.dtype else features_dtype
        self.method = method.for_data(split.train.x.shape[1:])
        self.device = torch_device(method.device)

    @abstractmethod
    def fit(self) -> None:
        """Fit the method."""

    @cached_property
    def fitted_sha256(self) -> str | None:
        """Hash of the tensors that the method took from the inputs, after the fit; None without any."""
        if not (tensors := self.method.fitted()):
            return None
        digest = hashlib.sha256()
        for tensor in tensors:
            digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()

    @abstractmethod
    def warm_up(self) -> None:
        """Do a little work, so that one-time set-up is not timed."""

    @abstractmethod
    def units(self, piece: Piece) -> int:
        """Return the amount of work in a piece."""

    @abstractmethod
    def compute(self, piece: Piece) -> Tensor:
        """Return the values of a piece (rows, columns)."""

    @property
    @abstractmethod
    def columns(self) -> int:
        """Columns of a piece, known before the method is fitted."""

    @abstractmethod
    def stage_bytes(self, shard_rows: int, solver: Solver, stored: bool = True) -> dict[str, int]:
        """Return the bytes that each stage after the fit needs beyond what is loaded: batch, shard, solver.

        Stages follow each other and free what they took.
        """

    def bytes(self, shard_rows: int, solver: Solver, stored: bool = True) -> int:
        """Return the bytes of the largest stage after the fit."""
        return max(self.stage_bytes(shard_rows, solver, stored).values())

    @abstractmethod
    def rereads(self, solver: Solver) -> tuple[str, str] | None:
        """Return what needs stored features, and the remedy; None if their sums are enough."""

    def fit_bytes(self) -> int:
        """Return the bytes that the fit needs and frees, beyond what is loaded."""
        return 0

    def weight_bytes(self) -> int:
        """Return the bytes of the fitted method that grow with the size of a row."""
        return 0

    @abstractmethod
    def model_rows(self) -> np.ndarray:
        """Return the raw training rows that a saved model needs to fit its method again."""

    def reference(self) -> KernelMethod | None:
        """Return the exact kernel that the method approximates; None if there is none."""
        return None

    def batch_bytes(self) -> int:
        """Return the bytes of a batch in flight."""
        shape = self.method.shape_of(self.split.train.x.shape[1:])
        return max(BATCH_BYTES, self.method.bytes_per_row(shape))

    def feature_bytes(self, rows: int) -> int:
        """Return the bytes of the stored values of some rows, before they are known."""
        computed = torch.finfo(self.dtype).bits // 8
        return rows * self.columns * (BYTES[self.features_dtype] if self.features_dtype else computed)

    def largest(self, shard_rows: int) -> int:
        """Return the number of entries in the largest shard."""
        split = self.split
        rows = min(shard_rows, max(len(part) for part in (split.train, split.valid, split.test)))
        return rows * self.columns


class FeatureTask(Task):
    """Compute features of rows, each independent of the others."""

    kind, title, unit = "features", "featurize ", "rows"
    method: FeatureMethod

    def reference(self) -> KernelMethod | None:
        """See Task."""
        return self.method.reference()

    def fit(self) -> None:
        """Fit the method to a sample of the training rows."""
        start = time.perf_counter()
        rows = min(self.method.sample_rows, len(self.split.train))
        with saying(f"fit        {self.method.name} to {rows:,} training rows"):
            sample = self.split.sample(self.method.sample_rows, self.dtype, self.device)
            self.method.fit(sample)
        # drawing random numbers is set-up, fitting to rows is work
        if self.method.sample_rows > 1:
            self.fit_seconds = time.perf_counter() - start
            log.info("fit        to %d training rows in %.1f s", len(sample), self.fit_seconds)

    def fit_bytes(self) -> int:
        """See Task."""
        rows = min(self.method.sample_rows, len(self.split.train))
        return self.method.fit_bytes(rows, self.split.train.x.shape[1:])

    def weight_bytes(self) -> int:
        """See Task."""
        return self.method.weight_bytes(self.split.train.x.shape[1:])

    def warm_up(self) -> None:
        """Compute one row."""
        self.compute(Piece("", Role.TRAIN, 0, 1))

    def units(self, piece: Piece) -> int:
        """Return the number of rows."""
        return piece.stop - piece.start

    def compute(self, piece: Piece) -> Tensor:
        """Return the features of the rows."""
        _, role, start, stop = piece
        return self.method.transform(self.split.batch(role, start, stop, self.dtype, self.device))

    @property
    def columns(self) -> int:
        """See Task."""
        return self.method.columns_for(self.split.train.x.shape[1:])

    def rereads(self, solver: Solver) -> tuple[str, str] | None:
        """See Task."""
        return solver.rereads(self.split.n_train, self.columns)

    def stage_bytes(self, shard_rows: int, solver: Solver, stored: bool = True) -> dict[str, int]:
        """See Task. Features that are not stored are computed beside the sums."""
        shard = self.largest(shard_rows)
        # the shard, and two copies of its file during the write; rounded features are one more
        featurize = self.batch_bytes() + (8 + BYTES[self.features_dtype or "float32"]) * shard
        # the shard in both precisions, and file and shard of the next one
        rows, targets = self.split.n_train, self.split.classes or 1
        held = 8 * len(self.split.valid.y) * targets * solver.lambda_count  # predictions of every lambda
        regress = solver.bytes(rows, self.columns, targets, self.dtype) + 20 * shard + held
        if not stored:
            return {"featurize + solve": self.batch_bytes() + regress}
        return {"featurize": featurize, "solve": regress}

    def model_rows(self) -> np.ndarray:
        """Return those rows of the sample that give the same fit."""
        return self.split.raw_sample(self.method.sample_rows)[self.method.compact()[1]]


class KernelTask(Task):
    """Compute rows of the exact Gram matrix against all training rows: train part first, then valid part.

    Training rows are filled up to the diagonal and zero beyond, so each symmetric entry is computed once.
    """

    kind, title, unit = "kernel", "kernel    ", "entries"
    method: KernelMethod

    def fit(self) -> None:
        """Fit the method to all training rows."""
        split = self.split
        with saying(f"fit        {self.method.name} to {split.n_train:,} training rows"):
            parts = [split.batch(r, 0, len(split.part(r)), self.dtype) for r in (Role.TRAIN, Role.VALID)]
            self.rows = joined(parts)
            self.method.fit(self.rows)

    def warm_up(self) -> None:
        """Compute one entry, which compiles the kernel."""
        self.method.kernel(self.rows[:1], self.rows[:1])

    def _among_rows(self, piece: Piece) -> tuple[int, int]:
        """Return start and stop of a train or valid piece among all training rows."""
        first = 0 if piece.role is Role.TRAIN else len(self.split.train)
        return first + piece.start, first + piece.stop

    def units(self, piece: Piece) -> int:
        """Return the number of distinct kernel entries."""
        if piece.role is Role.TEST:
            return (piece.stop - piece.start) * self.columns
        start, stop = self._among_rows(piece)
        return (stop * (stop + 1) - start * (start + 1)) // 2

    def compute(self, piece: Piece) -> Tensor:
        """Return kernel rows (rows, n_train)."""
        if piece.role is Role.TEST:
            batch = self.split.batch(piece.role, piece.start, piece.stop, self.dtype)
            return self.method.kernel(batch, self.rows)
        start, stop = self._among_rows(piece)
        out = torch.zeros(stop - start, self.columns, dtype=self.rows.dtype, device=self.rows.device)
        if start:
            out[:, :start] = self.method.kernel(self.rows[start:stop], self.rows[:start])
        out[:, start:stop] = self.method.kernel(self.rows[start:stop]).tril()
        return out

    @property
    def columns(self) -> int:
        """Number of training rows."""
        return self.split.n_train

    def rereads(self, solver: Solver) -> tuple[str, str] | None:
        """See Task."""
        return f"the kernel values of {self.method.name}", "Take features=stored, or a method with features."

    def stage_bytes(self, shard_rows: int, solver: Solver, stored: bool = True) -> dict[str, int]:
        """Return the bytes of the Gram matrix as assembled, centred and factored, and of two shards."""
        return {"kernel + solve": dual_bytes(self.columns, self.dtype) + 20 * self.largest(shard_rows)}

    def model_rows(self) -> np.ndarray:
        """Return all training rows."""
        return self.split.fit_rows()


def task_of(split: Split, method: Method, features_dtype: str | None = None) -> Task:
    """Return the work of a run of `method` over `split`; features are stored as `features_dtype`."""
    kind = KernelTask if isinstance(method, KernelMethod) else FeatureTask
    return kind(split, method, features_dtype)
