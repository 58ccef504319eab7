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
    kept = truth = torch.empty(0)
    for z, y in batches:
        z, at = z.to(predictors[0].weight), count // valid.views
        for i, predictor in enumerate(predictors):
            prediction, labels = metrics.per_example(predictor.predict(z), y, valid.views)
            if not count and not i:
                # at once: small arrays among large ones would keep glibc from using freed memory again
                size = len(predictors), len(valid) // valid.views
                kept = prediction.new_empty(*size, prediction.shape[1], device="cpu")
                truth = labels.new_empty(size[1:] + labels.shape[1:], device="cpu")
            metric, value = metrics.score(prediction, labels, valid.classes)
            totals[i] += value * len(y)
            kept[i, at : at + len(labels)] = prediction
        truth[at : at + len(labels)] = labels
        count += len(y)
    means = [total / count for total in totals]
    return HeldOut(metric, means, list(kept), truth)


def counted(path: Iterator[Predictor], count: int) -> Iterator[Predictor]:
    """Yield the `count` fits of a path and show progress."""
    with progress("lambda    ", count, "values") as advance:
        for predictor in path:
            advance(1)
            yield predictor
