"""Turn the lines of a sheet into points: one flat record per row of the table and per mark of a chart."""

from __future__ import annotations

import math
from typing import Any

from ntkrun.report import paired
from ntkrun.report.collect import Baseline, Line, Sheet, took, with_spread
from ntkrun.store.predictions import Predictions

PHASES = ("featurize", "solve", "predict")


def points(sheet: Sheet, lines: list[Line], kept: dict[int, list[Predictions]]) -> list[dict[str, Any]]:
    """Return a record per line, then one per baseline; its `id` is its place.

    `kept` has the predictions of lines by the `id` of the Python object, where they are known.
    """
    best = sheet.ranked[0] if sheet.ranked else None
    out = [
        of_line(line, sheet.metric, kept.get(id(line), [])) | {"best": line is best and len(lines) > 1}
        for line in lines
    ]
    out += [of_baseline(one, sheet.metric) for one in sheet.baselines]
    longest = sorted((p for p in out if p["time"]), key=lambda p: -p["time"])[:30]
    for number, point in enumerate(out):
        point["id"], point["long"] = number, any(point is one for one in longest)
    return [{key: _finite(value) for key, value in point.items()} for point in out]


def _finite(value: Any) -> Any:
    """Return a number that JSON knows: None for nan and infinities."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def of_line(line: Line, metric: str, kept: list[Predictions]) -> dict[str, Any]:
    """Return the record of a line."""
    valid = line.valid
    seconds = {phase: line.numbers[f"time/{phase}_s"] for phase in PHASES}
    total = line.numbers["time/total_s"]
    return {
        "what": line.called(),
        "curve": line.label,
        "learner": line.called("dataset.n_train"),
        "bender": line.called("degree"),
        "method": str(line.runs[0].result["method"]),
        "exact": line.exact,
        "columns": None if line.exact else line.dim,
        "n_train": line.n_train,
        "degree": line.varied.get("degree"),
        "test": line.score,
        "test_low": line.score - line.spread,
        "test_high": line.score + line.spread,
        "test_shown": line.shown_score,
        "interval": shown_interval(metric, line.score, line.runs[0].result["n_test"], kept),
        "valid": valid,
        "valid_low": None if valid is None else valid - line.valid_spread,
        "valid_high": None if valid is None else valid + line.valid_spread,
        "valid_shown": "-" if valid is None else with_spread(valid, line.valid_spread, len(line.runs)),
        "time": total,
        "time_shown": took(total),
        **seconds,
        "error": line.numbers.get("kernel/error"),
        "runs": len(line.runs),
    }


def of_baseline(one: Baseline, metric: str) -> dict[str, Any]:
    """Return the record of an exact kernel that other runs were compared with."""
    name = f"exact kernel of {', '.join(one.methods)}"
    shown = "-" if one.score is None else f"{one.score:.4f}"
    return {
        "what": f"{name}, {one.kind}",
        "curve": "exact kernel",
        "learner": "exact kernel",
        "method": "exact kernel",
        "exact": True,
        "columns": None,
        "n_train": one.n_train,
        "test": one.score,
        "test_low": one.score,
        "test_high": one.score,
        "test_shown": shown,
        "interval": shown_interval(metric, one.score, one.n_test, []),
        "valid_shown": "-",
        "time": one.seconds,
        "time_shown": took(one.seconds),
        "runs": one.runs,
        "best": False,
    }


def shown_interval(metric: str, score: float | None, rows: int, kept: list[Predictions]) -> str:
    """Return the 95 % interval of a score over other test rows like these; "-" if it is not known."""
    if score is not None and metric == "accuracy":
        low, high = paired.wilson(min(1.0, max(0.0, score)), rows)
    elif kept:
        low, high = paired.interval_of(kept)
    else:
        return "-"
    return f"{low:.3f} to {high:.3f}" if metric == "accuracy" else f"{low:.4g} to {high:.4g}"
