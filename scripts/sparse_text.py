"""Write docs/results/sparse_text.md: text as sparse rows, beside scikit-learn.

    python scripts/sparse_text.py outputs fortunes.svm docs/results/sparse_text.md

`fortunes.svm` is what scripts/fortunes.py writes; `outputs` holds the runs of this data set and of
`experiment=theorem_1` on it, whose commands the page names. The rest is measured here, on the same split.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from sklearn.kernel_approximation import PolynomialCountSketch, RBFSampler
from sklearn.linear_model import RidgeClassifier
from sklearn.svm import LinearSVC

from benchmarks.base import machine_line
from ntkrun.datasets.split import Role, Split
from ntkrun.datasets.svmlight import Svmlight
from ntkrun.maths.kernel.rows import median_distance
from ntkrun.maths.method.rff import MEDIAN_ROWS
from ntkrun.studies.base import best_time
from ntkrun.studies.theorem_1 import ROWS, generated, small

SEEDS, COLUMNS = (0, 1, 2), (1024, 4096)
NOTE = """# Text as sparse rows

The texts of Debian's fortune files, with the files as classes: {rows:,} texts, {words:,} words,
{classes} classes, {per_row:.0f} different words per text. Counts of words with `preprocess=tfidf`. A fifth
of the texts is the test part. A fifth of the rest is held out to choose lambda, alpha or C; then all
training texts are fitted. ± is one standard deviation over the seeds.

```text
{commands}
```

{machine}

## Accuracy

| method | columns | test accuracy, % | seeds |
|---|---|---|---|
"""
COMMANDS = """python scripts/fortunes.py FOLDER fortunes.svm
TEXT="dataset=svmlight dataset.path=fortunes.svm dataset.preprocess=tfidf"
OMP_NUM_THREADS=1 ntkrun $TEXT experiment=theorem_1 study_size.feature_dim=4096
TEXT="$TEXT depth=1 baseline=none" SIZES="feature_dim=1024,4096 seed=0,1,2"
ntkrun -m $TEXT $SIZES method=ntk_sketch,ntk_random_features,rff,ntk_nystrom
ntkrun -m $TEXT $SIZES method=ntk_sketch method.variant=one_shot
OMP_NUM_THREADS=1 python scripts/sparse_text.py outputs fortunes.svm docs/results/sparse_text.md"""


def matrix(split: Split, role: Role) -> sp.csr_array:
    """Return the preprocessed rows of a part."""
    rows = split.batch(role, 0, len(split.part(role)), torch.float64)
    places = (a.to(torch.int32).numpy() for a in (rows.columns, rows.start))  # LinearSVC takes no longer ones
    return sp.csr_array((rows.values.numpy(), *places), shape=rows.shape)


def chosen(candidates: Iterable[Any], parts: list[tuple[Any, Any]]) -> float:
    """Return the test accuracy of the best classifier on held-out rows, fitted to all training rows."""
    (x, y), (x_valid, y_valid), (x_test, y_test) = parts
    best = max(candidates, key=lambda model: model.fit(x, y).score(x_valid, y_valid))
    stack = sp.vstack if sp.issparse(x) else np.vstack
    return best.fit(stack([x, x_valid]), np.concatenate([y, y_valid])).score(x_test, y_test)


def lifted(parts: list[tuple[Any, Any]], features: Any) -> float:
    """Return the accuracy of ridge regression on random features of the rows."""
    features.fit(parts[0][0])
    mapped = [(np.asarray(features.transform(x)), y) for x, y in parts]
    return chosen([RidgeClassifier(alpha=alpha) for alpha in (0.01, 0.1, 1.0, 10.0)], mapped)


def runs(outputs: Path, name: str) -> dict[tuple[str, int], list[float]]:
    """Return the test accuracies of the finished runs of a data set, by method and columns."""
    found: dict[tuple[str, int], list[float]] = {}
    for file in sorted(outputs.glob("runs/*/result.json")):
        result, config = (json.loads((file.parent / f).read_text()) for f in (file.name, "config.json"))
        if result["dataset"] != name or "test/accuracy" not in result:
            continue
        label = result["method"]
        if config["method"].get("variant", "layerwise") != "layerwise":
            label += f", {config['method']['variant']}"
        found.setdefault((label, result["feature_dim"]), []).append(result["test/accuracy"])
    return found


def theirs(split: Split) -> dict[tuple[str, int], list[float]]:
    """Return the accuracies of scikit-learn's methods."""
    parts = [(matrix(split, role), split.part(role).y) for role in Role]
    width = parts[0][0].shape[1]
    svc = [LinearSVC(C=2.0**k) for k in range(-6, 4)]
    out = {("scikit-learn: LinearSVC", width): [chosen(svc, parts)]}
    rows = split.sample(MEDIAN_ROWS, torch.float64)
    gamma = 1 / (2 * median_distance(rows) ** 2)  # as rff
    for m in COLUMNS:
        for name, kind in (
            ("RBFSampler", partial(RBFSampler, gamma=gamma)),
            ("PolynomialCountSketch", partial(PolynomialCountSketch, degree=2, coef0=1)),
        ):
            made = [kind(n_components=m, random_state=seed) for seed in SEEDS]
            out[f"scikit-learn: {name} + ridge", m] = [lifted(parts, features) for features in made]
    return out


