"""Targets, predictions and scores."""

from __future__ import annotations

import torch
from torch import Tensor


def targets(y: Tensor, classes: int | None) -> Tensor:
    """Return what ridge regression fits, float64: one-hot minus 1/k, or y as a column (classes None)."""
    if classes is None:
        return y.to(torch.float64).reshape(len(y), -1)
    return torch.nn.functional.one_hot(y.long(), classes).to(torch.float64) - 1 / classes


def score(prediction: Tensor, y: Tensor, classes: int | None) -> tuple[str, float]:
    """Return ("accuracy", share of right classes) or ("mse", mean squared error)."""
    if classes is None:
        return "mse", float((prediction - targets(y, None).to(prediction)).square().mean())
    return "accuracy", float((prediction.argmax(1) == y.to(prediction.device)).double().mean())


def confusion(prediction: Tensor, y: Tensor, classes: int) -> Tensor:
    """Return counts (true class, predicted class), int64."""
    flat = y.long() * classes + prediction.argmax(1).cpu()
    return torch.bincount(flat, minlength=classes * classes).reshape(classes, classes)
