"""Stage 4: read the test part once."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass

import torch
from torch import Tensor

from ntkrun.maths import metrics
from ntkrun.stages.featurize import Features
from ntkrun.stages.regress import Fit

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Scores:
    """The test score, predictions (n, k) and labels (n,)."""

    metric: str
    value: float
    prediction: Tensor
    labels: Tensor
    seconds: float


def run(fit: Fit, features: Features, classes: int | None) -> Scores:
    """Predict every test shard and score them together."""
    start = time.perf_counter()
    pairs = [(fit.predictor.predict(z), y) for z, y in features.batches("test")]
    rows, labels = (torch.cat(column).cpu() for column in zip(*pairs, strict=True))
    prediction, labels = metrics.per_example(rows, labels, features.views)
    metric, value = metrics.score(prediction, labels, classes)
    seconds = time.perf_counter() - start
    log.info("score      test %s %.4f", metric, value)
    return Scores(metric, value, prediction, labels, seconds)
