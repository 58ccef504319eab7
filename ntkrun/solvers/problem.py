"""Interface of a ridge regression problem for the choice of lambda."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from torch import Tensor

from ntkrun.maths import metrics
from ntkrun.maths.ridge.dual import KernelPredictor
from ntkrun.maths.ridge.normal import Linear
from ntkrun.progress import progress
from ntkrun.store.features import Valid

Predictor = Linear | KernelPredictor


class Problem(Protocol):
    """Training rows to fit for many ridge parameters, and held-out rows to score the fits on."""

    @property
    def coarse_first(self) -> bool:
        """Whether fits are costly: then about every fourth lambda is tried, and those near the best."""

    def path(self, relative: list[float]) -> Iterator[Predictor]:
        """Yield the fit to the training rows for every relative lambda."""

    def valid_scores(self, predictors: Sequence[Predictor]) -> tuple[str, list[float]]:
        """Return the metric and the score of each predictor on the held-out rows."""

    def refit(self, relative: float) -> Predictor:
        """Return the fit to training and held-out rows together."""


def scores(
    predictors: Sequence[Predictor], batches: Iterable[tuple[Tensor, Tensor]], valid: Valid
) -> tuple[str, list[float]]:
    """Return the metric and each predictor's score over batches of (rows, labels) of the held-out part."""
    totals, count, metric = [0.0] * len(predictors), 0, ""
    for z, y in batches:
        for i, predictor in enumerate(predictors):
            prediction, labels = metrics.per_example(predictor.predict(z), y, valid.views)
            metric, value = metrics.score(prediction, labels, valid.classes)
            totals[i] += value * len(y)
        count += len(y)
    return metric, [t / count for t in totals]


def counted(path: Iterator[Predictor], count: int) -> Iterator[Predictor]:
    """Yield the `count` fits of a path and show progress."""
    with progress("lambda    ", count, "values") as advance:
        for predictor in path:
            advance(1)
            yield predictor
