"""Time what ntkrun is made of on this machine: images per second, exact pairs per second, GEMM rate.

python scripts/bench.py                 # about a minute
python scripts/bench.py feature_dims=1024,4096 side=32 images=64
"""

from __future__ import annotations

import sys
import time

import torch

from ntkrun import machine
from ntkrun.maths.method.cntk_sketch import CNTKSketch
from ntkrun.maths.method.exact_cntk import ExactCNTK


def timed(function, trials: int = 3) -> tuple[float, float]:
    """Return the best and the worst of a few trials in seconds, after one to warm up."""
    function()
    seconds = []
    for _ in range(trials):
        start = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - start)
    return min(seconds), max(seconds)


def main(words: list[str]) -> None:
    """Print the table."""
    options = {"feature_dims": "1024,4096,8192", "side": "32", "images": "64"} | dict(
        w.split("=") for w in words
    )
    side, images = int(options["side"]), int(options["images"])
    machine.tune_allocator()
    about = machine.describe()
    print(
        f"{about['cpu']}, {about['threads']} threads, torch {about['packages']['torch']}, "
        "best (worst) of 3 trials"
    )
    a, b = torch.randn(16384, 256), torch.randn(256, 512)
    best, _ = timed(lambda: a @ b)
    gemm = 2 * 16384 * 256 * 512 / best / 1e9
    print(f"GEMM 16384x256x512 float32     {gemm:8.0f} GFLOP/s")
    x = torch.randn(images, side, side, 3, generator=torch.Generator().manual_seed(0))
    for m in (int(v) for v in options["feature_dims"].split(",")):
        method = CNTKSketch(m).fit(x)
        best, worst = timed(lambda method=method: method.transform(x))
        per = best / images * 1e3
        print(f"cntk_sketch {m:6d}             {per:8.2f} ms an image ({worst / images * 1e3:.2f})")
    for dtype in ("float32", "float64"):
        exact = ExactCNTK(dtype=dtype).fit(x)
        small = x[:16]
        best, worst = timed(lambda exact=exact, small=small: exact.kernel(small))
        pairs = 16 * 17 // 2
        print(
            f"exact_cntk {dtype}             {best / pairs * 1e3:8.2f} ms a pair ({worst / pairs * 1e3:.2f})"
        )


if __name__ == "__main__":
    main(sys.argv[1:])
