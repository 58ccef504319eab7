"""Time per image against pixels, depth, degree and feature_dim, varied one at a time."""

from __future__ import annotations

from functools import partial

import numpy as np

from benchmarks.base import Result, images, seconds
from ntkrun.maths.method.cntk_nystrom import CNTKNystrom
from ntkrun.maths.method.cntk_sketch import CNTKSketch
from ntkrun.studies.theorem_4 import resized

# a small sample is fitted fast and does not change the time per image
MAKE = {
    "cntk_sketch": CNTKSketch,
    "cntk_nystrom": partial(CNTKNystrom, sample_images=64, candidates=1024),
}


def run(data_dir: str) -> Result:
    """Vary one size at a time, from feature_dim 4096, depth 3, degree 2 and 32 x 32 pixels."""
    x = images(data_dir, 128)
    rows, curves = [], {}

    def measure(name: str, what: str, values: list[int], make, side: bool = False) -> None:
        times = []
        for value in values:
            batch = resized(x, value) if side else x
            method = make(value).fit(batch)
            times.append(1e3 * seconds(lambda m=method, b=batch: m.transform(b[:32])) / 32)
        at = [float(v * v if side else v) for v in values]
        slope = float(np.polyfit(np.log(at), np.log(times), 1)[0])
        rows.append(
            [name, what, ", ".join(f"{v:.0f}" for v in at), ", ".join(f"{t:.2f}" for t in times), slope]
        )
        curves[f"{name}: {what}"] = [(a / at[0], t / times[0]) for a, t in zip(at, times, strict=True)]

    for name, make in MAKE.items():
        measure(name, "pixels", [8, 16, 32, 64], lambda _, make=make: make(4096), side=True)
        measure(name, "depth", [2, 3, 5, 10], lambda v, make=make: make(4096, depth=v))
        measure(name, "feature_dim", [1024, 2048, 4096, 8192], lambda v, make=make: make(v))
    measure("cntk_sketch", "degree", [2, 3, 4, 8], lambda v: CNTKSketch(4096, degree=v))
    return Result(
        "Time per image by pixels, depth, degree and feature_dim",
        "The slope is that of log time against log size; inner dimensions grow with feature_dim.",
        ["method", "against", "values", "ms per image", "slope"],
        rows,
        "size, relative to the smallest",
        "time, relative to the smallest",
        curves,
    )
