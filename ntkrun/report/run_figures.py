"""Draw the figures of one run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor

from ntkrun.maths import metrics
from ntkrun.report.plot import png, pyplot
from ntkrun.stages.regress import Fit
from ntkrun.stages.score import Scores
from ntkrun.store.atomic import write_atomic

MOST_CLASSES = 100  # most classes of a readable confusion matrix


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
    axes.set_xscale("log")
    axes.set_xlim(min(fit.relative) / 3, max(fit.relative) * 3)
    axes.plot(fit.relative, fit.valid_scores, "o-", markersize=4, label="held-out train")
    best = fit.relative[fit.best]
    axes.axvline(best, color="0.5", linewidth=1, linestyle=":")
    if (value := scores.more.get(fit.metric)) is not None:
        axes.plot([best], [value], "*", markersize=13, color="C3", label=f"test, read once: {value:.4f}")
    if fit.metric in ("mse", "mae"):
        axes.set_yscale("log")
    axes.set_xlabel("relative lambda (share of the mean squared feature norm)")
    names = {"mse": "mean squared error", "mae": "mean absolute error"}
    axes.set_ylabel(names.get(fit.metric, fit.metric.replace("_", " ")))
    axes.set_title(f"{fit.metric} along lambda; chosen {best:.1e}")
    axes.legend()
    return figure


def _time(plt: Any, result: dict[str, Any]) -> Any:
    phases = [(p, result[f"time/{p}_s"]) for p in ("featurize", "solve", "predict")]
    figure, axes = plt.subplots(figsize=(6.4, 2.6))
    left = 0.0
    for i, (name, seconds) in enumerate(phases):
        axes.barh([0], [seconds], left=left, color=f"C{i}", label=f"{name} {seconds:.2f} s")
        left += seconds
    axes.set_yticks([])
    axes.set_xlabel("seconds")
    title = f"time per phase, {left:.1f} s in all"
    if result.get("speedup"):
        title += f"; exact kernel {result['exact/time_s']:.3g} s ({result['exact/time_kind']})"
    axes.set_title(title, fontsize=10)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.35), ncols=3, frameon=False)
    return figure


def _confusion(plt: Any, scores: Scores, names: list[str]) -> Any:
    if scores.metric != "accuracy" or len(names) > MOST_CLASSES:
        return None
    counts: Tensor = metrics.confusion(scores.prediction, scores.labels, len(names))
    share = counts / counts.sum(1, keepdim=True).clamp(min=1)
    size = 1.8 + 0.42 * len(names)
    figure, axes = plt.subplots(figsize=(size + 0.8, size))
    axes.grid(False)
    image = axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(image, label="share of the true class")
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right")
    axes.set_yticks(range(len(names)), names)
    if len(names) <= 20:
        for i in range(len(names)):
            for j in range(len(names)):
                if counts[i, j]:
                    color = "white" if share[i, j] > 0.5 else "black"
                    axes.text(j, i, int(counts[i, j]), ha="center", va="center", color=color, fontsize=7)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.set_title(f"test accuracy {scores.value:.4f}")
    return figure
