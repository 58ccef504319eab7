"""ntkrun list: list the runs in a folder."""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import Any

from ntkrun.cli.commands import add_place, located
from ntkrun.errors import DataError
from ntkrun.progress import ratio
from ntkrun.store.runs import Run, incidental, parameters, scan, varying, when

ORDERS = ("started", "valid", "score", "seconds", "speedup")
# keys with a column of their own, and keys that do not change a result
SHOWN = {"method", "method.name", "dataset.name", "feature_dim", "method.n_components", "seed"}
SHOWN |= {"method.random_state", "baseline"}
RIGHT = ("columns", "seed", "valid", "test", "time", "speed-up")  # headings of numbers

EXAMPLE = "ntkrun list --sort valid   # best run last"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_place(parser, "output_dir of the runs")
    parser.add_argument("--failed", action="store_true", help="only runs that did not finish")
    parser.add_argument("--sort", choices=ORDERS, default="started", help="best last; default: started")
    parser.add_argument("--json", action="store_true", help="one JSON list, for programs")


def run(options: argparse.Namespace) -> int:
    """Print one line per run."""
    root, one = located(options.folder)
    runs = [one] if one else list(scan(root))
    if not runs:
        raise DataError(f"{root / 'runs'} holds no run. Start one with ntkrun, or name its folder.")
    if options.failed:
        runs = [r for r in runs if r.state != "FINISHED"]
    found = sorted(described(runs), key=lambda about: rank(about, options.sort))
    text = json.dumps(found, indent=1, default=str) if options.json else "\n".join(lines(found))
    sys.stdout.write(text + "\n")
    return 0


def described(runs: list[Run]) -> list[dict[str, Any]]:
    """Return for each run what tells it apart, for people and programs."""
    settings = [
        {k: v for k, v in parameters(run.config).items() if k not in SHOWN and not incidental(k)}
        for run in runs
    ]
    vary = varying(settings)
    return [
        about(run, {k: setting[k] for k in vary if k in setting})
        for run, setting in zip(runs, settings, strict=True)
    ]


def about(run: Run, varies: dict[str, Any]) -> dict[str, Any]:
    """Return the facts of a run; those of the result are None until it has finished."""
    config, result, metric = run.config, run.result, run.metric
    given: dict[str, Any] = {key: config.get(key) for key in ("dataset", "method")}
    names = {key: part.get("name") if isinstance(part, dict) else part for key, part in given.items()}
    sweep = run.status.get("sweep")
    return {
        "id": run.folder.name.rpartition("_")[2],
        "started": when(run.status, "started"),
        "state": run.state,
        "dataset": result.get("dataset", names["dataset"]),
        "method": result.get("method", names["method"]),
        "feature_dim": result.get("feature_dim", config.get("feature_dim")),
        "seed": config.get("seed"),
        "varies": varies,
        "metric": metric,
        "valid": next((v for k, v in result.items() if k == f"valid/{metric}"), None),
        "score": result.get(f"test/{metric}"),
        "seconds": result.get("time/total_s", result.get("time/wall_s")),
        "speedup": result.get("speedup"),
        "sweep": sweep and sweep.rstrip("/").rpartition("/")[2],
        "folder": str(run.folder),
    }


def rank(about: dict[str, Any], order: str) -> tuple[bool, float]:
    """Return the place of a run in an order: runs without the value first, the best last."""
    value = about[order]
    if value is None:
        return False, 0.0
    smaller = order == "seconds" or (order in ("valid", "score") and about["metric"] == "mse")
    return True, -value if smaller else value


def lines(found: list[dict[str, Any]]) -> list[str]:
    """Return the lines of a table; columns that are empty throughout are left out."""
    table = [columns(about) for about in found]
    heads = [head for head in (table[0] if table else {}) if any(row[head] for row in table)]
    wide = {head: max(len(head), *(len(row[head]) for row in table)) for head in heads}

    def padded(row: dict[str, str]) -> str:
        cells = [row[h].rjust(wide[h]) if h in RIGHT else row[h].ljust(wide[h]) for h in heads]
        return "  ".join(cells).rstrip()

    return [padded({head: head for head in heads}), *map(padded, table)] if heads else []


def columns(about: dict[str, Any]) -> dict[str, str]:
    """Return the cells of a run by their headings."""

    def number(key: str, form: str) -> str:
        return "" if about[key] is None else form.format(about[key])

    score = number("score", "{:.4f}")
    return {
        "id": about["id"],
        "started": time.strftime("%Y-%m-%d %H:%M", time.localtime(about["started"])),
        "state": about["state"],
        "dataset": str(about["dataset"] or ""),
        "method": str(about["method"] or ""),
        "columns": number("feature_dim", "{}"),
        "seed": number("seed", "{}"),
        "varies": ", ".join(f"{k.removeprefix('method.')}={short(v)}" for k, v in about["varies"].items()),
        "valid": number("valid", "{:.4f}"),
        "test": score and f"{about['metric']} {score}",
        "time": number("seconds", "{:.1f} s"),
        "speed-up": "" if about["speedup"] is None else ratio(about["speedup"]),
        "sweep": about["sweep"] or "",
    }


def short(value: Any) -> str:
    """Return a value in at most 24 characters: of a path the end."""
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return text if len(text) <= 24 else f"...{text[-21:]}"
