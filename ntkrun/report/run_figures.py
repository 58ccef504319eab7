"""Draw the figures of one run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ntkrun.maths import metrics
from ntkrun.report import panels
from ntkrun.report.plot import png, pyplot
from ntkrun.stages.regress import Fit
from ntkrun.stages.score import Scores
from ntkrun.store.atomic import write_atomic


def draw(folder: Path, fit: Fit, scores: Scores, class_names: list[str], result: dict[str, Any]) -> None:
    """Write lambda.png, time.png and, for classification, confusion.png into `folder`."""
    plt = pyplot()
    with plt.rc_context(
        {"figure.figsize": (6.4, 4.2), "figure.dpi": 120, "axes.grid": True, "grid.alpha": 0.3}
    ):
        for name, figure in (
            ("lambda", _lambda(plt, fit, scores)),
            ("time", _time(plt, result)),
            ("confusion", _confusion(plt, scores, class_names)),
        ):
            if figure is not None:
                write_atomic(folder / f"{name}.png", png(figure))
                plt.close(figure)


def _lambda(plt: Any, fit: Fit, scores: Scores) -> Any:
    figure, axes = plt.subplots()
    best, test = fit.relative[fit.best], scores.more.get(fit.metric)
    panels.lambdas(axes, fit.relative, fit.valid_scores, fit.metric, best, test)
    return figure


def _time(plt: Any, result: dict[str, Any]) -> Any:
    figure, axes = plt.subplots(figsize=(6.4, 2.6))
    panels.phases(axes, result)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.35), ncols=3, frameon=False)
    return figure


def _confusion(plt: Any, scores: Scores, names: list[str]) -> Any:
    if scores.metric != "accuracy" or len(names) > panels.MOST_CLASSES:
        return None
    counts = metrics.confusion(scores.prediction, scores.labels, len(names))
    size = 1.8 + 0.42 * len(names)
    figure, axes = plt.subplots(figsize=(size + 0.8, size))
    image = panels.confusion(axes, counts.numpy(), names, scores.value)
    figure.colorbar(image, label="share of the true class")
    return figure
