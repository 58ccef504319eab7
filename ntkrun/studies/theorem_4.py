"""Study of theorem 4."""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F

from ntkrun.datasets.split import Split
from ntkrun.maths.dual.polynomial import duals
from ntkrun.maths.method.cntk_sketch import CNTKSketch
from ntkrun.maths.network.exact.cntk import CNTK
from ntkrun.studies.base import Series, Size, Study, best_time, error_curves, sample

DEPTH, DEGREE = 3, 4


class Theorem4(Study):
    """Measure theorem 4 (CNTK sketch): error falls with the dimension, cost is linear in the pixels."""

    name = "theorem_4"

    def run(self, split: Split, size: Size) -> list[Series]:
        """Return the error over feature_dim, with sketch_dim growing along, and the time over pixels."""
        x = resized(sample(split, size.rows), 12)
        polynomials = duals("fitted", DEGREE, DEPTH)
        truths: dict[str, tuple[torch.Tensor, float | None]] = {
            f"polynomial kernel, degree {DEGREE}": (CNTK(DEPTH, duals=polynomials)(x), -0.5),
            "exact CNTK": (CNTK(DEPTH)(x), None),
        }

        def make(m: int, seed: int) -> CNTKSketch:
            return CNTKSketch(
                m,
                depth=DEPTH,
                degree=DEGREE,
                sketch_dim=m // 32,
                layout="channels_last",
                random_state=seed,
                dtype="float64",
            )

        panel, dims = "error of cntk_sketch, 12 x 12 images", size.dims(1024)
        curves = error_curves(panel, "feature_dim (32 x sketch_dim)", make, x, truths, dims, size.trials)
        return [*curves, _time_against_pixels(split, size)]


def _time_against_pixels(split: Split, size: Size) -> Series:
    images = sample(split, 32).to(torch.float32)
    pixels, times = [], []
    for side in (8, 16, 32, 64):
        x = resized(images, side)
        method = CNTKSketch(4096, depth=DEPTH, layout="channels_last").fit(x)
        pixels.append(float(side * side))
        seconds = best_time(partial(method.transform, x), max(3, size.trials))
        times.append([s / len(x) for s in seconds])
    label = "cntk_sketch, feature_dim 4096"
    return Series("time an image, 8 x 8 to 64 x 64", label, "pixels", "seconds per image", pixels, times, 1.0)


def resized(x: torch.Tensor, side: int) -> torch.Tensor:
    """Return images (n, H, W, C) interpolated to side x side pixels."""
    return F.interpolate(x.permute(0, 3, 1, 2), (side, side), mode="bilinear", antialias=True).permute(
        0, 2, 3, 1
    )
