"""Make the rows of a report's table: one per configuration, one per run below it, one per exact kernel."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from ntkrun.progress import ratio
from ntkrun.report.collect import Baseline, Line, Sheet, short, took, with_spread
from ntkrun.report.details import link
from ntkrun.store.runs import Run

EXTRA = {
    "speedup": "over exact",
    "kernel/error": "kernel error",
    "kernel/spectral_error": "spectral error",
}
TIMES = ("featurize", "solve", "total")


class Head(NamedTuple):
    """Title of a column, whether it holds words, and whether a narrow screen leaves it out."""

    title: str
    words: bool = False
    minor: bool = True


def table(
    sheet: Sheet, lines: list[Line], beside: Path, chosen: set[int]
) -> tuple[list[Head], list[dict[str, Any]]]:
    """Return the columns and the rows for a page in the folder `beside`.

    `chosen` holds the `id` of the lines whose runs have details on the page. A row's "sort" has a value per
    column.
    """
    keys = [key for key in sheet.keys if key not in ("method", "feature_dim")]
    extra = [key for key in EXTRA if any(key in line.numbers for line in sheet.lines)]
    head = [Head("method", True, False), Head("columns"), *(Head(short(key), True) for key in keys)]
    head += [Head(f"{part} {sheet.metric}", minor=False) for part in ("held-out", "test")]
    head += [Head("95 % interval"), Head("runs"), Head("featurize"), Head("solve"), Head("time", minor=False)]
    head += [Head("peak MiB"), *(Head(EXTRA[key]) for key in extra)]
    rows = [_row(line, sheet, keys, extra, beside, id(line) in chosen) for line in lines]
    return head, rows + [_baseline_row(one, keys, extra) for one in sheet.baselines]


def _row(
    line: Line, sheet: Sheet, keys: list[str], extra: list[str], beside: Path, detailed: bool
) -> dict[str, Any]:
    method, numbers = str(line.runs[0].result["method"]), line.numbers
    varied = [line.varied.get(key) for key in keys]
    memory = numbers.get("memory/peak_rss_mb")
    times = [numbers[f"time/{phase}_s"] for phase in TIMES]
    columns = None if line.exact else line.dim
    more = [numbers.get(key) for key in extra]
    return {
        "method": method,
        "exact": line.exact,
        "columns": "-" if columns is None else f"{columns:,}",
        "varied": ["-" if value is None else str(value) for value in varied],
        "valid": _parts(line.valid, line.valid_spread, len(line.runs)),
        "test": _parts(line.score, line.spread, len(line.runs)),
        "runs": len(line.runs),
        "times": [took(value) for value in times],
        "note": "",
        "settings": _settings(columns, keys, varied),
        "memory": "-" if memory is None else f"{memory:,.0f}",
        "extra": [_shown(key, line) for key in extra],
        "seeds": [_seed(run, sheet.metric, beside, detailed) for run in line.runs],
        "sort": [
            method,
            columns,
            *varied,
            line.valid,
            line.score,
            line.score,
            len(line.runs),
            *times,
            memory,
            *more,
        ],
    }


def _settings(columns: int | None, keys: list[str], varied: list[Any]) -> str:
    """Return the columns and what varies as one text, which takes their places on a narrow screen."""
    words = [] if columns is None else [f"{columns:,} columns"]
    known = ((key, value) for key, value in zip(keys, varied, strict=True) if value is not None)
    return ", ".join(words + [f"{short(key)} {value}" for key, value in known])


def _parts(mean: float | None, spread: float = 0.0, runs: int = 1) -> tuple[str, str]:
    """Return a mean and its spread as texts; the page leaves the latter out on a narrow screen."""
    if mean is None:
        return "-", ""
    shown, sign, rest = with_spread(mean, spread, runs).partition(" ±")
    return shown, sign + rest


def _shown(key: str, line: Line) -> str:
    if key not in line.numbers:
        return "-"
    if key != "speedup":
        return f"{line.numbers[key]:.3g}"
    guessed = any(run.result.get("exact/time_kind") == "extrapolated" for run in line.runs)
    return "est. " * guessed + ratio(line.numbers[key])


def _seed(run: Run, metric: str, beside: Path, detailed: bool) -> dict[str, Any]:
    result, fold = run.result, run.config.get("dataset", {}).get("fold")
    valid, memory = result.get(f"valid/{metric}"), result.get("memory/peak_rss_mb")
    return {
        "name": run.folder.name,
        "folder": link(run.folder, beside),
        "detailed": detailed,
        "seed": f"seed {run.config.get('seed')}" + (f", fold {fold}" if fold is not None else ""),
        "valid": "-" if valid is None else f"{valid:.4f}",
        "test": f"{result[f'test/{metric}']:.4f}",
        "times": [took(result[f"time/{phase}_s"]) for phase in TIMES],
        "memory": "-" if memory is None else f"{memory:,.0f}",
    }


def _baseline_row(one: Baseline, keys: list[str], extra: list[str]) -> dict[str, Any]:
    varied = [one.varied.get(key) for key in keys]
    return {
        "method": f"exact kernel of {', '.join(one.methods)}",
        "exact": True,
        "columns": "-",
        "varied": ["-" if value is None else str(value) for value in varied],
        "valid": _parts(None),
        "test": _parts(one.score),
        "runs": one.runs,
        "times": ["-", "-", took(one.seconds)],
        "note": one.kind,
        "settings": _settings(None, keys, varied),
        "memory": "-",
        "extra": ["-"] * len(extra),
        "seeds": [],
        "sort": [
            "exact kernel",
            None,
            *varied,
            None,
            one.score,
            one.score,
            one.runs,
            None,
            None,
            one.seconds,
            None,
            *[None] * len(extra),
        ],
    }
