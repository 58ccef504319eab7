"""Stage 4: score the test part, which is read once."""

from __future__ import annotations

import logging
import math
import time
from dataclasses import dataclass

import torch
from torch import Tensor

from ntkrun.maths import metrics, scores
from ntkrun.maths.confidence import Confidence
from ntkrun.stages.regress import Fit
from ntkrun.store.features import Test

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Scores:
    """Test score, predictions (n, k) and labels (n,); `more` holds all scores by name, coverage included."""

    metric: str
    value: float
    prediction: Tensor
    labels: Tensor
    seconds: float
    more: dict[str, float]


def run(fit: Fit, test: Test) -> Scores:
    """Predict every test shard and score them together."""
    start = time.perf_counter() - test.clock.spent
    rows = labels = torch.empty(0)
    at = 0
    for z, y in test.batches():
        predicted = fit.predictor.predict(z)
        if not at:
            # at once: small arrays among large ones would keep glibc from using freed memory again
            rows = predicted.new_empty(len(test), predicted.shape[1], device="cpu")
            labels = y.new_empty(len(test), *y.shape[1:], device="cpu")
        rows[at : at + len(z)], labels[at : at + len(z)] = predicted, y
        at += len(z)
    prediction, labels = metrics.per_example(rows, labels, test.views)
    metric, value = metrics.score(prediction, labels, fit.classes)
    seconds = time.perf_counter() - test.clock.spent - start
    log.info("score      test %s %.4f", metric, value)
    confidence = fit.confidence
    more = scores.described(prediction, labels, fit.classes, confidence.temperature)
    more |= confidence.described(prediction, labels)
    log.info("confidence %s", said(more, confidence))
    return Scores(metric, value, prediction, labels, seconds, more)


def said(more: dict[str, float], confidence: Confidence) -> str:
    """Return the line about the scores that the terminal shows beside the first."""
    level = f"{100 * confidence.level:g} %"
    if confidence.temperature is not None:
        words = f"log-loss {more['log_loss']:.4f}, calibration error {more['calibration_error']:.4f}, "
        return words + f"{level} sets of {more['set_size']:.2f} classes cover {more['coverage']:.4f}"
    if "interval_width" not in more:
        need = math.ceil(confidence.level / (1 - confidence.level) - 1e-9)
        return f"no {level} intervals from {confidence.rows} held-out rows; {need} are needed"
    words = f"mean absolute error {more['mae']:.4f}, "
    return words + f"{level} intervals of width {more['interval_width']:.4g} cover {more['coverage']:.4f}"
