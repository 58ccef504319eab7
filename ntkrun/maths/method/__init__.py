"""The methods by name. A method is one file here and one yaml in conf/method.

Names, not importable paths, stand in the yaml, so a config can start nothing but what is listed here
or registered by an installed package under the entry point group "ntkrun.methods".
"""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import TYPE_CHECKING

from ntkrun.registry import lookup

if TYPE_CHECKING:
    from ntkrun.maths.method.base import Method

METHODS = {
    "cntk_sketch": ("ntkrun.maths.method.cntk_sketch", "CNTKSketch"),
    "cntk_nystrom": ("ntkrun.maths.method.cntk_nystrom", "CNTKNystrom"),
    "exact_cntk": ("ntkrun.maths.method.exact_cntk", "ExactCNTK"),
    "exact_ntk": ("ntkrun.maths.method.exact_ntk", "ExactNTK"),
    "grad_rf": ("ntkrun.maths.method.grad_rf", "GradientFeatures"),
    "ntk_random_features": ("ntkrun.maths.method.ntk_random_features", "NTKRandomFeatures"),
    "ntk_sketch": ("ntkrun.maths.method.ntk_sketch", "NTKSketch"),
    "random_patches": ("ntkrun.maths.method.random_patches", "RandomPatches"),
    "raw": ("ntkrun.maths.method.raw", "Raw"),
    "rff": ("ntkrun.maths.method.rff", "RandomFourierFeatures"),
}


def get(name: str) -> type[Method]:
    """Return the class called `name` in the yaml files; ConfigError where there is none."""
    for point in () if name in METHODS else entry_points(group="ntkrun.methods"):
        if point.name == name:
            return point.load()
    return lookup("method", METHODS, name)
