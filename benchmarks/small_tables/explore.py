"""Compare options of the tangent kernels on training rows alone; no test row is read.

python -m benchmarks.small_tables.explore record=outputs/explore.jsonl splits=0 cap=400
"""

from __future__ import annotations

import sys
import warnings
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.svm import SVC

from benchmarks.small_tables import keel, pairs
from benchmarks.small_tables.kernels import Variant
from benchmarks.small_tables.methods import COSTS, DEPTHS, classes
from benchmarks.small_tables.record import append, read
from benchmarks.small_tables.splits import Fold, inner, outer
from ntkrun.maths.ridge.dual import dual_path

LAMBDAS = tuple(10.0**e for e in range(1, -8, -1))
VARIANTS = {
    "standardize": Variant(),
    "standardize, one-hot too": Variant("standardize_all"),
    "quantile": Variant("quantile"),
    "both": Variant("both"),
    "bias 0.1": Variant(bias=0.1),
    "bias 0.3": Variant(bias=0.3),
    "bias 1": Variant(bias=1.0),
    "bias 3": Variant(bias=3.0),
    "quantile, bias 0.3": Variant("quantile", 0.3),
    "both, bias 0.3": Variant("both", 0.3),
    "both, bias 1": Variant("both", 1.0),
    "both, bias 0.3, last layer": Variant("both", 0.3, trained="last"),
    "both, bias 0.3, average": Variant("both", 0.3, average=True),
    "both, bias 0.3, balanced": Variant("both", 0.3, solver="balanced"),
    "both, bias 0.3, pairs": Variant("both", 0.3, solver="pairs"),
    "both, bias 0.3, svc": Variant("both", 0.3, solver="svc"),
    "bias 0.3, last layer": Variant(bias=0.3, trained="last"),
    "bias 0.3, inner layers": Variant(bias=0.3, trained="inner"),
    "bias 0.3, average": Variant(bias=0.3, average=True),
    "bias 0.3, pairs": Variant(bias=0.3, solver="pairs"),
    "bias 0.3, svc": Variant(bias=0.3, solver="svc"),
    "bias 1, svc": Variant(bias=1.0, solver="svc"),
    "both, bias 1, svc": Variant("both", 1.0, solver="svc"),
    "both, bias 0.3, last layer, svc": Variant("both", 0.3, trained="last", solver="svc"),
    "both, bias 0.3, average, svc": Variant("both", 0.3, average=True, solver="svc"),
    "both, bias 1, average, svc": Variant("both", 1.0, average=True, solver="svc"),
    "quantile, bias 0.3, svc": Variant("quantile", 0.3, solver="svc"),
    "sphere": Variant(sphere=True),
    "bias 1, sphere": Variant(bias=1.0, sphere=True),
}


def accuracies(variant: Variant, fold: Fold) -> np.ndarray:
    """Return the accuracy on the rows to score for each depth and regularisation, the strongest first."""
    x, new = variant.rows(fold)
    both = zip(variant.grams(x, x, max(DEPTHS)), variant.grams(new, x, max(DEPTHS)), strict=True)
    out = []
    for own, other in both:
        if variant.solver == "svc":
            scale = float(own.diagonal().mean() - own.mean())
            gram, scored = (own / scale).numpy(), (other / scale).numpy()
            fits = [SVC(C=c, kernel="precomputed", max_iter=200_000).fit(gram, fold.y) for c in COSTS]
            out.append([fold.accuracy(fit.predict(scored)) for fit in fits])
            continue
        if variant.solver == "pairs":
            out.append([fold.accuracy(p) for p in pairs.predicted(own, other, fold.y, LAMBDAS)])
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
                folds = [accuracies(VARIANTS[label], part).round(5).tolist() for part in parts]
                append(record, {"set": name, "split": split, "variant": label, "folds": folds})
        print(name, flush=True)


def nested(folds: np.ndarray) -> float:
    """Return the mean accuracy on a fold of the setting best on the others, from (folds, depths, lambdas)."""
    flat, out = folds.reshape(len(folds), -1), []
    for number, row in enumerate(flat):
        others = np.delete(flat, number, axis=0).mean(0) if len(flat) > 1 else row
        out.append(row[others.argmax()])
    return float(np.mean(out))


def show(record: Path) -> str:
    """Return the table of the variants that are finished, best first; see page.EXPLORED for its columns."""
    found: dict[str, dict[Any, np.ndarray]] = defaultdict(dict)
    for result in read(record):
        found[result["variant"]][result["set"], result["split"]] = np.array(result["folds"])
    most = max(len(cells) for cells in found.values())
    finished = {label: cells for label, cells in found.items() if len(cells) == most}
    common = sorted(set.intersection(*(set(cells) for cells in finished.values())))
    lines = [
        "| variant | chosen per set, % | best for all sets, % | depth, lambda or cost |",
        "|---|---|---|---|",
    ]
    rows = []
    for label, cells in finished.items():
        each = np.stack([cells[part].mean(0) for part in common])
        mean, per_set = each.mean(0), 100 * float(np.mean([nested(cells[part]) for part in common]))
        depth, place = np.unravel_index(mean.argmax(), mean.shape)
        used = COSTS if VARIANTS[label].solver == "svc" else LAMBDAS
        shown = f"{DEPTHS[int(depth)]}, {used[int(place)]:g}"
        rows.append((per_set, f"| {label} | {per_set:.2f} | {100 * mean.max():.2f} | {shown} |"))
    lines += [row for _, row in sorted(rows, reverse=True)]
    return "\n".join([*lines, "", f"{len({name for name, _ in common})} sets."])


def main(words: list[str]) -> None:
    """Explore what is missing, and show the table."""
    options = {"record": "outputs/explore.jsonl", "splits": "0", "cap": "400", "variants": ""}
    options |= dict(word.split("=", 1) for word in words if "=" in word)
    warnings.simplefilter("ignore")
    record = Path(options["record"])
    if "show" not in words:
        names = [n for n in options["variants"].split(";") if n] or list(VARIANTS)
        explore(record, [int(s) for s in options["splits"].split(",")], int(options["cap"]), names)
    print(show(record))


if __name__ == "__main__":
    main(sys.argv[1:])
