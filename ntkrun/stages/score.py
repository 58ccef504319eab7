"""Stage 4: score the test part, which is read once."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass

import torch
from torch import Tensor

from ntkrun.maths import metrics
from ntkrun.stages.regress import Fit
from ntkrun.store.features import Test

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Scores:
    """Test score, predictions (n, k) and labels (n,)."""

    metric: str
    value: float
    prediction: Tensor
    labels: Tensor
    seconds: float


def run(fit: Fit, test: Test) -> Scores:
    """Predict every test shard and score them together."""
    start = time.perf_counter()
    pairs = [(fit.predictor.predict(z), y) for z, y in test.batches()]
    rows, labels = (torch.cat(column).cpu() for column in zip(*pairs, strict=True))
    prediction, labels = metrics.per_example(rows, labels, test.views)
    metric, value = metrics.score(prediction, labels, fit.classes)
    seconds = time.perf_counter() - start
    log.info("score      test %s %.4f", metric, value)
    return Scores(metric, value, prediction, labels, seconds)
