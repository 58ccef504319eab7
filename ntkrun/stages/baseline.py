"""Measure the cost of the exact kernel on the same job, or extrapolate it if that is slow."""

from __future__ import annotations

import contextlib
import logging
import math
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from ntkrun.datasets.split import Role, Split
from ntkrun.executors.serial import Serial
from ntkrun.maths.method.kernel import KernelMethod
from ntkrun.maths.metrics import frobenius_error, spectral_error
from ntkrun.maths.ridge.path import solve_path
from ntkrun.progress import human, saying
from ntkrun.solvers.base import Solver
from ntkrun.stages import featurize, rate, regress, score
from ntkrun.store.features import Valid

log = logging.getLogger(__name__)

QUICK_SECONDS = 75.0  # `auto` measures the exact method in full up to this time
ERROR_ROWS, ERROR_SECONDS = 32, 10.0  # most rows and time for the kernel's error
SOLVE_ROWS = 2048  # most rows of the timed solve, scaled by n^3


@dataclass(frozen=True)
class Exact:
    """Time of the exact method, and its test score and the key of its kernel values if it was run in full.

    `low` and `high` bound an extrapolated time: they come from the fastest and the slowest timed block.
    """

    seconds: float
    kind: str
    value: float | None
    entries_per_s: float
    key: str | None = None
    low: float | None = None
    high: float | None = None


def run(
    split: Split, reference: KernelMethod, root: Path, baseline: str, shard_rows: int, solver: Solver
) -> Exact | None:
    """Return the cost of the exact kernel; None for `baseline` "none".

    It is always measured in this process, not by the run's executor.
    """
    if baseline == "none":
        return None
    name, entries = type(reference).__name__, rate.entries_of(split)
    enough = {"exact": math.inf, "estimate": 0.0}.get(baseline, QUICK_SECONDS / 2)
    with saying(f"baseline   timing {name}"):
        speed = rate.measured(split, reference, root.parent / rate.FOLDER, enough)
    guess = entries / speed.entries_per_s
    if not in_full(baseline, guess):
        with saying("baseline   timing a solve"):
            solve = solve_seconds(split.n_train)
        low, seconds, high = (entries / r + solve for r in (speed.high, speed.entries_per_s, speed.low))
        log.info(
            "baseline   %s, extrapolated: %.3g kernel entries at %.0f/s and a solve, %s",
            name,
            entries,
            speed.entries_per_s,
            human(seconds),
        )
        return Exact(seconds, "extrapolated", None, speed.entries_per_s, None, low, high)
    log.info(
        "baseline   %s in full: %d kernel entries, at most about %s, and its solves",
        name,
        entries,
        human(guess),
    )
    features = featurize.run(split, reference, root, shard_rows)
    fit = regress.run(features.train, features.valid, reference, solver, Serial())
    scores = score.run(fit, features.test)
    seconds = features.seconds + fit.seconds + scores.seconds
    return Exact(seconds, "measured", scores.value, speed.entries_per_s, features.store.folder.name)


def in_full(baseline: str, guess: float) -> bool:
    """Return whether the exact method is run in full if its kernel entries take `guess` seconds."""
    return baseline == "exact" or (baseline == "auto" and guess <= QUICK_SECONDS)


def kernel_errors(
    valid: Valid, split: Split, reference: KernelMethod, exact: Exact, lam: float
) -> dict[str, float]:
    """Return the errors of the features' kernel on held-out training rows, by their names in the result.

    "kernel/error" is the relative Frobenius error. "kernel/spectral_error" is the smallest eps of theorem 3
    of Zandieh et al. 2021 at the run's absolute lambda `lam`, which r rows meet as r lam.

    It takes ERROR_ROWS rows, or as many as the exact kernel does in ERROR_SECONDS; nothing if these are fewer
    than four.
    """
    affordable = int((2 * exact.entries_per_s * ERROR_SECONDS) ** 0.5)
    rows = min(ERROR_ROWS, affordable, len(split.valid))
    if rows < 4:
        return {}
    taken: list[torch.Tensor] = []
    for batch, _ in valid.batches():
        taken.append(batch)
        if sum(map(len, taken)) >= rows:
            break
    z = torch.cat(taken)[:rows].to("cpu", torch.float64)
    x = split.batch(Role.VALID, 0, rows, torch.float64)
    truth = reference.kernel(x).to("cpu", torch.float64)
    out = {"kernel/error": frobenius_error(z @ z.T, truth)}
    # a lambda below the rounding errors of equal rows leaves no positive definite matrix to compare with
    with contextlib.suppress(torch.linalg.LinAlgError):
        out["kernel/spectral_error"] = spectral_error(z @ z.T, truth, rows * lam)
    return out


def solve_seconds(n: int) -> float:
    """Time a positive-definite solve of at most SOLVE_ROWS rows and scale it by n^3."""
    rows = min(n, SOLVE_ROWS)
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(rows, 64, generator=generator, dtype=torch.float64)
    gram = z @ z.T
    start = time.perf_counter()
    list(solve_path(gram, z[:, :10], [1.0]))
    return (time.perf_counter() - start) * (n / rows) ** 3
