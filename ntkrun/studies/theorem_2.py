"""Study of theorem 2."""

from __future__ import annotations

from torch import Tensor

from ntkrun.datasets.split import Split
from ntkrun.maths.kernel.rows import ntk
from ntkrun.maths.method.ntk_random_features import NTKRandomFeatures
from ntkrun.studies.base import Series, Size, Study, error_curves, sample


class Theorem2(Study):
    """Measure theorem 2 (random features of the NTK): unbiased, error falls like feature_dim^(-1/2)."""

    name = "theorem_2"

    def run(self, split: Split, size: Size) -> list[Series]:
        """Return the relative Frobenius error over feature_dim for depths 1, 2 and 3."""
        x = sample(split, size.rows).flatten(1)
        out = []
        for depth in (1, 2, 3):

            def make(m: int, seed: int, depth: int = depth) -> NTKRandomFeatures:
                return NTKRandomFeatures(m, depth=depth, random_state=seed, dtype="float64")

            truths: dict[str, tuple[Tensor, float | None]] = {f"depth {depth}": (ntk(x, x, depth), -0.5)}
            panel = "error of ntk_random_features"
            out += error_curves(panel, "feature_dim", make, x, truths, size.dims(256), size.trials)
        return out
