"""Stage 3: fit ridge regression to shards and choose lambda on held-out training rows."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass

from ntkrun.executors.base import Executor
from ntkrun.maths.method.base import Method
from ntkrun.solvers.base import Solver
from ntkrun.solvers.problem import Predictor, Problem
from ntkrun.store.features import Train, Valid

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Fit:
    """Chosen predictor and the path that it was chosen from.

    Attributes
    ----------
    predictor : Linear or KernelPredictor
        Fitted to the training rows and the held-out rows.
    metric : {"accuracy", "mse"}
    relative : list of float
        Relative ridge parameters tried, ascending.
    valid_scores : list of float
        Held-out score of each.
    best : int
        Index of the chosen one in both lists.
    classes : int or None
    seconds : float
    """

    predictor: Predictor
    metric: str
    relative: list[float]
    valid_scores: list[float]
    best: int
    classes: int | None
    seconds: float


def run(train: Train, valid: Valid, method: Method, solver: Solver, executor: Executor) -> Fit:
    """Choose lambda on the held-out rows, then refit on these and the training rows."""
    start = time.perf_counter()
    problem, grid = method.problem(solver)(train, valid, executor), solver.grid()
    metric, found = explore(problem, grid)
    tried = sorted(found)
    chosen = best_of(metric, found)
    predictor = problem.refit(grid[chosen])
    seconds = time.perf_counter() - start
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
    return Fit(predictor, metric, path, values, tried.index(chosen), valid.classes, seconds)


def explore(problem: Problem, grid: list[float]) -> tuple[str, dict[int, float]]:
    """Return the metric, and the held-out score of each lambda tried by its index in the grid."""
    found: dict[int, float] = {}
    metric = ""
    stride = 1 << max(0, len(grid).bit_length() - 3) if problem.coarse_first else 1
    todo = sorted({*range(0, len(grid), stride), len(grid) - 1})
    while todo:
        predictors = list(problem.path([grid[i] for i in todo]))
        metric, scores = problem.valid_scores(predictors)
        found |= dict(zip(todo, scores, strict=True))
        stride //= 2
        best = best_of(metric, found)
        near = (best - stride, best + stride) if stride else ()
        todo = [i for i in near if 0 <= i < len(grid) and i not in found]
    return metric, found


def best_of(metric: str, found: dict[int, float]) -> int:
    """Return the index of the best score; ties go to the largest lambda, the smoothest fit."""
    sign = 1 if metric == "accuracy" else -1
    return max(found, key=lambda i: (sign * found[i], i))
