"""Named random streams: the same name and seed give the same numbers on every device.

A stream is a path of names. Its generator is seeded with a hash of that path, so a new consumer never shifts
the numbers of an old one. Numbers are drawn on the CPU and then moved, so a GPU uses the same sketches.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
import torch
from sklearn.utils import check_random_state
from torch import Tensor

from ntkrun import checks

HIGHEST = 2**63 - 1


def seed_problems(owner: str, value: Any) -> list[str]:
    """Check that `value` is an integer seed, None or a numpy RandomState."""
    if value is None or value is np.random or isinstance(value, np.random.RandomState):
        return []
    found = checks.integer(owner, "random_state (seed)", value, 0, HIGHEST)
    if isinstance(value, np.random.Generator):
        found = [f"{found[0]} Or None, or a numpy RandomState."]
    return found


def resolved(random_state: Any) -> int:
    """Return an integer seed unchanged; for None and a RandomState draw one, as scikit-learn does."""
    if isinstance(random_state, Integral):
        return int(random_state)
    return int(check_random_state(random_state).randint(np.iinfo(np.int32).max))


@dataclass(frozen=True)
class Stream:
    """A named source of random numbers.

    Parameters
    ----------
    seed : int
        Seed of the whole experiment.
    path : tuple of str
        Names from the root to this stream; `child` appends one.
    """

    seed: int
    path: tuple[str, ...] = ()

    def child(self, name: str | int) -> Stream:
        """Return the stream called `name` below this one."""
        return Stream(self.seed, (*self.path, str(name)))

    def generator(self) -> torch.Generator:
        """Return a fresh CPU generator; every call gives the same numbers."""
        # repr keeps ("a", "b") and ("a/b",) apart.
        digest = hashlib.sha256(repr((int(self.seed), self.path)).encode()).digest()
        return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)

    def rademacher(self, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        """Return independent uniform signs +-1 of the given shape."""
        bits = torch.randint(0, 2, shape, generator=self.generator())
        return (2 * bits - 1).to(dtype)

    def gaussian(self, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        """Return independent standard normals of the given shape (drawn in float64)."""
        return torch.randn(shape, generator=self.generator(), dtype=torch.float64).to(dtype)

    def permutation(self, n: int) -> Tensor:
        """Return a uniform permutation of 0..n-1, int64."""
        return torch.randperm(n, generator=self.generator())

    def subset(self, n: int, count: int) -> Tensor:
        """Return at most `count` distinct numbers below n, int64, sorted."""
        return self.permutation(n)[:count].sort().values

    def orthonormal(self, rows: int, columns: int, dtype: torch.dtype = torch.float32) -> Tensor:
        """Return a random (rows, columns) matrix S with E<xS, yS> = <x, y>.

        For rows <= columns its rows are orthonormal, so the map is an isometry; otherwise its columns are
        orthogonal and scaled by sqrt(rows / columns).
        """
        wide = max(rows, columns), min(rows, columns)
        q, r = torch.linalg.qr(self.gaussian(*wide, dtype=torch.float64))
        q = q * torch.sign(torch.diagonal(r))  # makes q exactly Haar distributed
        if rows <= columns:
            return q.T.contiguous().to(dtype)
        return (q * (rows / columns) ** 0.5).to(dtype)
