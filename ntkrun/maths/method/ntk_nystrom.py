"""Nystrom features of an exact kernel of rows; see docs/math.md, section 7."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ntkrun import checks
from ntkrun.maths.kernel.rows import median_distance, ntk_of_cosine, rbf, unit
from ntkrun.maths.method.base import DTYPES
from ntkrun.maths.method.exact_ntk import ExactNTK
from ntkrun.maths.method.features import FeatureMethod, spread
from ntkrun.maths.method.rff import MEDIAN_ROWS
from ntkrun.maths.method.rows import RowMethod
from ntkrun.maths.network.nystrom.landmarks import ROWS, cholesky, pivots
from ntkrun.maths.rng import Stream
from ntkrun.maths.sparse import Rows, SparseRows, inner


@dataclass(eq=False, repr=False)
class NTKNystrom(RowMethod, FeatureMethod):
    """Features z(x) = k(x, Z) L^-T with landmarks Z among the training rows, L L^T = k(Z, Z).

    <z(x), z(y)> = k(x, Z) k(Z, Z)^-1 k(Z, y): never above k on the diagonal, and equal to k if x or y is a
    landmark (Williams and Seeger 2001). Labels are never used. Rows and landmarks enter with
    k(x, x) = 1, and 1e-6 is added to the diagonal of k(Z, Z); the norm of x then multiplies the features.

    Parameters
    ----------
    n_components : int
        Landmarks, which are the columns of the features (`feature_dim` of a run). If there are fewer rows,
        or fewer explain all but 1e-6 of the trace, the other columns are zero.
    depth : int
        ReLU layers L >= 1 of "ntk".
    bias : float
        Of "ntk", at least 0. Adds the entry bias sqrt(d) to every row of d entries, as biases of variance
        bias^2 in the first layer do. Try 0.3 for standardised tables; it matters most for few columns
        (docs/results/small_tables.md).
    kernel_name : {"ntk", "rbf"}
        The fully connected ReLU NTK, or the Gaussian kernel.
    bandwidth : float or None
        Bandwidth of "rbf"; None takes the median distance between 512 rows of the sample.
    sampling : {"pivoted", "uniform"}
        "pivoted" draws landmarks by randomly pivoted Cholesky (Epperly, Tropp and Webber 2024): each with
        probability proportional to what the others leave unexplained. "uniform" is faster; its kernel error
        is larger, but not always that of predictions.
    candidates : int
        Training rows that landmarks are chosen from, evenly spread; at least n_components.
    random_state : int, None or RandomState
        Seed of the choice of landmarks.
    device : str
        "cpu", "cuda", "cuda:N" or "auto".
    dtype : {"float32", "float64"}
        Precision of the features; landmarks are chosen, and L is computed, in float64.

    Notes
    -----
    Cost: n_components (d + n_components / 2) multiply-adds per row. "pivoted" costs n_components^2 for each
    candidate and 4 n_components bytes of memory.
    """

    name = "ntk_nystrom"

    n_components: int = 1024
    _: KW_ONLY
    depth: int = 3
    bias: float = 0.0
    kernel_name: str = "ntk"
    bandwidth: float | None = None
    sampling: str = "pivoted"
    candidates: int = 10_000
    random_state: Any = 0
    device: str = "cpu"
    dtype: str = "float32"

    def problems(self) -> list[str]:
        """Return one sentence per wrong parameter."""
        me, out = type(self).__name__, super().problems()
        out += checks.choice(me, "kernel_name", self.kernel_name, ("ntk", "rbf"))
        out += checks.choice(me, "sampling", self.sampling, ("pivoted", "uniform"))
        out += checks.integer(me, "candidates", self.candidates, 1, 1 << 20)
        if self.bandwidth is not None:
            out += checks.real(me, "bandwidth", self.bandwidth, 0)
        return out

    @property
    def fewest(self) -> int:
        """One: a landmark is a column."""
        return 1

    @property
    def sample_rows(self) -> int:
        """Rows that landmarks are chosen from."""
        return max(self.candidates, self.drawn)

    def fitted(self) -> list[Tensor]:
        """Return the landmarks and the bandwidth."""
        z = self._landmarks
        parts = [z.start, z.columns, z.values] if isinstance(z, SparseRows) else [z]
        return [*parts, torch.tensor(self.bandwidth_)]

    def compact(self) -> tuple[dict[str, Any], Any]:
        """Return parameters and landmarks: fitted to those rows alone, the method is the same."""
        bandwidth = self.bandwidth_ if self.kernel_name == "rbf" else self.bandwidth
        return self.parameters() | {"bandwidth": bandwidth}, self._chosen

    def fit_bytes(self, rows: int, shape: Sequence[int]) -> int:
        """Return the bytes of the sample, and of the factor of `pivots` or, after it, landmarks and L."""
        r, d = min(rows, self.drawn), 0 if self._sparse else int(np.prod(shape))
        factor = 4 * rows * r if self.sampling == "pivoted" and rows > r else 0
        between = 8 * r * r + max(12 * r * r, 48 * min(ROWS, r) * r)
        return super().fit_bytes(rows, shape) + max(factor, 32 * r * d, 8 * r * d + between)

    def _draw(self, X: Any) -> None:
        some = X[spread(X.shape[0], MEDIAN_ROWS)]
        self.bandwidth_ = self.bandwidth or median_distance(self.flat(some))
        self._chosen = self._choice(X).numpy()
        z, _ = self._split(self.flat(X[self._chosen]).to(torch.float64))
        between = torch.empty(len(z), len(z), dtype=z.dtype, device=z.device)
        for start in range(0, len(z), ROWS):
            between[start : start + ROWS] = self._correlation(z[start : start + ROWS], z)
        dtype = DTYPES[self.dtype]
        self._landmarks, self._lower = z.to(dtype), cholesky(between).to(dtype)

    def _choice(self, X: Any) -> Tensor:
        """Return the numbers of the landmarks among the rows of X, (r,) with r >= 1."""
        n, stream = X.shape[0], Stream(self.seed_).child("ntk_nystrom")
        if n <= self.drawn:
            return torch.arange(n)  # in their order, on which `compact` relies
        if self.sampling == "uniform":
            return stream.subset(n, self.drawn)

        def rows(index: Tensor | slice) -> tuple[Any, Tensor]:
            part = X[index if isinstance(index, slice) else index.numpy()]
            return self._split(self.flat(part).to(torch.float64))

        def correlation(i: Tensor | slice, j: Tensor) -> Tensor:
            return self._correlation(rows(i)[0], rows(j)[0])

        length = torch.cat([rows(slice(start, start + ROWS))[1] for start in range(0, n, ROWS)])
        diagonal = (length / length.max().clamp(min=1e-300)).square()
        chosen = pivots(correlation, diagonal, self.drawn, stream.generator())
        return chosen if len(chosen) else torch.arange(1)

    def _split(self, x: Any) -> tuple[Any, Tensor]:
        """Return what `_correlation` takes for rows x (n, d), and the root of k(x, x), (n,)."""
        if self.kernel_name == "rbf":
            return x, torch.ones(len(x), dtype=x.dtype, device=x.device)
        x = self.lifted(x)
        return unit(x), (self.depth + 1) ** 0.5 * x.norm(dim=1)

    def _correlation(self, x: Rows, y: Rows) -> Tensor:
        """Return k(x, y) / sqrt(k(x, x) k(y, y)), (n, m)."""
        if self.kernel_name == "rbf":
            return rbf(x, y, self.bandwidth_)
        return ntk_of_cosine(inner(x, y).clamp_(-1, 1), self.depth).div_(self.depth + 1)

    def _features(self, batch: Any) -> Tensor:
        x, length = self._split(batch.flatten(1))
        k = self._correlation(x, self._landmarks)
        z = torch.linalg.solve_triangular(self._lower.T, k, upper=True, left=False)
        return F.pad(z.mul_(length[:, None]), (0, self.drawn - z.shape[1]))

    def reference(self) -> ExactNTK | None:
        """Return the exact kernel that the features approximate; None for "rbf"."""
        if self.kernel_name == "rbf":
            return None
        return ExactNTK(depth=self.depth, bias=self.bias, device=self.device, dtype=self.dtype)

    def kernel(self, X: Any, Y: Any = None) -> Any:
        """Return the exact kernel (n, m), Gaussian with the bandwidth of `fit` for "rbf"."""
        if self.kernel_name == "rbf":
            return self._gram(lambda x, y: rbf(x, y, self.bandwidth_), X, Y)
        return super().kernel(X, Y)
