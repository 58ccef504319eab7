"""Accuracy against minutes on all of CIFAR-10, from run folders: writes docs/results/frontier.md and .png.

    ntkrun -m experiment=cifar10_5min,cifar10_15min,cifar10_60min dataset.path=cifar-10-binary.tar.gz
    python -m scripts.frontier outputs

Runs that differ in the seed alone share a rung.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

from ntkrun.errors import NtkrunError
from ntkrun.report.collect import Line, runs_of, sheets
from ntkrun.report.page import machines
from ntkrun.report.plot import png, pyplot
from ntkrun.store.paths import as_path

LOAD = "machine/load_beside"
TRAIN, TEST = 50_000, 10_000
HALF = 20  # minutes; names of later points stand on their left
TANGENT = ("cntk_sketch", "cntk_nystrom", "exact_cntk")
# published accuracies, in percent, and how they were reached
PUBLISHED: list[tuple[str, float, str]] = [
    ("exact CNTK, depth 3, global average pooling (Arora et al. 2019; their depth 4)", 75.9, "exact kernel"),
    ("two-layer unsupervised CKN, 256 / 1,024 filters (Mairal 2016)", 82.0, "GPU"),
    ("two-layer unsupervised CKN, 512 / 8,192 filters (Mairal 2016)", 84.0, "GPU"),
    ("whitened patches, 64,000 filters, random crops (Thiry et al. 2021)", 86.7, "days of GPU"),
    ("exact Myrtle-10 kernel, mirror images (Shankar et al. 2020)", 89.8, "508 GPU hours"),
]


def mean(rung: Line, key: str) -> float:
    """Return the mean of a number of the result over seeds."""
    return float(np.mean([run.result[key] for run in rung.runs]))


def name(rung: Line) -> str:
    """Return the method; with layers or depth for networks, and with the parts of a union."""
    config, method = rung.runs[0].config["method"], str(rung.runs[0].result["method"])
    if method not in TANGENT:
        return f"{method} of {', '.join(config['parts'])}" if config.get("parts") else method
    if layers := config.get("layers"):
        return f"{method}, {layers.count('conv')} convolutions and {layers.count('pool')} pools"
    return f"{method}, depth {config['depth']}"


def cells(rung: Line) -> list[str]:
    """Return the cells of a row."""
    spread = f" ± {100 * rung.spread:.2f}" if len(rung.runs) > 1 else ""
    return [
        name(rung),
        f"{rung.dim:,}",
        f"{100 * rung.score:.2f} %{spread}",
        str(len(rung.runs)),
        f"{100 * mean(rung, 'valid/accuracy'):.2f} %",
        f"{mean(rung, 'time/total_s') / 60:.1f}",
        f"{mean(rung, 'memory/peak_rss_mb') / 1024:.1f}",
        f"{mean(rung, 'relative_lambda'):.1e}",
        "-"
        if "machine/load_beside" not in rung.runs[0].result
        else f"{mean(rung, 'machine/load_beside'):.1f}",
    ]


def rungs(folder: Path) -> list[Line]:
    """Return the rungs of an output folder, by their minutes; DataError if it holds no run."""
    whole = [run for run in runs_of(folder) if _whole(run.result)]
    found = [line for sheet in sheets(whole) for line in sheet.lines]
    return sorted(found, key=lambda rung: mean(rung, "time/total_s"))


def _whole(result: dict[str, Any]) -> bool:
    return (result.get("dataset"), result.get("n_train"), result.get("n_test")) == ("cifar10", TRAIN, TEST)


def page(found: list[Line], command: str) -> str:
    """Return the page."""
    (where, packages, _), *_ = machines([run for rung in found for run in rung.runs])
    head = [
        "method",
        "columns",
        "test accuracy",
        "seeds",
        "valid accuracy",
        "minutes",
        "peak GiB",
        "relative lambda",
        "other load",
    ]
    rows = [cells(rung) for rung in found]
    text = [
        "# CIFAR-10: accuracy against minutes",
        "",
        f"`{command}`. {where}; {packages}.",
        "",
        "All 50,000 training and 10,000 test images. Lambda is chosen on 10,000 held-out training images.",
        "The valid accuracy is that of a fit to the other 40,000. The test part is read once per run.",
        "Minutes are those of featurizing, solving and predicting. ± is one standard deviation over seeds.",
        "Other load is the mean number of cores that other processes kept busy, which makes minutes longer.",
        "`random_patches`, `ckn` and their union are not tangent kernels; here their features are equal for",
        "an image and its mirror image.",
        "",
        "| " + " | ".join(head) + " |",
        "|" + "---|" * len(head),
        *("| " + " | ".join(row) + " |" for row in rows),
        "",
        "![accuracy against minutes](frontier.png)",
        "",
        "Published figures, not measured here:",
        "",
        "| method | test accuracy | by |",
        "|---|---|---|",
        *(f"| {who} | {value} % | {how} |" for who, value, how in PUBLISHED),
    ]
    return "\n".join(text) + "\n"


def picture(found: list[Line]) -> bytes:
    """Return the plot of accuracy against minutes, as PNG."""
    plt = pyplot()
    figure, axes = plt.subplots(figsize=(8, 5), dpi=120)
    for tangent, colour in ((True, "C0"), (False, "C1")):
        some = [r for r in found if (r.runs[0].result["method"] in TANGENT) == tangent]
        if not some:
            continue
        x = [mean(r, "time/total_s") / 60 for r in some]
        y = [100 * r.score for r in some]
        axes.semilogx(x, y, "o", color=colour, label="tangent kernels" if tangent else "other features")
        for rung, a, b in zip(some, x, y, strict=True):
            text = f" {rung.runs[0].result['method']} {rung.dim:,}"
            axes.annotate(f"{text} ", (a, b), fontsize=8, va="top", ha="right" if a > HALF else "left")
    for who, value, how in PUBLISHED:
        axes.axhline(value, color="0.6", linewidth=0.8, linestyle=":")
        axes.annotate(
            f"{who.split(',')[0]}: {value} ({how})",
            (0.01, value),
            fontsize=7,
            color="0.4",
            xycoords=("axes fraction", "data"),
            ha="left",
            va="bottom",
        )
    ticks = [1, 2, 5, 10, 20, 30, 60]
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.minorticks_off()
    axes.set_xlim(min(1.0, *(mean(r, "time/total_s") / 60 for r in found)) / 1.2, 90)
    axes.set_xlabel("minutes on two cores")
    axes.set_ylabel("test accuracy, %")
    axes.grid(alpha=0.3)
    axes.legend(loc="lower left", bbox_to_anchor=(0.0, 0.16))
    return png(figure)


def main(words: list[str]) -> int:
    """Write the page and the picture; return the exit code."""
    if len(words) not in (1, 2):
        print("Type: python -m scripts.frontier OUTPUT_DIR [docs/results]", file=sys.stderr)
        return 2
    try:
        found = rungs(as_path(words[0]))
    except NtkrunError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    if not found:
        print(f"{words[0]} holds no run on all of CIFAR-10.", file=sys.stderr)
        return 3
    out = as_path(words[1] if len(words) > 1 else "docs/results")
    out.mkdir(parents=True, exist_ok=True)
    (out / "frontier.md").write_text(page(found, "python -m scripts.frontier " + " ".join(words)))
    (out / "frontier.png").write_bytes(picture(found))
    print((out / "frontier.md").read_text())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
