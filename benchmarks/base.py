"""Timing, tables and pictures of the benchmarks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from ntkrun import machine
from ntkrun.report.plot import pyplot
from ntkrun.studies.base import best_time

TRIALS = 3


@dataclass
class Result:
    """One table and one picture.

    `rows` hold numbers or text; `curves` map a label to points (x, y) of a picture with logarithmic axes.
    """

    title: str
    note: str
    header: list[str]
    rows: list[list[Any]]
    xlabel: str
    ylabel: str
    curves: dict[str, list[tuple[float, float]]] = field(default_factory=dict)


def seconds(function: Callable[[], Any], trials: int = TRIALS) -> float:
    """Return the best time of a few trials, after one warm-up."""
    return min(best_time(function, trials))


def gemm_rate(dtype: torch.dtype = torch.float32) -> float:
    """Return the floating-point operations per second of a 16384 x 256 x 512 product, the reference rate."""
    a, b = torch.randn(16384, 256, dtype=dtype), torch.randn(256, 512, dtype=dtype)
    return 2 * 16384 * 256 * 512 / seconds(lambda: a @ b)


def operations(function: Callable[[], Any]) -> int:
    """Count the floating-point operations of matrix products and convolutions in a call."""
    with FlopCounterMode(display=False) as counter:
        function()
    return int(counter.get_total_flops())


def images(data_dir: str, count: int, side: int = 32, preprocess: str = "standardize") -> Tensor:
    """Return CIFAR-10 training images (count, side, side, 3), float32, resized if `side` is not 32."""
    from ntkrun.datasets.cifar10 import Cifar10
    from ntkrun.studies.theorem_4 import resized

    path = f"{data_dir}/cifar-10-binary.tar.gz"
    split = Cifar10(path=path, n_train=5000, n_test=10, preprocess=preprocess).load()
    x = split.sample(count, torch.float32)
    return x if side == 32 else resized(x, side)


def show(value: Any) -> str:
    """Format a float with three significant digits, other values as they are."""
    if not isinstance(value, float):
        return str(value)
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"


def markdown(result: Result) -> str:
    """Format the result as a markdown table."""
    lines = [f"# {result.title}", "", result.note, "", "| " + " | ".join(result.header) + " |"]
    lines.append("|" + "---|" * len(result.header))
    lines += ["| " + " | ".join(show(v) for v in row) + " |" for row in result.rows]
    return "\n".join(lines) + "\n"


def draw(result: Result, path: Path) -> None:
    """Draw the curves and write the picture to `path`."""
    plt = pyplot()

    figure, axes = plt.subplots(figsize=(7, 4.4), dpi=120)
    for label, points in result.curves.items():
        x, y = zip(*sorted(points), strict=True)
        axes.loglog(x, y, "o-", label=label)
    axes.set(title=result.title, xlabel=result.xlabel, ylabel=result.ylabel)
    axes.grid(alpha=0.3, which="both")
    axes.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, bbox_inches="tight")
    plt.close(figure)


def machine_line() -> str:
    """Describe the machine, its packages and its rate of matrix products."""
    about = machine.describe()
    versions = ", ".join(f"{k} {about['packages'][k]}" for k in ("torch", "numba", "numpy"))
    rates = " and ".join(f"{gemm_rate(t) / 1e9:.0f}" for t in (torch.float32, torch.float64))
    return (
        f"{about['cpu']}, {about['threads']} threads, {versions}; matrix products at {rates} GFLOP/s "
        f"(float32, float64). Best of {TRIALS} trials."
    )
