"""Kernel ridge regression between every two classes, whose votes decide: one against one."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import torch
from torch import Tensor

from ntkrun.maths.ridge.dual import dual_path

TIE = 1e-3  # weight of the values, which decide between classes with as many votes


def predicted(gram: Tensor, other: Tensor, y: np.ndarray, lambdas: Sequence[float]) -> list[np.ndarray]:
    """Return the predicted classes (m,) for each relative lambda.

    Parameters
    ----------
    gram : Tensor (n, n), float64
        Kernel of the rows to fit.
    other : Tensor (m, n), float64
        Kernel of the rows to score with them.
    y : ndarray (n,), int
        Classes of the rows to fit, 0 or more.
    lambdas : sequence of float

    Notes
    -----
    k classes with n / k rows each cost 4 / k times as much as one regression for all classes.
    """
    votes = [torch.zeros(len(other), int(y.max()) + 1, dtype=torch.float64) for _ in lambdas]
    for a, b in combinations(np.unique(y).tolist(), 2):
        rows = torch.from_numpy(np.flatnonzero((y == a) | (y == b)))
        target = torch.from_numpy(np.where(y[rows.numpy()] == a, 1.0, -1.0))[:, None]
        own, new = gram[rows][:, rows], other[:, rows]
        for vote, fit in zip(votes, dual_path(own, target, list(lambdas)), strict=True):
            value = fit.predict(new)[:, 0].clamp(-1, 1)
            for_a = (value > 0).double() + TIE * value
            vote[:, a] += for_a
            vote[:, b] += 1 - for_a
    return [vote.argmax(1).numpy() for vote in votes]
