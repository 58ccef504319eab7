"""Study of theorem 1."""

from __future__ import annotations

from functools import partial

import numpy as np
import scipy.sparse as sp
from torch import Tensor

from ntkrun.datasets.split import Split
from ntkrun.maths.dual.polynomial import duals
from ntkrun.maths.kernel.rows import ntk
from ntkrun.maths.method.ntk_sketch import NTKSketch
from ntkrun.maths.rng import Stream
from ntkrun.maths.sketch.osnap import OSNAP
from ntkrun.studies.base import Series, Size, Study, best_time, error_curves, sample

DEPTH, DEGREE = 2, 4


class Theorem1(Study):
    """Measure theorem 1 (NTK sketch): error falls with the dimension, cost is linear in the non-zeros."""

    name = "theorem_1"

    def run(self, split: Split, size: Size) -> list[Series]:
        """Return the error to the polynomial and the exact kernel over feature_dim, and time over non-zeros.

        A sketch of fixed degree estimates the polynomial kernel. The misfit of the polynomial to the exact
        kernel stays, so the paper's degree grows as eps falls.
        """
        x = sample(split, size.rows).flatten(1)
        truths: dict[str, tuple[Tensor, float | None]] = {
            f"polynomial kernel, degree {DEGREE}": (ntk(x, x, DEPTH, duals("fitted", DEGREE, DEPTH)), -0.5),
            "exact NTK": (ntk(x, x, DEPTH), None),
        }

        def make(m: int, seed: int) -> NTKSketch:
            # the inner dimension grows with the outer one, as in the theorem
            inner = m // (2 * DEGREE + 4) - 1
            return NTKSketch(
                m, depth=DEPTH, degree=DEGREE, sketch_dim=inner, random_state=seed, dtype="float64"
            )

        dims = size.dims(1024)
        curves = error_curves("error of ntk_sketch", "feature_dim", make, x, truths, dims, size.trials)
        return [*curves, _time_against_nonzeros(size)]


def _time_against_nonzeros(size: Size) -> Series:
    """Time the leaf sketch of a sparse matrix of fixed shape over its number of non-zeros."""
    rows, columns = 2000, 100_000
    sketch = OSNAP(columns, 256, Stream(0))
    rng = np.random.default_rng(0)
    counts: list[float] = []
    times: list[list[float]] = []
    for per_row in (250, 500, 1000, 2000, 4000):
        indices = rng.integers(columns, size=rows * per_row)
        pointers = np.arange(rows + 1) * per_row
        x = sp.csr_matrix(
            (rng.standard_normal(rows * per_row).astype(np.float32), indices, pointers), shape=(rows, columns)
        )
        counts.append(float(rows * per_row))
        times.append(best_time(partial(sketch, x), max(3, size.trials)))
    label = f"OSNAP of {rows} x {columns} CSR"
    return Series("time of the leaf sketch", label, "non-zeros", "seconds", counts, times, 1.0)
