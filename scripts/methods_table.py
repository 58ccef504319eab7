"""All methods on digits and protein, over seeds: writes docs/results/methods_<set>.md.

    python scripts/methods_table.py data_dir=../shared/data

Each line is the mean over seeds, the spread (standard deviation) in brackets. Kernel errors are against the
exact kernel that the method aims at, on 500 training rows; scores are on the test part, read once a fit.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ntkrun import machine
from ntkrun.datasets.csv import Csv
from ntkrun.datasets.digits import Digits
from ntkrun.executors.serial import Serial
from ntkrun.maths.method import METHODS
from ntkrun.maths.method.kernel import KernelMethod
from ntkrun.maths.metrics import frobenius_error, spectral_error
from ntkrun.solvers.ridge import Ridge
from ntkrun.stages import featurize, regress, score
from ntkrun.store.paths import as_path

# one decade a step: the solver's time is not what is compared here
SOLVER = Ridge(lambda_min=1e-7, lambda_max=1e-1, lambda_count=7)
SHARED: list[tuple[str, dict[str, Any]]] = [
    ("ntk_random_features", {"depth": 2}),
    ("ntk_random_features", {"depth": 2, "sampling": "leverage_exact"}),
    ("ntk_nystrom", {"depth": 2}),
    ("ntk_nystrom", {"depth": 2, "sampling": "uniform"}),
    ("ntk_sketch", {"depth": 2}),
    ("ntk_sketch", {"depth": 2, "variant": "one_shot", "degree": 6}),
    ("grad_rf", {"depth": 2}),
    ("rff", {}),
]
EXACT: list[tuple[str, dict[str, Any]]] = [("exact_ntk", {"depth": 2}), ("raw", {})]


def measure(split, name: str, options: dict, folder: Path) -> dict[str, float]:
    """Return the numbers of one method and seed."""
    method = METHODS.get(name)(**options)
    method = method.for_data(split.train.x.shape[1:])
    features = featurize.run(split, method, folder, 1024)
    fit = regress.run(features.train, features.valid, method, SOLVER, Serial())
    scores = score.run(fit, features.test)
    out = {"score": scores.value, "featurize_s": features.seconds, "solve_s": fit.seconds}
    if not isinstance(method, KernelMethod):
        x = split.sample(500, torch.float32)
        z, k = method.transform(x).double(), method.kernel(x).double()
        out["frobenius"] = frobenius_error(z @ z.T, k)
        out["spectral"] = spectral_error(z @ z.T, k, 1e-3 * float(k.trace()))
    return out


def line(split, name: str, options: dict, dim: int | None, seeds: int) -> str:
    """Return one row of the table."""
    rows = []
    for seed in range(seeds if dim else 1):
        sized = options | ({"n_components": dim, "random_state": seed} if dim else {})
        with tempfile.TemporaryDirectory() as folder:
            rows.append(measure(split, name, sized, Path(folder)))
    cells = []
    for key, form in (("frobenius", ".3f"), ("spectral", ".2f"), ("score", ".4f"), ("featurize_s", ".2f")):
        values = [r[key] for r in rows if key in r]
        if not values:
            cells.append("-")
            continue
        spread = f" ({np.std(values):{form}})" if len(values) > 1 else ""
        cells.append(f"{np.mean(values):{form}}{spread}")
    extra = " ".join(f"{k}={v}" for k, v in options.items() if k not in ("depth",))
    text = f"| {name} {extra}".rstrip() + f" | {dim or '-'} | " + " | ".join(cells) + " |"
    print(text, flush=True)
    return text


def main(words: list[str]) -> None:
    """Measure everything and write the table."""
    options = {
        "data_dir": ".",
        "seeds": "5",
        "dims": "1024,4096",
        "sets": "digits,protein",
        "out": "docs/results",
    }
    options |= dict(word.split("=") for word in words)
    machine.tune()
    seeds, dims = int(options["seeds"]), [int(d) for d in options["dims"].split(",")]
    path = as_path(options["data_dir"]) / "protein.csv.gz"
    about = machine.describe()
    loaders = {
        "digits": lambda: Digits().load(),
        "protein": lambda: Csv(path=str(path), n_train=4000, n_test=2000).load(),
    }
    for name in options["sets"].split(","):
        split = loaders[name]()
        chosen = [*SHARED, *([("cntk_sketch", {})] if name == "digits" else []), *EXACT]
        metric = "accuracy" if split.classes else "MSE"
        text = [
            f"# All methods on {name}: {split.n_train} train, {len(split.test)} test rows",
            "",
            f"`python scripts/methods_table.py {' '.join(words)}` on {about['cpu']},",
            f"{about['threads']} threads, torch {about['packages']['torch']}. {seeds} seeds, mean (standard",
            "deviation); exact methods and `raw` have no seed. Depth 2 for rows, 3 for images. Errors are",
            "against the exact kernel aimed at, on 500 train rows; the spectral one at lambda = trace(K) /",
            "1000. Seconds are for featurizing all rows.",
            "",
            f"| method | feature_dim | Frobenius error | spectral error | test {metric} | featurize s |",
            "|---|---|---|---|---|---|",
        ]
        for key, given in chosen:
            sizes = dims if "n_components" in METHODS.get(key)().get_params() else [None]
            text += [line(split, key, given, dim, seeds) for dim in sizes]
        out = as_path(options["out"]) / f"methods_{name}.md"
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text("\n".join(text) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
