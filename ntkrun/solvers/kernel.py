"""Kernel ridge regression with the kernel matrix in memory."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from ntkrun.maths import metrics
from ntkrun.maths.ridge.cholesky import gram_dtype, mirrored
from ntkrun.maths.ridge.dual import dual_path
from ntkrun.solvers.problem import HeldOut, Predictor, counted, scores
from ntkrun.store.features import Train, Valid


class KernelProblem:
    """Dual problem; shards hold rows of the Gram matrix of all training rows, up to its diagonal."""

    @property
    def coarse_first(self) -> bool:
        """See Problem. The kernel values cost more than any solve."""
        return False

    def __init__(self, train: Train, valid: Valid):
        self.valid = valid
        self.fitted = len(train)
        n, labels, at = self.fitted + len(valid), list[Tensor](), 0
        lower = torch.empty(0)
        for values, y in itertools.chain(train.batches(), valid.batches()):
            if not at:
                lower = values.new_empty(n, n, dtype=gram_dtype(n, values.dtype))
            lower[at : at + len(values)] = values
            labels.append(y)
            at += len(values)
        self.gram, self.y = mirrored(lower), torch.cat(labels)

    def path(self, relative: list[float]) -> Iterator[Predictor]:
        """See Problem."""
        k = self.fitted
        fits = dual_path(self.gram[:k, :k], metrics.targets(self.y[:k], self.valid.classes), relative)
        return counted(fits, len(relative))

    def valid_scores(self, predictors: Sequence[Predictor]) -> HeldOut:
        """See Problem."""
        k = self.fitted
        return scores(predictors, [(self.gram[k:, :k], self.y[k:])], self.valid)

    def refit(self, relative: float) -> Predictor:
        """See Problem."""
        return next(dual_path(self.gram, metrics.targets(self.y, self.valid.classes), [relative]))
