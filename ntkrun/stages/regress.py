"""Stage 3: fit ridge regression to shards and choose lambda on held-out training rows."""

from __future__ import annotations

import logging
import math
import time
from dataclasses import dataclass

from torch import Tensor

from ntkrun.errors import DataError, must_be
from ntkrun.executors.base import Executor
from ntkrun.maths import scores
from ntkrun.maths.confidence import Confidence
from ntkrun.maths.method.base import Method
from ntkrun.progress import saying
from ntkrun.solvers.base import Solver
from ntkrun.solvers.problem import HeldOut, Predictor, Problem
from ntkrun.store.features import Train, Valid

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Fit:
    """Chosen predictor and the path that it was chosen from.

    Attributes
    ----------
    predictor : Linear or KernelPredictor
        Fitted to the training rows and the held-out rows.
    metric : str
        Score that chose lambda: solver.select_by, else accuracy or mse.
    relative : list of float
        Relative ridge parameters tried, ascending.
    valid_scores : list of float
        Held-out score of each.
    best : int
        Index of the chosen one in both lists.
    classes : int or None
    seconds : float
        Without those of features that are not stored.
    prediction : Tensor (n, k)
        For the held-out rows, by the fit with the chosen lambda that did not see them.
    labels : Tensor (n,)
        Of the held-out rows.
    confidence : Confidence
        Fitted to these two.
    """

    predictor: Predictor
    metric: str
    relative: list[float]
    valid_scores: list[float]
    best: int
    classes: int | None
    seconds: float
    prediction: Tensor
    labels: Tensor
    confidence: Confidence


def run(train: Train, valid: Valid, method: Method, solver: Solver, executor: Executor) -> Fit:
    """Choose lambda on the held-out rows, then refit on these and the training rows."""
    start = time.perf_counter() - train.clock.spent
    with saying(f"regress    {train.columns:,} columns, lambda by {len(valid):,} held-out rows"):
        problem, grid = method.problem(solver)(train, valid, executor), solver.grid()
        metric, found, prediction, labels = explore(problem, grid, valid.classes, solver.select_by)
    tried = sorted(found)
    chosen = best_of(metric, found)
    if solver.select_by and math.isnan(found[chosen]):
        constraint = f"a score that the held-out rows have: their {len(labels)} labels are too much alike"
        raise DataError(must_be("select_by", type(solver).__name__, constraint, metric, "Leave it out."))
    with saying("regress    last fit, with the held-out rows"):
        predictor = problem.refit(grid[chosen])
    seconds = time.perf_counter() - train.clock.spent - start
    at_edge = len(grid) > 1 and chosen in (0, len(grid) - 1)
    edge = " (at the edge of the grid: widen solver.lambda_min/max)" if at_edge else ""
    log.info(
        "regress    relative lambda %.1e, valid %s %.4f, %.1f s%s",
        grid[chosen],
        metric,
        found[chosen],
        seconds,
        edge,
    )
    path, values = [grid[i] for i in tried], [found[i] for i in tried]
    confidence = Confidence.fitted(prediction, labels, valid.classes, solver.level)
    best = tried.index(chosen)
    return Fit(predictor, metric, path, values, best, valid.classes, seconds, prediction, labels, confidence)


def explore(
    problem: Problem, grid: list[float], classes: int | None, select_by: str | None = None
) -> tuple[str, dict[int, float], Tensor, Tensor]:
    """Return the metric, the held-out score of each lambda tried by its index in the grid, and the best fit.

    The latter by its predictions (n, k) for the held-out rows, and their labels (n,).
    """
    found: dict[int, float] = {}
    stride = 1 << max(0, len(grid).bit_length() - 3) if problem.coarse_first else 1
    todo = sorted({*range(0, len(grid), stride), len(grid) - 1})
    while todo:
        predictors = list(problem.path([grid[i] for i in todo]))
        held = problem.valid_scores(predictors)
        metric, values = chosen_scores(held, classes, select_by)
        found |= dict(zip(todo, values, strict=True))
        stride //= 2
        best = best_of(metric, found)
        if best in todo:
            prediction = held.predictions[todo.index(best)]
        near = (best - stride, best + stride) if stride else ()
        todo = [i for i in near if 0 <= i < len(grid) and i not in found]
    return metric, found, prediction, held.labels


def chosen_scores(held: HeldOut, classes: int | None, select_by: str | None) -> tuple[str, list[float]]:
    """Return the metric to choose by, and each predictor's score."""
    if select_by is None or select_by == held.metric:
        return held.metric, held.scores
    return select_by, [scores.score(select_by, p, held.labels, classes) for p in held.predictions]


def best_of(metric: str, found: dict[int, float]) -> int:
    """Return the index of the best score; ties go to the largest lambda, the smoothest fit."""
    sign = 1 if metric in scores.LARGER else -1
    return max(found, key=lambda i: (sign * found[i], i))
