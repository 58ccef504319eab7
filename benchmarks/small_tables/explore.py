"""Compare options of the tangent kernels on training rows alone; no test row is read.

python -m benchmarks.small_tables.explore record=outputs/explore.jsonl splits=0 cap=600
"""

from __future__ import annotations

import sys
import warnings
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.svm import SVC

from benchmarks.small_tables import keel
from benchmarks.small_tables.kernels import Variant
from benchmarks.small_tables.methods import COSTS, DEPTHS, classes
from benchmarks.small_tables.record import append, read
from benchmarks.small_tables.splits import Fold, inner, outer
from ntkrun.maths.ridge.dual import dual_path

LAMBDAS = tuple(10.0**e for e in range(1, -8, -1))
VARIANTS = {
    "standardize": Variant(),
    "standardize_all": Variant("standardize_all"),
    "quantile": Variant("quantile"),
    "both": Variant("both"),
    "bias 0.1": Variant(bias=0.1),
    "bias 0.3": Variant(bias=0.3),
    "bias 1": Variant(bias=1.0),
    "bias 3": Variant(bias=3.0),
    "all, bias 1": Variant("standardize_all", 1.0),
    "quantile, bias 0.3": Variant("quantile", 0.3),
    "quantile, bias 1": Variant("quantile", 1.0),
    "both, bias 0.3": Variant("both", 0.3),
    "both, bias 1": Variant("both", 1.0),
    "sphere": Variant(sphere=True),
    "sphere, bias 1": Variant(bias=1.0, sphere=True),
    "last layer": Variant(trained="last"),
    "last layer, bias 1": Variant(trained="last", bias=1.0),
    "inner layers, bias 1": Variant(trained="inner", bias=1.0),
    "average, bias 1": Variant(average=True, bias=1.0),
    "balanced, bias 1": Variant(solver="balanced", bias=1.0),
    "svc": Variant(solver="svc"),
    "svc, bias 1": Variant(solver="svc", bias=1.0),
    "svc, both, bias 1": Variant("both", solver="svc", bias=1.0),
}


def accuracies(variant: Variant, fold: Fold) -> np.ndarray:
    """Return the accuracy on the rows to score for each depth and regularisation, the strongest first."""
    x, new = variant.rows(fold)
    pairs = zip(variant.grams(x, x, max(DEPTHS)), variant.grams(new, x, max(DEPTHS)), strict=True)
    out = []
    for own, other in pairs:
        if variant.solver == "svc":
            scale = float(own.diagonal().mean() - own.mean())
            gram, scored = (own / scale).numpy(), (other / scale).numpy()
            fits = [SVC(C=c, kernel="precomputed", max_iter=200_000).fit(gram, fold.y) for c in COSTS]
            out.append([fold.accuracy(fit.predict(scored)) for fit in fits])
            continue
        y = classes(fold)
        if variant.solver == "balanced":
            y = y / (y > 0).double().mean(0).clamp(min=1e-9).sqrt()
        path = dual_path(own, y, list(LAMBDAS))
        out.append([fold.accuracy(fit.predict(other).argmax(1).numpy()) for fit in path])
    return np.array(out)


def explore(record: Path, splits: list[int], cap: int, names: list[str]) -> None:
    """Append to the record what it lacks."""
    done = {(r["set"], r["split"], r["variant"]) for r in read(record)}
    where = keel.folder()
    for name in keel.names(where):
        table = keel.read(where / f"{name}.dat")
        for split, fold in enumerate(outer(table, cap)):
            if split not in splits:
                continue
            parts = inner(fold)
            for label in names:
                if (name, split, label) in done:
                    continue
                mean = np.mean([accuracies(VARIANTS[label], part) for part in parts], axis=0)
                append(record, {"set": name, "split": split, "variant": label, "inner": mean.tolist()})
        print(name, flush=True)


def show(record: Path) -> str:
    """Return the mean inner accuracy of each variant: best setting per set, and per depth and lambda."""
    found: dict[str, dict[Any, np.ndarray]] = defaultdict(dict)
    for result in read(record):
        found[result["variant"]][result["set"], result["split"]] = np.array(result["inner"])
    common = set.intersection(*(set(cells) for cells in found.values()))
    lines = [f"{len(common)} parts of {len({s for s, _ in common})} sets; mean inner accuracy, %"]
    lines.append("| variant | best setting of each part | best common setting | it is (depth, place) |")
    lines.append("|---|---|---|---|")
    rows = []
    for label, cells in found.items():
        each = np.stack([cells[part] for part in sorted(common)])
        mean = each.mean(0)
        place = np.unravel_index(mean.argmax(), mean.shape)
        best = 100 * each.max((1, 2)).mean()
        shown = f"{DEPTHS[place[0]]}, {place[1]}"
        rows.append((best, f"| {label} | {best:.2f} | {100 * mean.max():.2f} | {shown} |"))
    return "\n".join(lines + [row for _, row in sorted(rows, reverse=True)])


def main(words: list[str]) -> None:
    """Explore what is missing, and show the table."""
    options = {"record": "outputs/explore.jsonl", "splits": "0", "cap": "600", "variants": ""}
    options |= dict(word.split("=", 1) for word in words if "=" in word)
    warnings.simplefilter("ignore")
    record = Path(options["record"])
    if "show" not in words:
        names = [n for n in options["variants"].split(";") if n] or list(VARIANTS)
        explore(record, [int(s) for s in options["splits"].split(",")], int(options["cap"]), names)
    print(show(record))


if __name__ == "__main__":
    main(sys.argv[1:])
