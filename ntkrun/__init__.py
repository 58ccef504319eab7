"""ntkrun: neural-tangent-kernel learning at the cost of a linear model.

The estimators follow scikit-learn: `fit(X)`, `transform(X)`, `kernel(X, Y)` on rows (n, d) or images
(n, H, W, C), arrays or tensors. They load on first use, which keeps `import ntkrun` fast.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ntkrun.maths.estimators.ridge import NTKRidgeClassifier, NTKRidgeRegressor
    from ntkrun.maths.method.ckn import ConvKernelNetwork
    from ntkrun.maths.method.cntk_nystrom import CNTKNystrom
    from ntkrun.maths.method.cntk_sketch import CNTKSketch
    from ntkrun.maths.method.exact_cntk import ExactCNTK
    from ntkrun.maths.method.exact_ntk import ExactNTK
    from ntkrun.maths.method.grad_rf import GradientFeatures
    from ntkrun.maths.method.ntk_nystrom import NTKNystrom
    from ntkrun.maths.method.ntk_random_features import NTKRandomFeatures
    from ntkrun.maths.method.ntk_sketch import NTKSketch
    from ntkrun.maths.method.random_patches import RandomPatches
    from ntkrun.maths.method.union import MethodUnion
    from ntkrun.report.run_plot import plot_run

__version__ = "0.1.0"
# Raise this if numbers of a run change without a new version of its method: skip_finished reuses only
# finished runs with the same value. See "Changed numbers" in CHANGELOG.md.
NUMBERS = 1
__all__ = [
    "CNTKNystrom",
    "CNTKSketch",
    "ConvKernelNetwork",
    "ExactCNTK",
    "ExactNTK",
    "GradientFeatures",
    "MethodUnion",
    "NTKNystrom",
    "NTKRandomFeatures",
    "NTKRidgeClassifier",
    "NTKRidgeRegressor",
    "NTKSketch",
    "RandomPatches",
    "plot_run",
]
_HOME = {
    "CNTKNystrom": "maths.method.cntk_nystrom",
    "CNTKSketch": "maths.method.cntk_sketch",
    "ConvKernelNetwork": "maths.method.ckn",
    "ExactCNTK": "maths.method.exact_cntk",
    "ExactNTK": "maths.method.exact_ntk",
    "GradientFeatures": "maths.method.grad_rf",
    "MethodUnion": "maths.method.union",
    "NTKNystrom": "maths.method.ntk_nystrom",
    "NTKRandomFeatures": "maths.method.ntk_random_features",
    "NTKRidgeClassifier": "maths.estimators.ridge",
    "NTKRidgeRegressor": "maths.estimators.ridge",
    "NTKSketch": "maths.method.ntk_sketch",
    "RandomPatches": "maths.method.random_patches",
    "plot_run": "report.run_plot",
}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'ntkrun' has no attribute {name!r}")
    return getattr(import_module(f"ntkrun.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
