"""Stage 3: ridge regression over shards; lambda is chosen on held-out training rows."""

from __future__ import annotations

import functools
import logging
import math
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from ntkrun.executor.base import Executor, Serial
from ntkrun.maths import metrics
from ntkrun.maths.ridge.normal import Dual, Linear, NormalEquations, dual_path
from ntkrun.maths.ridge.path import EIGH_LIMIT
from ntkrun.maths.ridge.streamed import Streamed
from ntkrun.progress import progress
from ntkrun.stages.featurize import Features
from ntkrun.stages.solver import Ridge, RidgeCG

log = logging.getLogger(__name__)


# what a fit gives: predictions from features, or from kernel rows
Predictor = Linear | Dual


@dataclass(frozen=True)
class Fit:
    """The chosen predictor with the path it was chosen from."""

    predictor: Predictor
    metric: str
    relative: list[float]
    valid_scores: list[float]
    best: int
    seconds: float


def run(features: Features, classes: int | None, solver: Ridge, executor: Executor | None = None) -> Fit:
    """Choose lambda on the valid part, then refit on train and valid together. Sees no test row.

    The sums over groups of shards are added in the groups' order. They are made here with all threads, unless
    `executor` has workers elsewhere.
    """
    start = time.perf_counter()
    if isinstance(solver, RidgeCG):
        return _select(_Streamed(features, classes, solver), solver.grid(), start)
    return _select(_Primal(features, classes, executor or Serial()), solver.grid(), start)


def run_kernel(features: Features, classes: int | None, solver: Ridge) -> Fit:
    """Do the same for kernel values: kernel ridge regression, whose matrix is always kept."""
    start = time.perf_counter()
    return _select(_Kernel(features, classes), solver.grid(), start)


class _Problem(Protocol):
    """Ridge regression in the primal or in the dual."""

    @property
    def coarse_first(self) -> bool:
        """Whether each lambda costs so much that only every 4th or so is tried, then those near the best."""

    def path(self, grid: list[float]) -> Iterator[Predictor]: ...

    def valid_scores(self, predictors: Sequence[Predictor]) -> tuple[str, list[float]]: ...

    def refit(self, relative: float) -> Predictor: ...


def _select(problem: _Problem, grid: list[float], start: float) -> Fit:
    found: dict[int, float] = {}
    metric = ""

    def best() -> int:
        sign = 1 if metric == "accuracy" else -1
        # among equals the largest lambda: the smoothest of the best
        return max(found, key=lambda i: (sign * found[i], i))

    stride = 1 << max(0, len(grid).bit_length() - 3) if problem.coarse_first else 1
    todo = sorted({*range(0, len(grid), stride), len(grid) - 1})
    while todo:
        predictors = list(problem.path([grid[i] for i in todo]))
        metric, scores = problem.valid_scores(predictors)
        found |= dict(zip(todo, scores, strict=True))
        stride //= 2
        near = (best() - stride, best() + stride) if stride else ()
        todo = [i for i in near if 0 <= i < len(grid) and i not in found]
    tried = sorted(found)
    chosen = best()
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
    path = [grid[i] for i in tried]
    return Fit(predictor, metric, path, [found[i] for i in tried], tried.index(chosen), seconds)


class _OfFeatures:
    def __init__(self, features: Features, classes: int | None):
        self.features, self.classes = features, classes

    def valid_scores(self, predictors: Sequence[Predictor]) -> tuple[str, list[float]]:
        return _scores(predictors, self.features.batches("valid"), self.classes, self.features.views)


class _Primal(_OfFeatures):
    def __init__(self, features: Features, classes: int | None, executor: Executor):
        super().__init__(features, classes)
        self.executor = executor
        self.equations = NormalEquations()
        self._add("train")

    def _add(self, part: str) -> None:
        here = self.features
        tasks = [(f"summing {g[0]} and on", here.only(g), self.classes) for g in here.groups(part)]
        early: dict[int, NormalEquations] = {}
        done = 0
        executor = self.executor if self.executor.elsewhere else Serial()
        for number, sums in executor.run(group_sums, tasks):
            early[number] = sums
            while done in early:
                self.equations.merge(early.pop(done))
                done += 1

    @property
    def coarse_first(self) -> bool:
        return len(self.equations.gram) > EIGH_LIMIT

    def path(self, grid: list[float]) -> Iterator[Predictor]:
        return _counted(self.equations.path(grid), len(grid))

    def refit(self, relative: float) -> Predictor:
        self._add("valid")
        return next(self.equations.path([relative]))


