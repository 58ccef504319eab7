"""Study of theorem 1."""

from __future__ import annotations

import pickle
import time
from functools import partial

import numpy as np
import scipy.sparse as sp
from torch import Tensor

from ntkrun.datasets.split import Split
from ntkrun.maths.dual.polynomial import duals
from ntkrun.maths.kernel.rows import ntk
from ntkrun.maths.method.ntk_sketch import NTKSketch
from ntkrun.maths.sparse import canonical
from ntkrun.studies.base import Series, Size, Study, best_time, error_curves, sample

DEPTH, DEGREE = 2, 4
# of the sparse rows that are timed
ROWS, COLUMNS, PER_ROW = 250, 1_000_000, (1000, 2000, 4000, 8000, 16_000)


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
        real = split.train.x if split.sparse else None
        return [*curves, *time_against_nonzeros(size, real)]


def time_against_nonzeros(size: Size, real: sp.csr_array | None = None) -> list[Series]:
    """Time ntk_sketch itself on sparse rows over their non-zeros, and its size over their columns.

    The number of rows is fixed, so only the leaf's work grows. Rows begin where the leaf takes most of the
    time (docs/theory.md). `real` rows of a data set are added up in groups, longer texts of more words.
    """
    trials, out = max(5, size.trials), []
    made = {f"{ROWS} rows of {COLUMNS:,} columns": [generated(k) for k in PER_ROW]}
    if real is not None:
        made[f"{ROWS} sums of rows of the data set"] = [added(real, k) for k in PER_ROW]
    for label, matrices in made.items():
        method = small(matrices[0])
        times = [best_time(partial(method.transform, x), trials, time.process_time) for x in matrices]
        counts = [float(x.nnz) for x in matrices]
        out.append(Series("time of ntk_sketch", label, "non-zeros", "processor seconds", counts, times, 1.0))
    widths = [10**3, 10**4, 10**5, 10**6]
    sizes = [[float(len(pickle.dumps(small(generated(PER_ROW[0], columns)))))] for columns in widths]
    at = [float(columns) for columns in widths]
    return [
        *out,
        Series("size of ntk_sketch", "fitted method", "columns of the rows", "bytes", at, sizes, 0.0),
    ]


def small(x: sp.csr_array, columns: int = 256) -> NTKSketch:
    """Return a method fitted to sparse rows, whose dense part is small."""
    return NTKSketch(columns, depth=DEPTH, degree=2).fit(x)


def generated(per_row: int, columns: int = COLUMNS) -> sp.csr_array:
    """Return ROWS rows with `per_row` normal numbers each, fewer if columns meet."""
    rng = np.random.default_rng(0)
    indices = rng.integers(columns, size=ROWS * per_row)
    values = rng.standard_normal(len(indices)).astype(np.float32)
    x = sp.csr_array((values, indices, np.arange(ROWS + 1) * per_row), shape=(ROWS, columns))
    x.sum_duplicates()
    return x


def added(x: sp.csr_array, per_row: int) -> sp.csr_array:
    """Return ROWS sums of as many randomly drawn rows of x as have about `per_row` non-zeros each."""
    count = max(1, round(per_row * x.shape[0] / max(1, x.nnz)))
    drawn = np.random.default_rng(0).integers(x.shape[0], size=ROWS * count)
    groups = sp.csr_array((np.ones(len(drawn)), drawn, np.arange(ROWS + 1) * count), (ROWS, x.shape[0]))
    return canonical(sp.csr_array(groups @ x))
