"""Time per image by method and feature_dim, and the share of the machine's matrix-product rate."""

from __future__ import annotations

from benchmarks.base import Result, gemm_rate, images, operations, seconds
from ntkrun.maths.method import METHODS
from ntkrun.maths.network.layers import MYRTLE5

CHOSEN = [
    ("cntk_sketch", {}),
    ("cntk_nystrom", {"sample_images": 128, "candidates": 2560}),
    ("cntk_nystrom", {"layers": MYRTLE5, "sample_images": 128, "candidates": 2560}),
    ("ntk_sketch", {}),
    ("ntk_nystrom", {"sampling": "uniform"}),
    ("ntk_random_features", {}),
    ("grad_rf", {}),
    ("rff", {}),
]
DIMS = (1024, 4096, 8192, 16384)


def run(data_dir: str) -> Result:
    """Time all methods on 32 x 32 x 3 images. grad_rf starts at 4096 columns, enough for a whole network."""
    x, roof = images(data_dir, 512), gemm_rate()
    rows, curves = [], {}
    for name, options in CHOSEN:
        label = name + (" Myrtle-5" if "layers" in options else "")
        for dim in DIMS:
            if name == "grad_rf" and dim < 4096:
                continue
            method = METHODS.get(name)(dim, **options).fit(x)
            some = x[:64]
            spent = seconds(lambda method=method, some=some: method.transform(some)) / len(some)
            work = operations(lambda method=method, some=some: method.transform(some[:8])) / 8
            rows.append([label, dim, 1e3 * spent, 1 / spent, work / 1e6, 100 * work / spent / roof])
            curves.setdefault(label, []).append((dim, 1e3 * spent))
    return Result(
        "Images per second",
        "Operations count products and convolutions; the rate is that of a float32 product.",
        ["method", "feature_dim", "ms per image", "images/s", "MFLOP per image", "% of product rate"],
        rows,
        "feature_dim",
        "ms per image",
        curves,
    )
