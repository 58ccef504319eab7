"""Time per pair of images of the exact CNTK."""

from __future__ import annotations

from benchmarks.base import Result, images, seconds
from ntkrun.maths.network.exact.cntk import CNTK


def run(data_dir: str) -> Result:
    """Time symmetric blocks for image sides 8, 16, 32, depths 2, 3, 5 and both precisions."""
    rows, curves = [], {}
    for side, count in ((8, 96), (16, 32), (32, 16)):
        x = images(data_dir, count, side)
        for dtype in ("float32", "float64"):
            for depth in (2, 3, 5):
                block = x.double() if dtype == "float64" else x
                pairs = count * (count + 1) // 2
                spent = seconds(lambda depth=depth, block=block: CNTK(depth)(block)) / pairs
                rows.append([f"{side} x {side} x 3", dtype, depth, 1e3 * spent, 1 / spent])
                curves.setdefault(f"depth {depth}, {dtype}", []).append((side * side, 1e3 * spent))
    return Result(
        "The exact CNTK, global average pooling",
        "Every pair of positions counts, so time grows with the square of the number of pixels.",
        ["images", "dtype", "depth", "ms per pair", "pairs/s"],
        rows,
        "pixels",
        "ms per pair",
        curves,
    )
