"""Draw the charts of a report; a function returns None if it has nothing to show."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

from ntkrun.report.collect import Line, Sheet
from ntkrun.report.plot import pyplot

COLORS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f3c8d", "#6b6b6b"]
MARKS = "osD^vPX*"
STYLE: Any = {
    "figure.figsize": (6.6, 4.4),
    "axes.grid": True,
    "grid.alpha": 0.3,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "ntkrun",
    "font.family": "sans-serif",
}


def figures(sheet: Sheet) -> list[tuple[str, str, Any]]:
    """Return (name, caption, figure) of every chart that has something to show."""
    plt = pyplot()
    score = sheet.metric
    makers: list[tuple[str, str, Callable[[Any, Sheet], Any]]] = [
        ("dim", f"{score} against feature dimension; bands: one standard deviation over seeds", against_dim),
        ("time", f"{score} against time; the line joins results that no other beats in both", against_time),
        ("error", "error of the kernel on held-out rows, relative Frobenius norm", kernel_error),
        ("degree", "error of the kernel against the degree of the polynomials", error_against_degree),
        ("phases", "time per phase", phases),
    ]
    with plt.rc_context(STYLE):
        drawn = [(name, caption, make(plt, sheet)) for name, caption, make in makers]
    for _, _, figure in drawn:
        if figure is not None:
            plt.close(figure)  # removed from pyplot's list, it can still be saved
    return [made for made in drawn if made[2] is not None]


def svg(figure: Any) -> str:
    """Return a figure as SVG text, identical for identical runs."""
    plt, buffer = pyplot(), io.StringIO()
    with plt.rc_context(STYLE):
        figure.savefig(buffer, format="svg", bbox_inches="tight", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()


def curves(sheet: Sheet) -> dict[str, list[Line]]:
    """Return the lines of feature methods by label, sorted by size."""
    out: dict[str, list[Line]] = {}
    for line in sheet.lines:
        if not line.exact:
            out.setdefault(line.label, []).append(line)
    return {label: sorted(lines, key=lambda line: line.dim) for label, lines in out.items()}


def _look(i: int) -> dict[str, Any]:
    return {"color": COLORS[i % len(COLORS)], "marker": MARKS[i % len(MARKS)], "markersize": 5}


def _decades(axis: Any) -> None:
    """Label a logarithmic axis with plain numbers at 1, 2 and 5 of each decade."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def _sizes(axes: Any, sheet: Sheet) -> None:
    dims = sorted({line.dim for line in sheet.lines if not line.exact})
    axes.set_xscale("log", base=2)
    axes.set_xticks(dims, [str(d) for d in dims], rotation=45 if len(dims) > 6 else 0)
    axes.minorticks_off()
    axes.set_xlabel("feature_dim")


def _legend(axes: Any) -> None:
    handles, labels = axes.get_legend_handles_labels()
    if labels:
        axes.legend(handles, labels, fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(1.01, 1))


def against_dim(plt: Any, sheet: Sheet) -> Any:
    """Draw the score against feature_dim."""
    mine = curves(sheet)
    if len({line.dim for lines in mine.values() for line in lines}) < 2:
        return None
    figure, axes = plt.subplots()
    for i, (label, lines) in enumerate(mine.items()):
        dims, scores = [line.dim for line in lines], [line.score for line in lines]
        axes.plot(dims, scores, label=label, **_look(i))
        low = [line.score - line.spread for line in lines]
        high = [line.score + line.spread for line in lines]
        axes.fill_between(dims, low, high, color=COLORS[i % len(COLORS)], alpha=0.18, linewidth=0)
    for label, value in exact_scores(sheet).items():
        axes.axhline(value, color="0.35", linestyle="--", linewidth=1, label=label)
    _sizes(axes, sheet)
    axes.set_ylabel(f"test {sheet.metric}")
    _legend(axes)
    return figure


def exact_scores(sheet: Sheet) -> dict[str, float]:
    """Return the scores of exact kernels, from their own runs or else from baselines of other runs."""
    out = {line.label: line.score for line in sheet.lines if line.exact}
    for line in sheet.lines:
        value = line.runs[0].result.get(f"exact/{sheet.metric}")
        if value is not None and not out:
            out["exact kernel"] = value
    return out


