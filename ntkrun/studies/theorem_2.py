"""Theorem 2 (random features of the NTK): unbiased, the error falls like feature_dim^(-1/2)."""

from __future__ import annotations

from ntkrun.datasets.split import Split
from ntkrun.maths.kernel.rows import ntk
from ntkrun.maths.method.ntk_random_features import NTKRandomFeatures
from ntkrun.maths.metrics import frobenius_error
from ntkrun.studies.base import Series, Size, sample


def run(split: Split, size: Size) -> list[Series]:
    """Return the relative Frobenius error against feature_dim for depths 1, 2 and 3."""
    x = sample(split, size.rows).flatten(1)
    dims = size.dims(256)
    out = []
    for depth in (1, 2, 3):
        truth, errors = ntk(x, x, depth), []
        for m in dims:
            methods = [
                NTKRandomFeatures(m, depth=depth, random_state=s, dtype="float64") for s in range(size.trials)
            ]
            features = [method.fit_transform(x) for method in methods]
            errors.append([frobenius_error(z @ z.T, truth) for z in features])
        out.append(
            Series(
                "error of ntk_random_features",
                f"depth {depth}",
                "feature_dim",
                "relative Frobenius error",
                [float(m) for m in dims],
                errors,
                -0.5,
            )
        )
    return out
