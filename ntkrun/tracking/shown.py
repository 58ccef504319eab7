"""Describe a run as MLflow shows it: name, parameters, tags, metrics, data set and a note."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from ntkrun.log import redacted
from ntkrun.store import sweep_folder
from ntkrun.store.runs import INCIDENTAL, Run, flatten, metric_of, parameters, read_json

NOTE = "mlflow.note.content"  # the description, in Markdown
# keys that nobody compares, besides those that do not change a result: they become tags
ASIDE = {*INCIDENTAL, "baseline", "shard_rows"}
ASIDE_OF_DATA = {"data_dir", "path", "mirrors", "source", "system", "file", "class_names"}
NAMED = {"dataset", "method", "feature_dim", "seed"}  # parts of every run's name
# measures of a run that MLflow shows among its system metrics
SYSTEM = {
    "machine/cpu_percent": "system/cpu_utilization_percentage",
    "memory/peak_rss_mb": "system/process_memory_peak_megabytes",
    "machine/load_beside": "system/cores_busy_with_other_programs",
}
LONGEST = {"parameter": 6000, "tag": 5000, "schema": 60_000}  # characters


def text(value: Any) -> str:
    """Return a value of the configuration as text, floats with at most six digits."""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def compared(run: Run, varies: Sequence[str] = ()) -> tuple[dict[str, str], dict[str, str]]:
    """Return the configuration of a run as (parameters, tags); keys without a value are left out.

    `varies` are the keys that the run's sweep varies: they are parameters.
    """
    params, tags = {}, {}
    for key, value in parameters(run.config).items():
        if value is None or (key.startswith("study") and not run.config.get("study")):
            continue
        first, _, last = key.partition(".")
        if key not in varies and (first in ASIDE or (first == "dataset" and last in ASIDE_OF_DATA)):
            tags[key] = redacted(text(value))[: LONGEST["tag"]]
        else:
            params[key] = text(value)[: LONGEST["parameter"]]
    return params, tags


def name(run: Run, varies: Sequence[str] = ()) -> str:
    """Return the run's name and, in a sweep, the varied keys that it lacks: "raw 64 digits, depth=2"."""
    values = {k: v for k, v in flatten(run.config).items() if k not in NAMED}
    more = [f"{key.rpartition('.')[2]}={short(values[key])}" for key in varies if key in values]
    return ", ".join([run.result["run_name"], *more])


def short(value: Any) -> str:
    """Return a value for a name: floats with four digits, paths without their folders."""
    return f"{value:.4g}" if isinstance(value, float) else str(value).rpartition("/")[2]


def metrics(result: dict[str, Any]) -> dict[str, float]:
    """Return the numbers of a result, some of them also under MLflow's names for system metrics.

    The test score is first, because MLflow's page for comparing runs begins with the first metric.
    """
    first = f"test/{metric_of(result)}"
    numbers = {k: float(v) for k, v in result.items() if isinstance(v, int | float)}
    numbers = {k: v for k, v in numbers.items() if k == first} | numbers
    return numbers | {new: numbers[old] for old, new in SYSTEM.items() if old in numbers}


def note(run: Run) -> str:
    """Return the description of a run: its score in one line, its data, and commands that repeat it."""
    result, metric = run.result, metric_of(run.result)
    first = f"study {result['method']}"
    if metric is not None:
        test, valid = result[f"test/{metric}"], result[f"valid/{metric}"]
        first = f"test {metric} {test:.4f} (held-out rows: {valid:.4f}), {result['time/total_s']:.2f} s"
    rows = f"{result['n_train']:,} training rows and {result['n_test']:,} test rows"
    data = f"Data: {result['dataset']}, {rows}, SHA-256 {result['data_sha256'][:8]}."
    commands = [run.environment.get("command"), shlex.join(["ntkrun", "rerun", str(run.folder)])]
    return _note(first, data, commands)


def sweep_note(sweep: Path) -> str:
    """Return the description of a sweep that has ended: its jobs, the best one, and its command."""
    record, jobs = read_json(sweep / "sweep.json"), sweep_folder.outcomes(sweep)
    states = ", ".join(f"{n} {state}" for state, n in sweep_folder.counts(jobs).items() if n)
    first = f"{len(jobs)} jobs: {states}"
    scored = [job for job in jobs if "valid" in job]
    if scored and len({job["metric"] for job in scored}) == 1:
        metric = scored[0]["metric"]
        best = (max if metric == "accuracy" else min)(scored, key=lambda job: job["valid"])
        first += f"; best {metric} {best['valid']:.4f} on held-out rows: {best['title']}"
    report = "Its report is the artifact report.html." if (sweep / "report.html").is_file() else ""
    return _note(first, report, [shlex.join(["ntkrun", "-m", *words(record)])])


def sweep_name(record: dict[str, Any], folder: Path) -> str:
    """Return the name of a sweep: the keys that it varies, or its folder if they are unknown."""
    return f"sweep {', '.join(record.get('varies') or [folder.name])}"


def words(record: dict[str, Any]) -> list[str]:
    """Return the words of a sweep's command line, without the one that Hydra adds for -m."""
    return [word for word in record["overrides"] if word != "hydra.mode=MULTIRUN"]


def _note(first: str, second: str, commands: Sequence[str | None]) -> str:
    shown = [f"`{command}`" if "`" not in command else f"    {command}" for command in commands if command]
    return "\n\n".join(part for part in (first, second, *shown) if part)[: LONGEST["tag"]]


def source(dataset: dict[str, Any]) -> tuple[str, dict[str, str]]:
    """Return the kind of a data set's source, "http" or "local", and its address or path.

    A path that is given counts more than the place that the data are downloaded from.
    """
    given = [dataset[k] for k in ("path", "x_train") if dataset.get(k)]
    mirrors = dataset.get("mirrors") or []
    pages = [one["url"] for one in mirrors if isinstance(one, dict) and "url" in one]
    pages.append(dataset.get("source"))
    if given:
        return "local", {"uri": str(given[0])}
    if pages[0]:
        return "http", {"url": str(pages[0])}
    title = dataset.get("title") or dataset["name"]
    inside = dataset["name"] in ("digits", "sklearn")
    return "local", {"uri": f"scikit-learn's {title}" if inside else str(dataset.get("data_dir") or title)}


def dataset(run: Run) -> Any:
    """Return the data set of a run as MLflow's entity."""
    from mlflow.entities import Dataset

    kind, where = source(run.config["dataset"])
    rows = {"training_rows": run.result["n_train"], "test_rows": run.result["n_test"]}
    return Dataset(
        name=run.result["dataset"],
        digest=run.result["data_sha256"][:8],
        source_type=kind,
        source=json.dumps(where),
        schema=_schema(run.folder / "model" / "MLmodel"),
        profile=json.dumps(rows),
    )


def _schema(model: Path) -> str | None:
    """Return the inputs of a saved model as the schema of a data set; None if it has none, or is too long."""
    if not model.is_file():
        return None
    signature = yaml.safe_load(model.read_text("utf-8")).get("signature") or {}
    if "inputs" not in signature:
        return None
    inputs = json.loads(signature["inputs"])
    tensors = {"mlflow_tensorspec": {"features": json.dumps(inputs), "targets": signature["outputs"]}}
    schema = json.dumps(tensors if inputs[0]["type"] == "tensor" else {"mlflow_colspec": inputs})
    return schema if len(schema) <= LONGEST["schema"] else None
