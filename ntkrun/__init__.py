"""ntkrun: neural-tangent-kernel learning at the cost of a linear model.

The estimators are scikit-learn shaped: `fit(X)`, `transform(X)`, `kernel(X, Y)` on rows (n, d) or images
(n, H, W, C), arrays or tensors. They load on first use, so that importing ntkrun stays instant.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ntkrun.maths.method.cntk_nystrom import CNTKNystrom
    from ntkrun.maths.method.cntk_sketch import CNTKSketch
    from ntkrun.maths.method.exact_cntk import ExactCNTK
    from ntkrun.maths.method.exact_ntk import ExactNTK
    from ntkrun.maths.method.grad_rf import GradientFeatures
    from ntkrun.maths.method.ntk_random_features import NTKRandomFeatures
    from ntkrun.maths.method.ntk_sketch import NTKSketch
    from ntkrun.maths.method.random_patches import RandomPatches
    from ntkrun.maths.ridge.estimators import NTKRidgeClassifier, NTKRidgeRegressor

__version__ = "0.1.0"
# raised if a number of a run moves and no method's version says so; a finished run of other numbers is not
# taken for this one's (see "Changed numbers" in CHANGELOG.md)
NUMBERS = 1
__all__ = [
    "CNTKNystrom",
    "CNTKSketch",
    "ExactCNTK",
    "ExactNTK",
    "GradientFeatures",
    "NTKRandomFeatures",
    "NTKRidgeClassifier",
    "NTKRidgeRegressor",
    "NTKSketch",
    "RandomPatches",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'ntkrun' has no attribute {name!r}")
    if name.startswith("NTKRidge"):
        from ntkrun.maths.ridge import estimators

        return getattr(estimators, name)
    from ntkrun.maths.method import METHODS, get

    return get(next(key for key, (_, cls) in METHODS.items() if cls == name))
