"""Time, rate and memory of normal equations and their solution, by number of columns."""

from __future__ import annotations

import torch

from benchmarks.base import Result, gemm_rate, seconds
from ntkrun import machine
from ntkrun.maths.ridge.cholesky import MIXED_FROM
from ntkrun.maths.ridge.normal import NormalEquations
from ntkrun.solvers.sums import single

ROWS = 2048
DIMS = (1024, 2048, 4096, 8192, 16384)


def run(data_dir: str) -> Result:
    """Add rows in the precision of `sums: auto`, then solve for one lambda and ten targets."""
    roofs = {dtype: gemm_rate(dtype) for dtype in (torch.float32, torch.float64)}
    rows, curves = [], {}
    for m in DIMS:
        generator = torch.Generator().manual_seed(0)
        z = torch.randn(ROWS, m, generator=generator)
        y = torch.randn(ROWS, 10, generator=generator)
        machine.reset_peak_rss()
        before = machine.peak_rss_mb()
        sums_in = torch.float32 if single("auto", m, z.dtype) else torch.float64
        group, equations = NormalEquations(sums_in == torch.float32), NormalEquations()
        add = seconds(lambda group=group, z=z, y=y: group.add(z, y), 1) / ROWS
        equations.merge(group)
        del group
        solve_in = torch.float32 if m >= MIXED_FROM else torch.float64
        solve = seconds(lambda equations=equations: next(equations.path([1e-3])), 1)
        peak = machine.peak_rss_mb() - before
        share = 100 * m * m / add / roofs[sums_in]  # half of 2 m^2: the triangle
        rows.append([m, 50_000 * add, share, solve, 100 * m**3 / 3 / solve / roofs[solve_in], peak])
        curves.setdefault("50,000 rows", []).append((m, 50_000 * add))
        curves.setdefault("one lambda", []).append((m, solve))
    return Result(
        "Ridge regression",
        "Seconds to add 50,000 rows (scaled from 2,048) and to solve for one lambda. From 4,096 "
        "columns on, sums and factors are in float32. The largest products are faster than the "
        "reference product of the same precision, which is small.",
        ["feature_dim", "s for 50,000 rows", "% of product rate", "s per lambda", "% of product rate", "MiB"],
        rows,
        "feature_dim",
        "seconds",
        curves,
    )