class _Streamed(_OfFeatures):
    coarse_first = False  # all lambdas share each pass

    def __init__(self, features: Features, classes: int | None, solver: RidgeCG):
        super().__init__(features, classes)
        self.solver = solver
        self.problem = Streamed(lambda: _rows(features, classes, "train"), solver.rank)
        self.found: dict[float, Linear] = {}

    def _solve(self, problem: Streamed, relative: list[float], start: Tensor | None = None) -> list[Linear]:
        digits, shown = -math.log10(self.solver.tolerance), 0.0
        with progress("regress   ", 100, "%") as advance:

            def watch(gap: float) -> None:
                nonlocal shown
                now = 100 * min(1.0, -math.log10(max(gap, sys.float_info.min)) / digits)
                advance(max(0.0, now - shown))
                shown = max(shown, now)

            solution = problem.solve(relative, self.solver.tolerance, self.solver.max_passes, start, watch)
        log.info("regress    %d passes over the features", solution.passes)
        for lam, gap in zip(relative, solution.gaps, strict=True):
            if gap > self.solver.tolerance:
                log.warning(
                    "relative lambda %.1e is %.1g above its minimum after solver.max_passes=%d; a larger "
                    "solver.rank needs fewer",
                    lam,
                    gap,
                    self.solver.max_passes,
                )
        return solution.fits

    def path(self, grid: list[float]) -> Iterator[Predictor]:
        self.found = dict(zip(grid, self._solve(self.problem, grid), strict=True))
        yield from self.found.values()

    def refit(self, relative: float) -> Predictor:
        rank, sketch = self.solver.rank, self.problem.sketch  # a few more rows hardly turn the eigenvectors
        rows = functools.partial(_rows, self.features, self.classes, "train", "valid")
        every = Streamed(rows, rank, sketch=sketch)
        return self._solve(every, [relative], self.found[relative].weight)[0]


def group_sums(name: str, features: Features, classes: int | None) -> NormalEquations:
    """Return the sums over the train shards of `features`: the task of an executor, with its name."""
    equations = NormalEquations()
    for z, y in _rows(features, classes, "train"):
        equations.add(z, y)
    return equations


def _counted(path: Iterator[Predictor], count: int) -> Iterator[Predictor]:
    with progress("lambda    ", count, "values") as advance:
        for predictor in path:
            advance(1)
            yield predictor


def _rows(features: Features, classes: int | None, *parts: str) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield (features, what is fitted to them) shard by shard."""
    for z, y in features.batches(*parts):
        yield z, metrics.targets(y, classes)


class _Kernel:
    coarse_first = False  # the kernel values cost more than any solve

    def __init__(self, features: Features, classes: int | None):
        self.classes, self.views = classes, features.views
        rows, labels = zip(*features.batches("train", "valid"), strict=True)
        lower = torch.cat(rows).to(torch.float64)
        self.gram = lower + lower.tril(-1).T
        self.y = torch.cat(labels)
        self.fit = sum(len(y) for _, y in features.batches("train"))

    def path(self, grid: list[float]) -> Iterator[Predictor]:
        k = self.fit
        path = dual_path(self.gram[:k, :k], metrics.targets(self.y[:k], self.classes), grid)
        return _counted(path, len(grid))

    def valid_scores(self, predictors: Sequence[Predictor]) -> tuple[str, list[float]]:
        k = self.fit
        return _scores(predictors, [(self.gram[k:, :k], self.y[k:])], self.classes, self.views)

    def refit(self, relative: float) -> Predictor:
        return next(dual_path(self.gram, metrics.targets(self.y, self.classes), [relative]))


def _scores(
    predictors: Sequence[Predictor], batches, classes: int | None, views: int
) -> tuple[str, list[float]]:
    totals, count, metric = [0.0] * len(predictors), 0, ""
    for z, y in batches:
        for i, predictor in enumerate(predictors):
            metric, value = metrics.score(*metrics.per_example(predictor.predict(z), y, views), classes)
            totals[i] += value * len(y)
        count += len(y)
    return metric, [t / count for t in totals]
