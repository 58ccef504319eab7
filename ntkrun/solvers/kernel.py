"""Kernel ridge regression with the kernel matrix in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from ntkrun.maths import metrics
from ntkrun.maths.ridge.normal import dual_path
from ntkrun.solvers.problem import Predictor, counted, scores
from ntkrun.store.features import Train, Valid


class KernelProblem:
    """Dual problem; shards hold rows of the Gram matrix of all training rows, up to its diagonal."""

    coarse_first = False  # the kernel values cost more than any solve

    def __init__(self, train: Train, valid: Valid):
        self.valid = valid
        rows, labels = zip(*train.batches(), *valid.batches(), strict=True)
        lower = torch.cat(rows).to(torch.float64)
        self.gram = lower + lower.tril(-1).T
        self.y = torch.cat(labels)
        self.fitted = len(train)

    def path(self, relative: list[float]) -> Iterator[Predictor]:
        """See Problem."""
        k = self.fitted
        fits = dual_path(self.gram[:k, :k], metrics.targets(self.y[:k], self.valid.classes), relative)
        return counted(fits, len(relative))

    def valid_scores(self, predictors: Sequence[Predictor]) -> tuple[str, list[float]]:
        """See Problem."""
        k = self.fitted
        return scores(predictors, [(self.gram[k:, :k], self.y[k:])], self.valid)

    def refit(self, relative: float) -> Predictor:
        """See Problem."""
        return next(dual_path(self.gram, metrics.targets(self.y, self.valid.classes), [relative]))
