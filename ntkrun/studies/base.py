"""Run a study, measure the slopes of its curves and draw them."""

from __future__ import annotations

import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from ntkrun import machine
from ntkrun.datasets.split import Split
from ntkrun.maths.method.base import Method
from ntkrun.maths.metrics import frobenius_error
from ntkrun.report.plot import pyplot
from ntkrun.store.atomic import write_json
from ntkrun.store.runs import as_key

log = logging.getLogger(__name__)


@dataclass
class Series:
    """Curve y (points, trials) over x (points,); curves with the same `panel` share a plot.

    `expected` is the log-log slope that the theorem promises, None if it promises none.
    """

    panel: str
    label: str
    xlabel: str
    ylabel: str
    x: list[float]
    y: list[list[float]]
    expected: float | None = None
    slope: float = field(init=False)

    def __post_init__(self) -> None:
        """Fit the log-log slope of the medians by least squares."""
        median = np.median(np.asarray(self.y), axis=1)
        self.slope = float(np.polyfit(np.log(self.x), np.log(median), 1)[0])


@dataclass(frozen=True)
class Size:
    """Size of a study: rows, trials (seeds) and largest feature dimension."""

    rows: int
    trials: int
    feature_dim: int

    def dims(self, low: int) -> list[int]:
        """Return powers of two from `low` to feature_dim."""
        out = [low]
        while out[-1] * 2 <= self.feature_dim:
            out.append(out[-1] * 2)
        return out


class Study(ABC):
    """Experiment that measures a theorem on real data."""

    name: ClassVar[str]

    @abstractmethod
    def run(self, split: Split, size: Size) -> list[Series]:
        """Return the measured curves."""


def measure(study: Study, split: Split, size: Size, folder: Path) -> dict[str, Any]:
    """Run a study, write its curves and plot into `folder`, and return the result of the run."""
    start, name = time.perf_counter(), study.name
    series = study.run(split, size)
    write_json(folder / "study.json", [asdict(s) for s in series])
    draw(series, f"{name} on {split.name}", folder / "figures" / f"{name}.png")
    result: dict[str, Any] = {
        "run_name": f"{name} {split.name}",
        "dataset": split.name,
        "method": name,
        "n_train": split.n_train,
        "n_test": len(split.test.y),
        "time/wall_s": time.perf_counter() - start,
        "memory/peak_rss_mb": machine.peak_rss_mb(),
    }
    for s in series:
        promise = f" (promised {s.expected:+.1f})" if s.expected is not None else ""
        log.info("study      %s, %s: slope %+.2f%s", s.panel, s.label, s.slope, promise)
        result["slope/" + as_key(f"{s.panel} {s.label}", "").replace(" ", "_")] = s.slope
    return result


def sample(split: Split, rows: int) -> Tensor:
    """Return standardised training rows in float64."""
    return split.sample(rows, torch.float64)


def error_curves(
    panel: str,
    xlabel: str,
    make: Callable[[int, int], Method],
    x: Tensor,
    truths: dict[str, tuple[Tensor, float | None]],
    dims: list[int],
    trials: int,
) -> list[Series]:
    """Return the relative Frobenius errors of the Gram matrix of make(feature_dim, seed) to each truth.

    `truths` maps a label to a kernel matrix and its promised slope.
    """
    errors: dict[str, list[list[float]]] = {label: [] for label in truths}
    for m in dims:
        features = [make(m, seed).fit_transform(x) for seed in range(trials)]
        grams = [z @ z.T for z in features]
        for label, (truth, _) in truths.items():
            errors[label].append([frobenius_error(g, truth) for g in grams])
    at = [float(m) for m in dims]
    return [
        Series(panel, label, xlabel, "relative Frobenius error", at, errors[label], expected)
        for label, (_, expected) in truths.items()
    ]


def best_time(
    function: Callable[[], Any], trials: int, clock: Callable[[], float] = time.perf_counter
) -> list[float]:
    """Return the seconds of `trials` calls, after one to warm up.

    time.process_time counts the processor's time alone, which other work on the machine changes less.
    """
    function()
    out = []
    for _ in range(trials):
        start = clock()
        function()
        out.append(clock() - start)
    return out


def draw(series: list[Series], title: str, path: Path) -> None:
    """Write a plot with one panel per group: medians, range of trials, measured slopes."""
    plt = pyplot()
    from matplotlib.ticker import LogLocator

    panels = list(dict.fromkeys(s.panel for s in series))
    figure, grid = plt.subplots(1, len(panels), figsize=(5.6 * len(panels), 4.4), dpi=120, squeeze=False)
    for axes, panel in zip(grid[0], panels, strict=True):
        for i, s in enumerate(x for x in series if x.panel == panel):
            y = np.asarray(s.y)
            axes.loglog(s.x, np.median(y, 1), "o-", color=f"C{i}", label=f"{s.label}: slope {s.slope:+.2f}")
            axes.fill_between(s.x, y.min(1), y.max(1), color=f"C{i}", alpha=0.2)
            if s.expected is not None:
                guide = np.median(y, 1)[0] * (np.asarray(s.x) / s.x[0]) ** s.expected
                axes.loglog(s.x, guide, ":", color=f"C{i}", linewidth=1)
            axes.set_xlabel(s.xlabel)
            axes.set_ylabel(s.ylabel)
        axes.xaxis.set_minor_locator(LogLocator(subs=(2, 5)))  # more would run into each other
        axes.set_title(panel, fontsize=10)
        axes.grid(alpha=0.3, which="both")
        axes.legend(fontsize=8)
    figure.suptitle(title + "   (dotted: the promised slope)", fontsize=11)
    figure.tight_layout()
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path)
    plt.close(figure)
