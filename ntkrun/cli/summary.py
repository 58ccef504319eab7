"""Format the last lines of a run or a sweep."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

from ntkrun.cli import optimiser
from ntkrun.log import painted, redacted
from ntkrun.progress import faster, human
from ntkrun.store import sweep_folder
from ntkrun.store.paths import sqlite_file
from ntkrun.store.runs import metric_of, read_json


def summary(result: dict[str, Any]) -> str:
    """Return the lines about a run that has finished."""
    return scored(result) + compared(result)


def scored(result: dict[str, Any]) -> str:
    """Return the lines about the score of a run, or about a study."""
    metric = metric_of(result)
    if metric is None:
        lines = [("study", f"{result['method']} in {result['time/wall_s']:.0f} s")]
    else:
        lines = [("test " + metric, f"{result['test/' + metric]:.4f}{interval(result)}")]
        lines.append(("time", f"{result['time/total_s']:.2f} s   featurize + solve + predict"))
    whose = "" if result.get("memory/peak_of") == "run" else ", of the whole process"
    if "memory/peak_rss_mb" in result:
        lines.append(("memory", f"{result['memory/peak_rss_mb']:.0f} MiB   peak resident{whose}"))
    lines.append(("report", result["run_folder"]))
    first, rest = text_of(lines).split("\n", 1)
    return f"\n{painted(first, 'bold', sys.stdout)}\n{rest}"


def interval(result: dict[str, Any]) -> str:
    """Return the 95 % interval of a test accuracy; "" for other scores."""
    from ntkrun.report.paired import wilson

    if "test/accuracy" not in result or not result.get("n_test"):
        return ""
    low, high = wilson(result["test/accuracy"], result["n_test"])
    return f"   (95 % interval {low:.3f} to {high:.3f}, {result['n_test']:,} test rows)"


def compared(result: dict[str, Any]) -> str:
    """Return the lines that compare a run with the exact kernel; "" if it was left out."""
    if "speedup" not in result:
        return ""
    score, cost = result.get(f"exact/{metric_of(result)}"), human(result["exact/time_s"])
    times = (result.get(f"exact/time_{bound}_s") for bound in ("low", "high"))
    low, high = (time and time / result["time/total_s"] for time in times)
    exact = f"{cost}, {result['exact/time_kind']}" if score is None else f"{score:.4f}   in {cost}, measured"
    speed = f"{faster(result['speedup'], low, high)} than the exact kernel"
    return "\n" + text_of([("exact kernel", exact), ("speed-up", speed)])


def text_of(lines: list[tuple[str, str]]) -> str:
    """Return lines of a name and a text."""
    return "".join(f"{name:<14}{text}\n" for name, text in lines)


def published(result: dict[str, Any], output_dir: str, uri: str) -> str:
    """Return the lines that say where MLflow shows a run; "" if it does not."""
    if not result.get("mlflow/run_id"):
        return ""
    lines = [("MLflow", f"run {result['mlflow/run_id']} in {redacted(uri)}")]
    if sqlite_file(uri) == Path(output_dir) / "mlflow.db":
        lines.append(("compare", f"ntkrun ui {output_dir}   (or: make ui)"))
    return text_of(lines)


def table(folder: Path) -> str:
    """Return the table of a sweep from its folder; nothing is written, so it works on a full disk."""
    jobs = sweep_folder.outcomes(folder)
    shown = ", ".join(f"{n} {state}" for state, n in sweep_folder.counts(jobs).items() if n or state == "ok")
    lines = [f"\nsweep         {len(jobs)} jobs: {shown}"]
    metric = next((job["metric"] for job in jobs if "metric" in job), "")
    lines.append(f"{'job':>5}  {'status':<8}{metric:>9}{'seconds':>9}  overrides")
    for job in jobs:
        value = f"{job['value']:.4f}" if "value" in job else "-"
        lines.append(
            f"{job['number']:>5}  {job['status']:<8}{value:>9}{job['seconds']:>9.1f}  {job['title']}"
        )
        if job["status"] == "failed":
            lines.append(f"{'':>33}  {job['error']}")
    record = read_json(folder / "sweep.json")
    if best := best_of(jobs, record.get("direction"), record.get("varies", [])):
        lines.append(painted(best, "bold", sys.stdout))
    lines.append(f"jobs          {folder / 'jobs'}")
    return "\n".join(lines) + "\n"


def best_of(jobs: list[dict[str, Any]], direction: str | None, varies: list[str]) -> str | None:
    """Return the line about the best job by its held-out score; None if the jobs cannot be compared."""
    if direction:
        return optimiser.best(jobs, direction)
    scored = [job for job in jobs if math.isfinite(job.get("valid", math.nan))]
    other_data = any(key == "dataset" or key.startswith("dataset.") for key in varies)
    if len(scored) < 2 or len({job["metric"] for job in scored}) > 1 or other_data:
        return None
    first = min(scored, key=lambda job: optimiser.number(job, "minimize"))
    score = f"{first['metric']} {first['valid']:.4f} on held-out rows"
    return f"best          job {first['number']}: {score}   {first['title']}"
