"""From the composed yaml to checked objects: every parameter is judged before any data is read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ntkrun import checks, datasets, executor
from ntkrun.errors import ConfigError, must_be
from ntkrun.maths import method as methods
from ntkrun.studies import STUDIES

if TYPE_CHECKING:
    from ntkrun.datasets.base import DataSource
    from ntkrun.executor.base import Executor
    from ntkrun.maths.method.base import Method
    from ntkrun.stages.solver import Ridge
    from ntkrun.stages.track import Tracker

BASELINES = ("auto", "exact", "estimate", "none")


@dataclass(frozen=True)
class RunConfig:
    """Everything a run needs. `record` is the plain, resolved configuration for the run folder."""

    source: DataSource
    method: Method
    method_name: str
    solver: Ridge
    executor: Executor
    baseline: str
    shard_rows: int
    output_dir: Path
    tracker: Tracker
    skip_finished: bool
    sweep: Path | None
    study: str | None
    study_size: dict[str, int]
    record: dict[str, Any]


def build(record: dict[str, Any], sweep: Path | None = None) -> RunConfig:
    """Return the checked objects for a resolved configuration; `sweep` is the folder of its sweep.

    Raises ConfigError that lists every problem found, MachineError for a device that is not there.
    """
    from ntkrun.maths.method.base import torch_device
    from ntkrun.stages import solver as solvers
    from ntkrun.stages.track import Tracker

    problems: list[str] = []
    source = _make(datasets.get, record["dataset"], problems)
    method = _make(methods.get, record["method"], problems)
    solver = _make(solvers.get, record["solver"], problems)
    workers = _make(executor.get, record["executor"], problems)
    problems += checks.choice("ntkrun", "baseline", record["baseline"], BASELINES)
    problems += checks.integer("ntkrun", "shard_rows", record["shard_rows"], 1)
    if record["study"] is not None:
        problems += checks.choice("ntkrun", "study", record["study"], STUDIES)
        for key, low in (("rows", 4), ("trials", 1), ("feature_dim", 512)):
            problems += checks.integer("study_size", key, record["study_size"][key], low)
    problems += checks.boolean("ntkrun", "skip_finished", record["skip_finished"])
    for key in ("output_dir", "device"):
        if not isinstance(record[key], str) or not record[key] or "\0" in str(record[key]):
            problems += checks.choice("ntkrun", key, record[key], ["a non-empty string"])
    problems += _no_text(record, "")
    if problems:
        raise ConfigError(" ".join(problems))
    torch_device(record["device"])
    output_dir = Path(record["output_dir"]).expanduser().absolute()
    workers.folder = output_dir
    tracker = Tracker.of(record, output_dir)
    return RunConfig(
        source=source,
        method=method,
        method_name=record["method"]["name"],
        solver=solver,
        executor=workers,
        baseline=record["baseline"],
        shard_rows=record["shard_rows"],
        output_dir=output_dir,
        tracker=tracker,
        skip_finished=record["skip_finished"],
        sweep=sweep,
        study=record["study"],
        study_size=record["study_size"],
        record=record | {"tracking": tracker.record()},
    )


def _no_text(value: Any, key: str) -> list[str]:
    """Return a sentence for every string that no file, terminal or database in UTF-8 could take."""
    if isinstance(value, dict):
        return [problem for k, v in value.items() for problem in _no_text(v, f"{key}.{k}".lstrip("."))]
    if isinstance(value, list):
        return [problem for v in value for problem in _no_text(v, key)]
    if isinstance(value, str) and value != value.encode(errors="replace").decode():
        return [must_be(key, "ntkrun", "text in UTF-8", value, "Rename the file or folder.")]
    return []


def _make(get: Any, section: dict[str, Any], problems: list[str]) -> Any:
    """Build the object that a section names and collect its problems; None if it cannot be built."""
    arguments = {k: v for k, v in section.items() if k != "name"}
    try:
        made = get(section["name"])(**arguments)
        made.check()
    except ConfigError as error:
        problems.append(str(error))
        return None
    except TypeError as error:  # an argument that the class does not know
        problems.append(f"{section['name']}: {error}.")
        return None
    return made