def pareto(sheet: Sheet) -> list[Line]:
    """Return the lines that no other line beats in both score and time, sorted by time."""
    sign = 1 if sheet.higher_is_better else -1
    front: list[Line] = []
    for line in sorted(sheet.lines, key=lambda s: (s.numbers["time/total_s"], -sign * s.score)):
        if not front or sign * line.score > sign * front[-1].score:
            front.append(line)
    return front


def against_time(plt: Any, sheet: Sheet) -> Any:
    """Draw the score against the time to featurize, solve and predict."""
    if len(sheet.lines) < 2:
        return None
    figure, axes = plt.subplots()
    labels = dict.fromkeys(line.label for line in sheet.lines)
    for i, label in enumerate(labels):
        mine = [line for line in sheet.lines if line.label == label]
        axes.plot(
            [line.numbers["time/total_s"] for line in mine],
            [line.score for line in mine],
            linestyle="",
            label=label,
            **_look(i),
        )
    front = pareto(sheet)
    axes.plot(
        [line.numbers["time/total_s"] for line in front],
        [line.score for line in front],
        color="0.5",
        zorder=0,
    )
    axes.set_xscale("log")
    _decades(axes.xaxis)
    axes.set_xlabel("seconds: featurize + solve + predict")
    axes.set_ylabel(f"test {sheet.metric}")
    _legend(axes)
    return figure


def kernel_error(plt: Any, sheet: Sheet) -> Any:
    """Draw the kernel's error against feature_dim."""
    mine = {k: [s for s in lines if "kernel/error" in s.numbers] for k, lines in curves(sheet).items()}
    if len({line.dim for lines in mine.values() for line in lines}) < 2:
        return None
    figure, axes = plt.subplots()
    for i, (label, lines) in enumerate(mine.items()):
        if lines:
            errors = [line.numbers["kernel/error"] for line in lines]
            axes.plot([line.dim for line in lines], errors, label=label, **_look(i))
    _sizes(axes, sheet)
    axes.set_yscale("log")
    _decades(axes.yaxis)
    axes.set_ylabel("relative error of the kernel")
    _legend(axes)
    return figure


def error_against_degree(plt: Any, sheet: Sheet) -> Any:
    """Draw the kernel's error against degree, one curve per size."""
    lines = [s for s in sheet.lines if "kernel/error" in s.numbers and "degree" in s.varied]
    if len({line.varied["degree"] for line in lines}) < 2:
        return None
    groups: dict[str, list[Line]] = {}
    for line in lines:
        others = ", ".join(
            str(v) if k == "method" else f"{k} {v}" for k, v in line.varied.items() if k != "degree"
        )
        groups.setdefault(others or "all", []).append(line)
    figure, axes = plt.subplots()
    for i, (label, mine) in enumerate(groups.items()):
        mine.sort(key=lambda line: line.varied["degree"])
        errors = [line.numbers["kernel/error"] for line in mine]
        axes.plot([line.varied["degree"] for line in mine], errors, label=label, **_look(i))
    axes.set_xticks(sorted({line.varied["degree"] for line in lines}))
    axes.set_yscale("log")
    _decades(axes.yaxis)
    axes.set_xlabel("degree")
    axes.set_ylabel("relative error of the kernel")
    _legend(axes)
    return figure


def phases(plt: Any, sheet: Sheet, most: int = 30) -> Any:
    """Draw the time per phase, one bar per line."""
    lines = sorted(sheet.lines, key=lambda line: line.numbers["time/total_s"])[-most:]
    figure, axes = plt.subplots(figsize=(6.6, 1 + 0.26 * len(lines)))
    names = [f"{line.label} {'' if line.exact else line.dim}".strip() for line in lines]
    left = [0.0] * len(lines)
    for i, phase in enumerate(("featurize", "solve", "predict")):
        widths = [line.numbers[f"time/{phase}_s"] for line in lines]
        axes.barh(names, widths, left=left, color=COLORS[i], label=phase, height=0.7)
        left = [a + b for a, b in zip(left, widths, strict=True)]
    axes.grid(False, axis="y")
    axes.tick_params(axis="y", labelsize=8)
    axes.set_xlabel("seconds")
    _legend(axes)
    return figure