def costs() -> list[str]:
    """Return lines of a table: dense part of ntk_sketch per row, leaf per non-zero, where they meet."""
    lines = []
    for m in (256, *COLUMNS):
        few, many = generated(1), generated(4000)
        method = small(few, m)
        spent = [
            float(np.median(best_time(partial(method.transform, x), 7, time.process_time)))
            for x in (few, many)
        ]
        each = (spent[1] - spent[0]) / (many.nnz - few.nnz)
        row = spent[0] / ROWS - each
        lines.append(f"| {m:,} | {1e6 * row:.0f} | {1e9 * each:.0f} | {row / each:,.0f} non-zeros per row |")
    return lines


def slopes(outputs: Path) -> list[str]:
    """Return lines of a table: the curves over non-zeros and columns of the newest theorem_1."""
    studies = sorted(outputs.glob("runs/*/study.json"), key=lambda file: file.stat().st_mtime)
    if not studies:
        return []
    lines = []
    for s in json.loads(studies[-1].read_text()):
        if s["xlabel"] in ("non-zeros", "columns of the rows"):
            span = f"{s['x'][0]:,.0f} to {s['x'][-1]:,.0f}"
            lines.append(f"| {s['panel']} | {s['label']} | {span} {s['xlabel']} | {s['slope']:+.2f} |")
    return lines


def main(outputs: str, path: str, out: str) -> int:
    """Write the page."""
    split = Svmlight(path=path, preprocess="tfidf").load()
    x = split.fit_rows()
    text = NOTE.format(
        rows=split.n_train + len(split.test),
        words=x.shape[1],
        classes=split.classes,
        per_row=x.nnz / x.shape[0],
        commands=COMMANDS,
        machine=machine_line(),
    )
    found = runs(Path(outputs), split.name) | theirs(split)
    for (label, m), scores in sorted(found.items(), key=lambda item: -float(np.mean(item[1]))):
        spread = f" ± {100 * np.std(scores, ddof=1):.1f}" if len(scores) > 1 else ""
        text += f"| {label} | {m:,} | {100 * np.mean(scores):.1f}{spread} | {len(scores)} |\n"
    text += "\n## Time and memory of `ntk_sketch`\n\n"
    text += "Slopes in the log-log plane, of processor time and of the size of the fitted method.\n\n"
    text += "| what | rows | range | slope |\n|---|---|---|---|\n"
    text += "\n".join(slopes(Path(outputs))) + "\n\n"
    text += "The leaf takes a time per non-zero, the dense part one per row. On generated rows of 1,000,000\n"
    text += "columns, processor time:\n\n"
    text += "| `feature_dim` | dense part, us per row | leaf, ns per non-zero | both cost the same at |\n"
    text += "|---|---|---|---|\n" + "\n".join(costs()) + "\n\n"
    text += "Below that many non-zeros a row costs its dense part, above it the leaf.\n"
    Path(out).write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:4]))
