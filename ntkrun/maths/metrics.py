"""Targets, predictions and scores."""

from __future__ import annotations

import torch
from torch import Tensor


def targets(y: Tensor, classes: int | None) -> Tensor:
    """Return the targets of ridge regression, float64: one-hot minus 1/k, or y as a column (classes None)."""
    if classes is None:
        return y.to(torch.float64).reshape(len(y), -1)
    return torch.nn.functional.one_hot(y.long(), classes).to(torch.float64) - 1 / classes


def score(prediction: Tensor, y: Tensor, classes: int | None) -> tuple[str, float]:
    """Return ("accuracy", share of right classes) or ("mse", mean squared error)."""
    if classes is None:
        return "mse", float((prediction - targets(y, None).to(prediction)).square().mean())
    return "accuracy", float((prediction.argmax(1) == y.to(prediction.device)).double().mean())


def per_example(prediction: Tensor, y: Tensor, views: int) -> tuple[Tensor, Tensor]:
    """Return predictions (n, k) averaged over the `views` rows of each example, and labels (n,)."""
    return averaged(prediction, views), y[::views]


def averaged(prediction: Tensor, views: int) -> Tensor:
    """Return predictions (n views, k) averaged over the `views` rows of each example, (n, k)."""
    return prediction.reshape(-1, views, prediction.shape[1]).mean(1)


def confusion(prediction: Tensor, y: Tensor, classes: int) -> Tensor:
    """Return counts (true class, predicted class), int64."""
    flat = y.long() * classes + prediction.argmax(1).cpu()
    return torch.bincount(flat, minlength=classes * classes).reshape(classes, classes)


def frobenius_error(estimate: Tensor, truth: Tensor) -> float:
    """Return |estimate - truth|_F / |truth|_F."""
    return float((estimate - truth).norm() / truth.norm())


def spectral_error(estimate: Tensor, truth: Tensor, lam: float) -> float:
    """Return the smallest eps with (1-eps)(K + lam I) <= G + lam I <= (1+eps)(K + lam I).

    The guarantee of Zandieh et al. 2021, theorem 3, for G = estimate (n, n) and K = truth (n, n).
    """
    identity = torch.eye(len(truth), dtype=torch.float64)
    factor = torch.linalg.cholesky(truth.to(torch.float64) + lam * identity)
    gap = (estimate - truth).to(torch.float64)
    half = torch.linalg.solve_triangular(factor, gap, upper=False)
    whole = torch.linalg.solve_triangular(factor, half.T, upper=False)
    return float(torch.linalg.eigvalsh((whole + whole.T) / 2).abs().max())
