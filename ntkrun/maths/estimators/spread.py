"""Variance of the predictions of a ridge regression with one lambda, or one per target."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ntkrun.errors import ConfigError, must_be
from ntkrun.maths.ridge.rows import RowsOrSums


class Spread:
    """The function features (r, m) -> variance (r, k), float64, per unit of noise variance.

    Parameters
    ----------
    data : RowsOrSums
        The fitted rows.
    lambdas : sequence of float
        Absolute ridge parameters: one, or one per target.
    targets : int
        Number of targets, k.

    Notes
    -----
    Memory: one factor per distinct lambda, see `RowsOrSums.posterior`.
    """

    def __init__(self, data: RowsOrSums, lambdas: Sequence[float], targets: int):
        self._lambdas = list(lambdas) * (targets if len(lambdas) == 1 else 1)
        self._posteriors = {lam: data.posterior(lam) for lam in set(lambdas)}

    def __call__(self, z: Tensor) -> Tensor:
        """Return the variance (r, k) of the fits for features z (r, m)."""
        found = {lam: posterior(z) for lam, posterior in self._posteriors.items()}
        return torch.stack([found[lam] for lam in self._lambdas], 1)


def given_noise(owner: str, given: Any, targets: int | None) -> np.ndarray | None:
    """Return the noise variance per target, (targets,) float64, of one number or of one per target.

    None stays None. The number of targets is checked if it is known. Raises ConfigError.
    """
    if given is None:
        return None
    try:
        values = np.asarray(given, np.float64)
    except (TypeError, ValueError):
        values = np.array(np.nan)
    known = () if targets is None else ((), (targets,))
    if not (np.isfinite(values) & (values > 0)).all() or (known and values.shape not in known):
        kind = "one positive number, one per target, or None to find it from held-out rows"
        raise ConfigError(must_be("noise_variance", owner, kind, given))
    return values if targets is None else np.broadcast_to(values, targets).copy()
