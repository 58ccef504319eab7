"""Intervals and sets that hold the truth at a stated level, by split conformal prediction.

Vovk, Gammerman and Shafer (2005); Lei et al. (2018) for regression; Sadinle, Lei and Wasserman (2019) for
classes. Everything is fitted to held-out rows by the predictor that was fitted without them; see
docs/math.md, section 10.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from ntkrun.maths import metrics, probability


def quantile(scores: Tensor, level: float) -> Tensor:
    """Return the conformal quantile of each column of scores (n, k), (k,): infinite if n is too small.

    It is the ceil((n + 1) level)-th smallest of the n scores. A new score, exchangeable with them, is at most
    that with a probability of at least `level`, and at most level + 1/(n + 1) without ties.
    """
    n = len(scores)
    rank = math.ceil((n + 1) * level - 1e-9)  # .7 * 10 is a little more than 7
    if rank > n:
        return scores.new_full(scores.shape[1:], math.inf)
    return scores.kthvalue(rank, 0).values


@dataclass(frozen=True)
class Confidence:
    """How sure the predictions of a fit are, learned from rows that the fit did not see.

    Attributes
    ----------
    level : float
        Share of rows whose truth an interval or a set should hold.
    rows : int
        Number of held-out rows.
    temperature : float or None
        Of the probabilities; None for regression.
    quantiles : list of float
        Half the width of the intervals per target; for classes the largest 1 - p of a class in a set.
        Infinite if there are fewer than level / (1 - level) rows.
    """

    level: float
    rows: int
    temperature: float | None
    quantiles: list[float]

    @classmethod
    def fitted(cls, prediction: Tensor, y: Tensor, classes: int | None, level: float) -> Confidence:
        """Return the confidence of predictions (n, k) for held-out rows with labels or targets y."""
        if classes is None:
            found, scores = None, (prediction - metrics.targets(y, None).to(prediction)).abs()
        else:
            found = probability.temperature(prediction, y.long())
            scores = 1 - (prediction / found).softmax(1).gather(1, y.long()[:, None])
        return cls(level, len(y), found, quantile(scores, level).tolist())

    def probabilities(self, prediction: Tensor) -> Tensor:
        """Return softmax(prediction / temperature), (n, k); ValueError for regression."""
        if self.temperature is None:
            raise ValueError("Targets that are numbers have intervals, no probabilities.")
        return (prediction / self.temperature).softmax(1)

    def sets(self, prediction: Tensor) -> Tensor:
        """Return for predictions (n, k) which classes are in the row's set, bool (n, k).

        Those with 1 - p at most the quantile, and the likeliest class, so that no set is empty.
        """
        p = self.probabilities(prediction)
        return (1 - p <= self.quantiles[0]).scatter(1, p.argmax(1, keepdim=True), True)

    def intervals(self, prediction: Tensor) -> Tensor:
        """Return lower and upper ends (n, k, 2) around predictions (n, k); ValueError for classes."""
        if self.temperature is not None:
            raise ValueError("Classes have probabilities and sets, no intervals.")
        half = torch.tensor(self.quantiles, dtype=torch.float64).to(prediction)
        return torch.stack([prediction - half, prediction + half], -1)

    def described(self, prediction: Tensor, y: Tensor) -> dict[str, float]:
        """Return "coverage", and the mean "set_size" or, unless it is infinite, "interval_width"."""
        if self.temperature is not None:
            sets = self.sets(prediction)
            inside = sets.gather(1, y.long()[:, None])
            return {
                "coverage": float(inside.double().mean()),
                "set_size": float(sets.sum(1).double().mean()),
            }
        low, high = self.intervals(prediction).unbind(-1)
        y = metrics.targets(y, None).to(prediction)
        out = {"coverage": float(((low <= y) & (y <= high)).double().mean())}
        width = 2 * sum(self.quantiles) / len(self.quantiles)
        return out | ({"interval_width": width} if math.isfinite(width) else {})

    def record(self) -> dict[str, Any]:
        """Return all attributes for a JSON file, where null is an infinite quantile."""
        return asdict(self) | {"quantiles": [q if math.isfinite(q) else None for q in self.quantiles]}

    @classmethod
    def restored(cls, record: dict[str, Any], targets: int) -> Confidence:
        """Return the object of a record for a predictor of `targets` values; ValueError unless they fit."""
        quantiles = [math.inf if q is None else float(q) for q in record["quantiles"]]
        t = record["temperature"]
        out = cls(float(record["level"]), int(record["rows"]), None if t is None else float(t), quantiles)
        sound = 0 < out.level < 1 and len(quantiles) == (targets if t is None else 1)
        if not sound or not all(q >= 0 for q in quantiles) or not (t is None or 0 < t < math.inf):
            raise ValueError("its record of confidence does not fit its arrays")
        return out
