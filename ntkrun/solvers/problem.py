"""Interface of a ridge regression problem for the choice of lambda."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from ntkrun.maths import metrics
from ntkrun.maths.ridge.dual import KernelPredictor
from ntkrun.maths.ridge.normal import Linear
from ntkrun.progress import progress
from ntkrun.store.features import Valid

Predictor = Linear | KernelPredictor


class HeldOut(NamedTuple):
    """Fits without the held-out rows, seen on these rows.

    Attributes
    ----------
    metric : {"accuracy", "mse"}
    scores : list of float
        Score of each predictor.
    predictions : list of Tensor (n, k)
        float64, on the CPU; averaged over the rows of each example.
    labels : Tensor (n,)
    """

    metric: str
    scores: list[float]
    predictions: list[Tensor]
    labels: Tensor


class Problem(Protocol):
    """Training rows to fit for many ridge parameters, and held-out rows to score the fits on."""

    @property
    def coarse_first(self) -> bool:
        """Whether fits are costly: then about every fourth lambda is tried, and those near the best."""

    def path(self, relative: list[float]) -> Iterator[Predictor]:
        """Yield the fit to the training rows for every relative lambda."""

    def valid_scores(self, predictors: Sequence[Predictor]) -> HeldOut:
        """Return the scores and the predictions of each predictor on the held-out rows."""

    def refit(self, relative: float) -> Predictor:
        """Return the fit to training and held-out rows together."""


def scores(
    predictors: Sequence[Predictor], batches: Iterable[tuple[Tensor, Tensor]], valid: Valid
) -> HeldOut:
    """Return each predictor's score and predictions over batches of (rows, labels) of the held-out part."""
    totals, count, metric = [0.0] * len(predictors), 0, ""
    kept: list[list[Tensor]] = [[] for _ in predictors]
    truth: list[Tensor] = []
    for z, y in batches:
        for i, predictor in enumerate(predictors):
            prediction, labels = metrics.per_example(predictor.predict(z), y, valid.views)
            metric, value = metrics.score(prediction, labels, valid.classes)
            totals[i] += value * len(y)
            kept[i].append(prediction.cpu())
        truth.append(labels.cpu())
        count += len(y)
    means = [total / count for total in totals]
    return HeldOut(metric, means, [torch.cat(parts) for parts in kept], torch.cat(truth))


def counted(path: Iterator[Predictor], count: int) -> Iterator[Predictor]:
    """Yield the `count` fits of a path and show progress."""
    with progress("lambda    ", count, "values") as advance:
        for predictor in path:
            advance(1)
            yield predictor
