"""Draw the parts of a run's figures onto matplotlib axes; all arrays are numpy's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

MOST_CLASSES = 100  # most classes of a readable confusion matrix
ERRORS = {"mse": "mean squared error", "mae": "mean absolute error"}
PHASES = ("featurize", "solve", "predict")


def lambdas(
    axes: Any,
    relative: Sequence[float],
    scores: Sequence[float],
    metric: str,
    best: float,
    test: float | None,
) -> None:
    """Draw the held-out score along lambda, the chosen lambda `best`, and the test score if it is known."""
    axes.set_xscale("log")
    axes.set_xlim(min(relative) / 3, max(relative) * 3)
    axes.plot(relative, scores, "o-", markersize=4, label="held-out train")
    axes.axvline(best, color="0.5", linewidth=1, linestyle=":")
    if test is not None:
        axes.plot([best], [test], "*", markersize=13, color="C3", label=f"test, read once: {test:.4f}")
    if metric in ERRORS:
        axes.set_yscale("log")
    axes.set_xlabel("relative lambda (share of the mean squared feature norm)")
    axes.set_ylabel(ERRORS.get(metric, metric.replace("_", " ")))
    axes.set_title(f"{metric} along lambda; chosen {best:.1e}")
    axes.legend()


def phases(axes: Any, result: dict[str, Any]) -> None:
    """Draw the seconds of each phase of a result as one bar; the legend has no place yet."""
    left = 0.0
    for i, name in enumerate(PHASES):
        seconds = result[f"time/{name}_s"]
        axes.barh([0], [seconds], left=left, color=f"C{i}", label=f"{name} {seconds:.2f} s")
        left += seconds
    axes.set_yticks([])
    axes.set_xlabel("seconds")
    title = f"time per phase, {left:.1f} s in all"
    if result.get("speedup"):
        title += f"; exact kernel {result['exact/time_s']:.3g} s ({result['exact/time_kind']})"
    axes.set_title(title, fontsize=10)


def confusion(axes: Any, counts: np.ndarray, names: Sequence[str], accuracy: float) -> Any:
    """Draw a confusion matrix (k, k) of whole numbers, a row per true class; return its image."""
    share = counts / counts.sum(1, keepdims=True).clip(min=1)
    axes.grid(False)
    image = axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right")
    axes.set_yticks(range(len(names)), names)
    if len(names) <= 20:
        for i, j in zip(*counts.nonzero(), strict=True):
            color = "white" if share[i, j] > 0.5 else "black"
            axes.text(j, i, int(counts[i, j]), ha="center", va="center", color=color, fontsize=7)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.set_title(f"test accuracy {accuracy:.4f}")
    return image


def targets(axes: Any, truth: np.ndarray, predicted: np.ndarray, mse: float) -> None:
    """Draw predictions (n, k) against true targets (n, k), with a colour per target and the diagonal."""
    for k in range(truth.shape[1]):
        axes.plot(truth[:, k], predicted[:, k], ".", markersize=3, alpha=0.5, color=f"C{k % 10}")
    ends = [min(truth.min(), predicted.min()), max(truth.max(), predicted.max())]
    axes.plot(ends, ends, color="0.5", linewidth=1, linestyle=":")
    axes.set_xlabel("true")
    axes.set_ylabel("predicted")
    axes.set_title(f"test mean squared error {mse:.4g}")
