"""Describe one run: scores, times, memory, confusion matrix, lambda path, and the command that repeats it."""

from __future__ import annotations

import os
import shlex
import time
import urllib.parse
from pathlib import Path
from typing import Any

import numpy as np

from ntkrun.errors import IntegrityError
from ntkrun.progress import ratio
from ntkrun.report.collect import took
from ntkrun.store.predictions import Predictions
from ntkrun.store.runs import Run, parameters, read_json, when

CELLS = 20  # most classes of a confusion matrix in full
PAIRS = 10  # confusions named if there are more classes
SHADES = 9  # grades of a cell's colour


def details(run: Run, kept: Predictions | None, beside: Path) -> dict[str, Any]:
    """Return what the page says about a run; `beside` is the folder of the page."""
    out = {
        "name": run.folder.name,
        "folder": link(run.folder, beside),
        "facts": facts(run),
        "path": lambda_path(run),
        "command": f"ntkrun rerun {shlex.quote(str(run.folder.absolute()))}",
        "keys": [f"{key}={value}" for key, value in parameters(run.config).items()],
        "confusion": None,
        "pairs": [],
        "residuals": [],
    }
    if kept is None:
        return out
    if not kept.names:
        return out | {"residuals": residuals(kept)}
    counts = confusion(kept)
    if len(kept.names) <= CELLS:
        return out | {"confusion": {"names": kept.names, "rows": shaded(counts)}}
    return out | {"pairs": confused(counts, kept.names)}


def link(folder: Path, beside: Path) -> str:
    """Return the address of a folder, relative to that of the page."""
    return (
        urllib.parse.quote(
            os.path.relpath(folder.absolute(), beside.absolute()).encode(errors="surrogateescape")
        )
        + "/"
    )


def facts(run: Run) -> list[tuple[str, str]]:
    """Return (name, text) of the numbers of a run, without those that it does not record."""
    result, metric = run.result, run.metric
    out = [
        ("started", time.strftime("%Y-%m-%d %H:%M", time.localtime(when(run.status, "started")))),
        (f"test {metric}", f"{result[f'test/{metric}']:.4f}"),
        (f"held-out {metric}", _number(result, f"valid/{metric}", "{:.4f}")),
        ("rows", f"{result['n_train']:,} train, {result['n_test']:,} test"),
        ("columns", f"{result['feature_dim']:,}"),
        ("relative lambda", _number(result, "relative_lambda", "{:.1e}")),
        *((phase, took(result[f"time/{phase}_s"])) for phase in ("featurize", "solve", "predict")),
        ("in all", took(result["time/total_s"])),
        ("with the baseline", _seconds(result, "time/wall_s") if "exact/time_s" in result else ""),
        ("peak memory", _number(result, "memory/peak_rss_mb", "{:,.0f} MiB")),
        ("planned memory", _number(result, "memory/planned_mb", "{:,.0f} MiB")),
        ("kernel error", _number(result, "kernel/error", "{:.3g}")),
        ("over exact", ratio(result["speedup"]) if "speedup" in result else ""),
        ("other load", _number(result, "machine/load_beside", "{:.1f} cores")),
    ]
    return [(name, text) for name, text in out if text]


def _number(result: dict[str, Any], key: str, form: str) -> str:
    return form.format(result[key]) if isinstance(result.get(key), int | float) else ""


def _seconds(result: dict[str, Any], key: str) -> str:
    return took(result[key]) if key in result else ""


def lambda_path(run: Run) -> dict[str, Any]:
    """Return the metric that chose lambda and the (relative lambda, score, chosen) that were tried."""
    try:
        found = read_json(run.folder / "lambda_path.json")
        chosen = run.result.get("relative_lambda")
        pairs = zip(found.get("relative_lambda", []), found.get("valid_scores", []), strict=True)
        rows = [(f"{float(lam):.3g}", f"{float(score):.6g}", lam == chosen) for lam, score in pairs]
    except (IntegrityError, ValueError, TypeError):  # ntkrun verify names the damage
        return {"metric": "", "rows": []}
    return {"metric": str(found.get("metric", "")), "rows": rows}


def confusion(kept: Predictions) -> np.ndarray:
    """Return the counts (true class, predicted class), int64."""
    k = len(kept.names)
    flat = kept.labels.astype(np.int64) * k + kept.predicted
    return np.bincount(flat, minlength=k * k).reshape(k, k)


def shaded(counts: np.ndarray) -> list[list[tuple[int, int]]]:
    """Return (count, shade) of every cell; the shade, 0 to SHADES, is the share of the true class."""
    share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    shade = np.ceil(share * SHADES).astype(int)
    return [list(zip(a, b, strict=True)) for a, b in zip(counts.tolist(), shade.tolist(), strict=True)]


def confused(counts: np.ndarray, names: list[str]) -> list[tuple[str, str, int]]:
    """Return the most frequent (true class, predicted class, count) among the mistakes."""
    wrong = counts - np.diag(np.diag(counts))
    order = np.argsort(-wrong, axis=None, kind="stable")[:PAIRS]
    places = np.transpose(np.unravel_index(order, wrong.shape)).tolist()
    return [(names[i], names[j], int(wrong[i, j])) for i, j in places if wrong[i, j]]


def residuals(kept: Predictions) -> list[tuple[str, str]]:
    """Return quantiles of prediction - truth over all rows and targets."""
    gap = (kept.predicted - kept.labels).ravel()
    shares = (0.05, 0.25, 0.5, 0.75, 0.95)
    return [
        (f"{100 * q:g} %", f"{value:+.4g}") for q, value in zip(shares, np.quantile(gap, shares), strict=True)
    ]
