"""Accuracy against columns from the features of one run, whose columns are in the order of their variance.

    ntkrun experiment=cifar10_myrtle5 method.dim=128 feature_dim=32768
    python -m scripts.curve RUN_FOLDER 4096,8192,16384 docs/results/tangent_curve

With `dim` and `landmarks` given, cntk_nystrom with trained=inner and fewer columns has the first of them, so
that one featurization serves all. Lambda is chosen for each size on held-out rows. The features must still
be in the run's output folder. Writes NAME.md and NAME.png.
"""

from __future__ import annotations

import logging
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ntkrun import machine
from ntkrun.config import build
from ntkrun.errors import NtkrunError
from ntkrun.executors.serial import Serial
from ntkrun.report.page import machines
from ntkrun.report.plot import png, pyplot
from ntkrun.stages import featurize, regress, score
from ntkrun.stages.tasks import task_of
from ntkrun.store.atomic import write_atomic
from ntkrun.store.features import Features
from ntkrun.store.paths import as_path
from ntkrun.store.runs import Run, load

PUBLISHED = "exact CNTK of depth 3, Arora et al. 2019"
EXACT = 75.9  # percent


class First:
    """Store whose rows have the first `columns` numbers only."""

    def __init__(self, store: Any, columns: int):
        self.store, self.columns, self.receipts = store, columns, store.receipts

    def only(self, names: list[str]) -> First:
        """Return the store of some shards."""
        return First(self.store.only(names), self.columns)

    def read(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Return features (rows, columns) and labels."""
        x, y = self.store.read(name)
        return np.ascontiguousarray(x[:, : self.columns]), y


def narrowed(features: Features, columns: int) -> Features:
    """Return features of the first columns."""

    def some(part: Any) -> Any:
        return replace(part, store=First(part.store, columns), columns=columns)

    return replace(features, train=some(features.train), valid=some(features.valid), test=some(features.test))


def measured(run: Run, sizes: list[int]) -> list[tuple[int, float, float, float, float]]:
    """Return (columns, test score, valid score, relative lambda, seconds of the solve) of each size."""
    config = build({**run.config, "output_dir": str(run.folder.parent.parent)})
    task = task_of(config.source.load(), config.method, config.features_dtype)
    task.fit()
    features = featurize.compute(task, config.output_dir / "features", config.shard_rows, Serial())
    out = []
    for columns in sizes:
        start = time.perf_counter()
        some = narrowed(features, columns)
        fit = regress.run(some.train, some.valid, config.method, config.solver, Serial())
        seconds = time.perf_counter() - start
        value = score.run(fit, some.test).value
        out.append((columns, value, fit.valid_scores[fit.best], fit.relative[fit.best], seconds))
    return [*out, own(run)]


def own(run: Run) -> tuple[int, float, float, float, float]:
    """Return the same numbers of the run itself, with all its columns."""
    keys = ("feature_dim", "test/accuracy", "valid/accuracy", "relative_lambda", "time/solve_s")
    columns, *numbers = (run.result[key] for key in keys)
    return (columns, *numbers)


def page(run: Run, found: list[tuple[int, float, float, float, float]], command: str, name: str) -> str:
    """Return the page."""
    (where, packages, _), *_ = machines([run])
    method = run.config["method"]
    layers = " ".join(method.get("layers") or [f"depth {method['depth']}"])
    text = [
        f"# {run.result['dataset']}: accuracy of {run.result['method']} against columns",
        "",
        f"`{command}`. {where}; {packages}.",
        "",
        f"{run.result['n_train']:,} training and {run.result['n_test']:,} test rows; layers {layers};",
        f"cells {method['cells']}, dim {method['dim']}, trained {method['trained']},",
        f"preprocess {run.config['dataset']['preprocess']}.",
        "The columns of one run are in the order of their variance, and each size takes the first of them;",
        "the last line is the run itself.",
        "Lambda is chosen for each size on held-out rows.",
        "",
        "| columns | test accuracy | valid accuracy | relative lambda | solve, s |",
        "|---|---|---|---|---|",
        *(
            f"| {columns:,} | {100 * value:.2f} % | {100 * valid:.2f} % | {lam:.1e} | {seconds:.0f} |"
            for columns, value, valid, lam, seconds in found
        ),
        "",
        f"![accuracy against columns]({name}.png)",
    ]
    return "\n".join(text) + "\n"


def picture(found: list[tuple[int, float, float, float, float]]) -> bytes:
    """Return the plot, as PNG."""
    figure, axes = pyplot().subplots(figsize=(7, 4.5), dpi=120)
    sizes = [row[0] for row in found]
    axes.plot(sizes, [100 * row[1] for row in found], "o-", label="test")
    axes.plot(sizes, [100 * row[2] for row in found], "s--", label="valid (fit to 4/5 of the rows)")
    axes.axhline(EXACT, color="0.5", linestyle=":", label=PUBLISHED)
    axes.set_xscale("log", base=2)
    axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
    axes.minorticks_off()
    axes.set_xlabel("columns")
    axes.set_ylabel("accuracy, %")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    return png(figure)


def main(words: list[str]) -> int:
    """Write the page and the picture; return the exit code."""
    if len(words) != 3:
        print("Type: python -m scripts.curve RUN_FOLDER 4096,8192 NAME", file=sys.stderr)
        return 2
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    out = as_path(words[2])
    try:
        run = load(as_path(words[0]))
        machine.tune()
        found = measured(run, [int(size) for size in words[1].split(",")])
    except NtkrunError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    command = f"python -m scripts.curve {Path(words[0]).name} {words[1]} {words[2]}"
    write_atomic(out.with_suffix(".md"), page(run, found, command, out.name).encode())
    write_atomic(out.with_suffix(".png"), picture(found))
    print(out.with_suffix(".md").read_text())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
