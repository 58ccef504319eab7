"""Kernel error on held-out CIFAR-10 images against time per image, for each method."""

from __future__ import annotations

from benchmarks.base import Result, images, seconds
from ntkrun.maths.method.cntk_nystrom import CNTKNystrom
from ntkrun.maths.method.cntk_sketch import CNTKSketch
from ntkrun.maths.metrics import frobenius_error
from ntkrun.maths.network.exact.cntk import CNTK

HELD_OUT = 64
SEEDS = 3


def run(data_dir: str) -> Result:
    """Compare Gram matrices with the exact CNTK of depth 3, with and without centring."""
    rows, curves = [], {}
    for preprocess in ("standardize", "zca"):
        x = images(data_dir, 512 + HELD_OUT, preprocess=preprocess)
        fit, held_out = x[HELD_OUT:], x[:HELD_OUT]
        exact = CNTK(3)(held_out)
        choices = [
            *(("cntk_sketch", CNTKSketch(m, degree=d)) for d in (2, 4) for m in (1024, 4096, 8192)),
            *(
                (
                    "cntk_nystrom",
                    CNTKNystrom(m, dim=dim, landmarks=landmarks),
                )
                for m, dim, landmarks in (
                    (1024, 32, 64),
                    (4096, 64, 128),
                    (4096, 64, 256),
                    (8192, 96, 384),
                    (8192, 128, 512),
                )
            ),
        ]
        for name, method in choices:
            errors = []
            for seed in range(SEEDS):
                z = method.set_params(random_state=seed).fit(fit).transform(held_out)
                pair = (z @ z.T, exact)
                centred = [k - k.mean(0) - k.mean(1)[:, None] + k.mean() for k in pair]
                errors.append((frobenius_error(*pair), frobenius_error(*centred)))
            error, error_centred = (sum(e) / SEEDS for e in zip(*errors, strict=True))
            spent = 1e3 * seconds(lambda method=method, x=held_out: method.transform(x)) / HELD_OUT
            options = method.get_params()
            shown = {k: options[k] for k in ("degree", "dim", "landmarks") if k in options}
            text = ", ".join(f"{k} {v}" for k, v in shown.items())
            rows.append([name, preprocess, options["n_components"], text, spent, error, error_centred])
            title = f"{name} degree {options['degree']}" if "degree" in options else name
            curves.setdefault(f"{title}, {preprocess}", []).append((spent, error))
    return Result(
        "Kernel error against time",
        f"Relative Frobenius error of the Gram matrix of {HELD_OUT} held-out images, mean of {SEEDS} seeds.",
        ["method", "preprocess", "feature_dim", "size", "ms per image", "error", "error, centred"],
        rows,
        "ms per image",
        "relative Frobenius error",
        curves,
    )
