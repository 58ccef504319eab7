"""Theorem 4 (CNTK sketch): the error falls with the dimension; the cost is linear in the pixels."""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F

from ntkrun.datasets.split import Split
from ntkrun.maths.kernel.cntk import CNTK
from ntkrun.maths.kernel.polynomial import duals
from ntkrun.maths.method.cntk_sketch import CNTKSketch
from ntkrun.maths.metrics import frobenius_error
from ntkrun.studies.base import Series, Size, best_time, sample

DEPTH, DEGREE = 3, 4


def run(split: Split, size: Size) -> list[Series]:
    """Return error against the dimension inside (feature_dim beside it) and time against pixels."""
    x = resized(sample(split, size.rows), 12)
    truths = {
        f"polynomial kernel, degree {DEGREE}": CNTK(DEPTH, duals=duals("fitted", DEGREE, DEPTH))(x),
        "exact CNTK": CNTK(DEPTH)(x),
    }
    dims = size.dims(1024)
    errors: dict[str, list[list[float]]] = {name: [] for name in truths}
    for m in dims:
        grams = []
        for seed in range(size.trials):
            method = CNTKSketch(
                m, depth=DEPTH, degree=DEGREE, sketch_dim=m // 32, random_state=seed, dtype="float64"
            )
            z = method.fit_transform(x)
            grams.append(z @ z.T)
        for name, truth in truths.items():
            errors[name].append([frobenius_error(g, truth) for g in grams])
    out = [
        Series(
            "error of cntk_sketch, 12 x 12 images",
            name,
            "feature_dim (32 x sketch_dim)",
            "relative Frobenius error",
            [float(m) for m in dims],
            errors[name],
            -0.5 if "polynomial" in name else None,
        )
        for name in truths
    ]
    return [*out, _time_against_pixels(split, size)]


def _time_against_pixels(split: Split, size: Size) -> Series:
    images = sample(split, 32).to(torch.float32)
    pixels, times = [], []
    for side in (8, 16, 32, 64):
        x = resized(images, side)
        method = CNTKSketch(4096, depth=DEPTH).fit(x)
        pixels.append(float(side * side))
        seconds = best_time(partial(method.transform, x), max(3, size.trials))
        times.append([s / len(x) for s in seconds])
    label = "cntk_sketch, feature_dim 4096"
    return Series("time an image, 8 x 8 to 64 x 64", label, "pixels", "seconds an image", pixels, times, 1.0)


def resized(x: torch.Tensor, side: int) -> torch.Tensor:
    """Return images (n, H, W, C) interpolated to side x side pixels."""
    return F.interpolate(x.permute(0, 3, 1, 2), (side, side), mode="bilinear", antialias=True).permute(
        0, 2, 3, 1
    )
