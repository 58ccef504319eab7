"""Ridge regression on features in the dual, for fewer rows than columns."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from ntkrun.maths.ridge.gram import row_products
from ntkrun.maths.ridge.normal import Linear
from ntkrun.maths.ridge.path import EIGH_LIMIT
from ntkrun.solvers.kernel import KernelProblem
from ntkrun.store.features import Shards, Train, Valid

log = logging.getLogger(__name__)


class Products(KernelProblem):
    """Dual problem of stored features: the kernel values are the inner products of all pairs of rows.

    The objective, the path and the intercept are those of the normal equations.
    """

    def __init__(self, train: Train, valid: Valid):
        self.train, self.valid, self.fitted = train, valid, len(train)
        n = self.fitted + len(valid)
        log.info("regress    %d x %d products of rows, fewer than the %d columns", n, n, train.columns)
        labels: dict[int, Tensor] = {}

        def blocks(start: int) -> Iterator[Tensor]:
            for at, z, y in self._from(start):
                labels[at] = y
                yield z

        self.gram, self.pivot = row_products(blocks, n)
        self.y = torch.cat([labels[at] for at in sorted(labels)])

    @property
    def coarse_first(self) -> bool:
        """See Problem."""
        return self.fitted > EIGH_LIMIT

    def _from(self, start: int) -> Iterator[tuple[int, Tensor, Tensor]]:
        """Yield (first row, features, labels) of each shard from row `start` on, which begins a shard."""
        at = 0
        parts: tuple[Shards, Shards] = self.train, self.valid
        for part in parts:
            starts = np.cumsum([at, *part.sizes]).tolist()
            names = [name for name, first in zip(part.names, starts, strict=False) if first >= start]
            at = starts[-1]
            if names:
                firsts = starts[-1 - len(names) : -1]
                for first, (z, y) in zip(firsts, part.some(names).batches(), strict=True):
                    yield first, z, y

    def refit(self, relative: float) -> Linear:
        """See Problem. The weights of the columns are summed in one more pass over the features."""
        dual = super().refit(relative)
        weight = dual.weight.new_zeros(len(self.pivot), dual.weight.shape[1])
        for at, z, _ in self._from(0):
            weight.addmm_((z.to(weight) - self.pivot).T, dual.weight[at : at + len(z)])
        return Linear(weight, dual.bias - self.pivot @ weight, dual.lam)
