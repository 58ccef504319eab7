"""Sparse rows: a million columns, fifty non-zeros a row, beside scikit-learn's PolynomialCountSketch."""

from __future__ import annotations

import resource
import time
from typing import Any

import numpy as np
import scipy.sparse as sp

COLUMNS, NONZEROS = 1_000_000, 50
TRIALS = {"ntkrun": 3, "sklearn": 1}  # scikit-learn needs minutes per trial: it loops over all columns


def rows_of(rows: int, seed: int = 0) -> sp.csr_array:
    """Return rows (rows, COLUMNS), float32, with NONZEROS normal entries each in random columns."""
    rng = np.random.default_rng(seed)
    indices = np.sort(rng.integers(0, COLUMNS, (rows, NONZEROS), np.int32), 1).ravel()
    values = rng.standard_normal(rows * NONZEROS).astype(np.float32)
    x = sp.csr_array((values, indices, np.arange(rows + 1) * NONZEROS), shape=(rows, COLUMNS))
    x.sum_duplicates()
    return x


def line(transform: Any, x: sp.csr_array) -> tuple[float, float]:
    """Return rows per second, the best of the trials, and the peak resident MiB of this process so far."""
    package = transform.__self__.__class__.__module__.split(".")[0]
    best = min(_seconds(transform, x) for _ in range(TRIALS[package]))
    return x.shape[0] / best, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _seconds(transform: Any, x: sp.csr_array) -> float:
    begin = time.perf_counter()
    transform(x)
    return time.perf_counter() - begin


def page(rows: int, columns: int) -> str:
    """Return the section of the page."""
    from sklearn.kernel_approximation import PolynomialCountSketch

    from ntkrun import NTKSketch

    x, out = rows_of(rows), []
    makers = {
        "`NTKSketch(depth=1)`": NTKSketch(columns, depth=1, random_state=0),
        "PolynomialCountSketch(degree=2)": PolynomialCountSketch(
            degree=2, n_components=columns, random_state=0
        ),
    }
    for label, method in makers.items():
        method.fit(x[:100])
        rate, peak = line(method.transform, x)
        out.append(f"| {label} | {rate:,.0f} | {peak:,.0f} |")
    return "\n".join(
        [
            "\n## Sparse rows\n",
            f"{rows:,} rows of {COLUMNS:,} columns, {NONZEROS} non-zeros each, to {columns} features; "
            f"best of {TRIALS['ntkrun']} trials (scikit-learn: {TRIALS['sklearn']}), one after the other; "
            "peak memory of the process up to then.\n",
            "| | rows/s | peak MiB |\n|---|---|---|",
            *out,
            "",
        ]
    )
