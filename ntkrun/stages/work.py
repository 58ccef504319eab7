"""What a shard's numbers are: features of some rows, or their exact kernel values."""

from __future__ import annotations

import logging
import time

import torch
from torch import Tensor

from ntkrun.datasets.split import Split
from ntkrun.maths.method.base import DTYPES, Method, torch_device

log = logging.getLogger(__name__)


class Rows:
    """Features of rows, independent of each other."""

    title, unit = "featurize ", "rows"

    def __init__(self, split: Split, method: Method):
        self.split, self.method, self.dtype = split, method, DTYPES[method.dtype]
        self.device = torch_device(method.device)
        start = time.perf_counter()
        sample = split.sample(method.sample_rows, self.dtype, self.device)
        method.fit(sample)
        self.fit_seconds = 0.0  # drawing random numbers is set-up, looking at rows is work
        if method.sample_rows > 1:
            self.fit_seconds = time.perf_counter() - start
            log.info("fit        to %d training rows in %.1f s", len(sample), self.fit_seconds)

    def warm_up(self) -> None:
        """Run one row, so that one-time set-up is not timed."""
        self("train", 0, 1)

    def units(self, part: str, start: int, stop: int) -> int:
        """Return the work in a shard, in rows."""
        return stop - start

    def __call__(self, part: str, start: int, stop: int) -> Tensor:
        """Return the features of rows start..stop of a part."""
        return self.method.transform(self.split.batch(part, start, stop, self.dtype, self.device))


class Kernel:
    """Rows of the exact Gram matrix against all training rows (train, then valid).

    Training rows hold their columns up to the diagonal and zeros beyond: each symmetric entry is
    computed once.
    """

    title, unit = "kernel    ", "entries"

    def __init__(self, split: Split, method: Method):
        self.split, self.method, self.dtype = split, method, DTYPES[method.dtype]
        self.n, self.fit_seconds = split.n_train, 0.0
        parts = [split.batch(p, 0, len(getattr(split, p)), self.dtype) for p in ("train", "valid")]
        self.reference = torch.cat(parts)
        method.fit(self.reference)

    def warm_up(self) -> None:
        """Compute one entry, which compiles the kernel."""
        self.method.kernel(self.reference[:1], self.reference[:1])

    def _first(self, part: str) -> int:
        return 0 if part == "train" else len(self.split.train)

    def units(self, part: str, start: int, stop: int) -> int:
        """Return the distinct kernel entries in a shard."""
        if part == "test":
            return (stop - start) * self.n
        a, b = self._first(part) + start, self._first(part) + stop
        return (b * (b + 1) - a * (a + 1)) // 2

    def __call__(self, part: str, start: int, stop: int) -> Tensor:
        """Return kernel rows (stop - start, n_train)."""
        if part == "test":
            return self.method.kernel(self.split.batch(part, start, stop, self.dtype), self.reference)
        a, b = self._first(part) + start, self._first(part) + stop
        out = self.reference.new_zeros(b - a, self.n)
        if a:
            out[:, :a] = self.method.kernel(self.reference[a:b], self.reference[:a])
        out[:, a:b] = self.method.kernel(self.reference[a:b]).tril()
        return out
