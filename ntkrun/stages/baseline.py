"""What the exact kernel method costs on the same job: measured where that is quick, else extrapolated."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ntkrun.config import RunConfig
from ntkrun.datasets.split import Split
from ntkrun.maths.method.base import DTYPES, Method
from ntkrun.maths.ridge.path import solve_path
from ntkrun.stages import featurize, regress, score

log = logging.getLogger(__name__)

QUICK_SECONDS = 75.0  # `auto` measures the exact method in full up to here
BLOCK_SECONDS = 3.0  # a timed block of kernel entries lasts at least this long
ERROR_ROWS, ERROR_SECONDS = 32, 10.0  # of the kernel's error
SOLVE_ROWS = 2048  # a timed solve, scaled by n^3


@dataclass(frozen=True)
class Exact:
    """Time of the exact method; its score only where it was run in full."""

    seconds: float
    kind: str
    value: float | None
    entries_per_s: float


def run(config: RunConfig, split: Split, reference: Method, root: Path) -> Exact | None:
    """Return the cost of `reference` (a kernel method) for baseline auto, exact or estimate; None for none.

    It is measured on this machine's cores, in this process, whatever the executor.
    """
    kind = config.baseline
    if kind == "none":
        return None
    rate = entries_per_second(split, reference)
    entries = split.n_train * (split.n_train + 1) // 2 + split.n_train * len(split.test)
    guess = entries / rate
    if kind == "estimate" or (kind == "auto" and guess > QUICK_SECONDS):
        seconds = guess + solve_seconds(split.n_train)
        log.info(
            "baseline   %s, extrapolated: %.3g kernel entries at %.0f/s and a solve, %s",
            type(reference).__name__,
            entries,
            rate,
            human(seconds),
        )
        return Exact(seconds, "extrapolated", None, rate)
    log.info(
        "baseline   %s in full: %d kernel entries, about %s", type(reference).__name__, entries, human(guess)
    )
    features = featurize.run(split, reference, root, config.shard_rows)
    fit = regress.run_kernel(features, split.classes, config.solver)
    scores = score.run(fit, features, split.classes)
    seconds = features.seconds + fit.seconds + scores.seconds
    return Exact(seconds, "measured", scores.value, rate)


def kernel_error(features: featurize.Features, split: Split, reference: Method, exact: Exact) -> float | None:
    """Return the relative Frobenius error of the features' kernel on a few held-out training rows.

    ERROR_ROWS of them, fewer where the exact kernel is slow; None where not even four take ERROR_SECONDS.
    """
    affordable = int((2 * exact.entries_per_s * ERROR_SECONDS) ** 0.5)
    rows = min(ERROR_ROWS, affordable, len(split.valid))
    if rows < 4:
        return None
    taken: list[torch.Tensor] = []
    for batch, _ in features.batches("valid"):
        taken.append(batch)
        if sum(map(len, taken)) >= rows:
            break
    z = torch.cat(taken)[:rows].to("cpu", torch.float64)
    x = split.batch("valid", 0, rows, torch.float64)
    kernel = reference.fit(x).kernel(x).to("cpu", torch.float64)
    return float((z @ z.T - kernel).norm() / kernel.norm())


def entries_per_second(split: Split, reference: Method) -> float:
    """Time a block of distinct kernel entries between training rows, after one entry to warm up."""
    x = split.sample(64, DTYPES[reference.dtype])
    reference.fit(x)
    reference.kernel(x[:1], x[:1])
    rng = np.random.default_rng(0)
    count, spent, block = 0, 0.0, 8
    while spent < BLOCK_SECONDS:
        ix, iy = rng.integers(len(x), size=(2, block))
        start = time.perf_counter()
        reference.pairs(x, x, ix, iy)
        took = time.perf_counter() - start
        # the first blocks only find a size that takes about a second
        if took > BLOCK_SECONDS / 4:
            count, spent = count + block, spent + took
        else:
            block *= 4
    return count / spent


def solve_seconds(n: int) -> float:
    """Time a positive-definite solve of at most SOLVE_ROWS rows and scale it by n^3."""
    rows = min(n, SOLVE_ROWS)
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(rows, 64, generator=generator, dtype=torch.float64)
    gram = z @ z.T
    start = time.perf_counter()
    list(solve_path(gram, z[:, :10], [1.0]))
    return (time.perf_counter() - start) * (n / rows) ** 3


def human(seconds: float) -> str:
    """Return a duration in the unit that people would use."""
    for unit, size in (("years", 365.25 * 86400), ("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"
