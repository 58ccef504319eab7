"""Scores of predictions by the names that they have in results and in `solver.select_by`."""

from __future__ import annotations

import numpy as np
from sklearn.metrics import f1_score, roc_auc_score
from torch import Tensor

from ntkrun.maths import metrics, probability

CLASSES = ("accuracy", "balanced_accuracy", "f1_macro", "auc", "log_loss", "brier")
TARGETS = ("mse", "mae", "r2")
LARGER = frozenset({"accuracy", "balanced_accuracy", "f1_macro", "auc", "r2"})  # the others are losses


def score(name: str, prediction: Tensor, y: Tensor, classes: int | None) -> float:
    """Return the score `name` of predictions (n, k) for labels y (n,) or targets y (n,) or (n, k).

    One that needs probabilities takes the temperature that fits these rows themselves best. nan as for
    `described`.
    """
    if name in ("accuracy", "mse"):
        return metrics.score(prediction, y, classes)[1]
    if classes is None:
        return of_targets(prediction, y)[name]
    if name in ("balanced_accuracy", "f1_macro"):
        return of_labels(prediction, y)[name]
    return of_probabilities(prediction, y, probability.temperature(prediction, y.long()))[name]


def described(
    prediction: Tensor, y: Tensor, classes: int | None, temperature: float | None
) -> dict[str, float]:
    """Return all scores of predictions (n, k) by name, without those that these rows do not have (nan).

    Classes: `temperature` gives the probabilities. AUC needs rows of two classes.
    Targets: R2 needs targets that differ.
    """
    name, value = metrics.score(prediction, y, classes)
    out = {name: value}
    if classes is None:
        out |= of_targets(prediction, y)
    else:
        out |= of_labels(prediction, y) | of_probabilities(prediction, y, temperature or 1.0)
        out["calibration_error_t1"] = probability.calibration_error(prediction.softmax(1), y)
        out["calibration_error_clipped"] = probability.calibration_error(probability.clipped(prediction), y)
    return {key: value for key, value in out.items() if not np.isnan(value)}


def of_targets(prediction: Tensor, y: Tensor) -> dict[str, float]:
    """Return the mean absolute error over all targets, and R2, its mean over targets; nan for a constant."""
    y = metrics.targets(y, None).to(prediction)
    error = prediction - y
    spread = (y - y.mean(0)).square().sum(0)
    r2 = float((1 - error.square().sum(0) / spread).mean()) if bool((spread > 0).all()) else float("nan")
    return {"mae": float(error.abs().mean()), "r2": r2}


def of_labels(prediction: Tensor, y: Tensor) -> dict[str, float]:
    """Return the means of recall over classes that occur in y, and of F1 over those in y or predicted."""
    true, said = y.numpy(), prediction.argmax(1).numpy()
    every = np.unique(np.concatenate([true, said]))
    recall = [float((said[true == label] == label).mean()) for label in np.unique(true)]
    return {
        "balanced_accuracy": float(np.mean(recall)),
        "f1_macro": float(f1_score(true, said, labels=every, average="macro", zero_division=0)),
    }


def of_probabilities(prediction: Tensor, y: Tensor, temperature: float) -> dict[str, float]:
    """Return log-loss, Brier score, calibration error and AUC of softmax(prediction / temperature).

    AUC is the mean over classes of one against the rest, over those that some rows have and others do not.
    """
    p, y = (prediction / temperature).softmax(1), y.long()
    true, share = y.numpy(), p.numpy()
    curves = [roc_auc_score(true == c, share[:, c]) for c in np.unique(true) if (true != c).any()]
    return {
        "log_loss": probability.log_loss(prediction, y, temperature),
        "brier": probability.brier(p, y),
        "calibration_error": probability.calibration_error(p, y),
        "auc": float(np.mean(curves)) if curves else float("nan"),
    }
