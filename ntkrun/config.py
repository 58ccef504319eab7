"""Build checked objects from the composed yaml, before any data are read."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ntkrun import checks
from ntkrun.datasets import DATASETS
from ntkrun.errors import ConfigError, NtkrunError, must_be
from ntkrun.executors import EXECUTORS
from ntkrun.maths.method import METHODS
from ntkrun.registry import Registry
from ntkrun.solvers import SOLVERS
from ntkrun.store.paths import PATHS, absolute_url, as_path
from ntkrun.store.runs import LINKED
from ntkrun.studies import STUDIES

if TYPE_CHECKING:
    from ntkrun.datasets.base import DataSource
    from ntkrun.executors.base import Executor
    from ntkrun.maths.method.base import Method
    from ntkrun.solvers.base import Solver
    from ntkrun.tracking.tracker import Tracker

SECTIONS: dict[str, Registry] = {
    "dataset": DATASETS,
    "method": METHODS,
    "solver": SOLVERS,
    "executor": EXECUTORS,
}
FEATURES = ("stored", "summed", "auto")
BASELINES = ("auto", "exact", "estimate", "none")
NUMBERS = ("feature_dim", "degree", "depth", "filter_size", "seed")
SIZES = {"rows": 4, "trials": 1, "feature_dim": 512}  # smallest study_size
# required keys
KEYS = ["dataset.name", "method.name", "solver.name", "executor.name", "tracking.uri", "tracking.experiment"]
KEYS += [f"study_size.{key}" for key in SIZES]
KEYS += ["baseline", "device", "output_dir", "shard_rows", "skip_finished", "study"]


@dataclass(frozen=True)
class RunConfig:
    """Checked objects and settings of a run; `record` is the plain configuration for the run folder.

    With method=auto there is a `rows_method`, which takes the place of `method` if the data are rows. Then
    `faults` has the problems of each, which count if it is taken.
    """

    source: DataSource
    method: Method
    rows_method: Method | None
    faults: dict[str, list[str]]
    solver: Solver
    executor: Executor
    baseline: str
    features_dtype: str | None
    features: str
    shard_rows: int
    output_dir: Path
    tracker: Tracker
    skip_finished: bool
    sweep: Path | None
    command: str | None
    study: str | None
    study_size: dict[str, int]
    record: dict[str, Any]


def build(record: dict[str, Any], sweep: Path | None = None, command: str | None = None) -> RunConfig:
    """Return the checked objects of a resolved configuration.

    `sweep` is the folder of its sweep, and `command` the command line that gives this run.

    Paths in the returned record are absolute. Raises ConfigError with every problem found, MachineError if
    the device is missing.
    """
    from ntkrun.maths.method.base import torch_device
    from ntkrun.tracking.tracker import Tracker

    record = {"features": "stored"} | record  # records of earlier versions lack it
    if problems := _shape(record):
        raise ConfigError(" ".join(problems))
    record = _absolute(record)
    rows = record["method"].get("rows")
    plain = record | {"method": {k: v for k, v in record["method"].items() if k != "rows"}}
    faults: dict[str, list[str]] = {"images": [], "rows": []}
    made = {s: _make(s, plain, faults["images"] if s == "method" else problems) for s in SECTIONS}
    if rows is not None:
        section = _known(str(rows), plain["method"])
        made["rows"] = _make("method", plain | {"method": section}, faults["rows"])
    kind = "images" if rows is None else getattr(made["dataset"], "holds", None)
    # of data whose kind is not known yet, a method may be wrong that is not taken
    if kind or all(faults.values()):
        problems += faults[kind or "images"]
    problems += checks.choice("ntkrun", "baseline", record["baseline"], BASELINES)
    problems += _features_dtype(record, made["method"])
    problems += checks.choice("ntkrun", "features", record["features"], FEATURES)
    problems += checks.integer("ntkrun", "shard_rows", record["shard_rows"], 1)
    if record["study"] is not None:
        problems += checks.choice("ntkrun", "study", record["study"], STUDIES.names)
    for key, low in SIZES.items():
        problems += checks.integer("study_size", f"study_size.{key}", record["study_size"][key], low, 1 << 24)
    problems += checks.boolean("ntkrun", "skip_finished", record["skip_finished"])
    problems += _texts(record)
    problems += _no_text(record, "")
    # methods and data sets have already checked the ones that they use
    for key in () if problems or any(faults.values()) else NUMBERS:
        problems += checks.integer("ntkrun", key, record.get(key, 0), 0)
    if problems:
        raise ConfigError(" ".join(problems))
    torch_device(record["device"])
    output_dir = Path(record["output_dir"])
    made["executor"].folder = output_dir
    tracker = Tracker.of(record, output_dir)
    return RunConfig(
        source=made["dataset"],
        method=made["method"],
        rows_method=made.get("rows"),
        faults=faults,
        solver=made["solver"],
        executor=made["executor"],
        baseline=record["baseline"],
        features_dtype=record.get("features_dtype"),
        features=record["features"],
        shard_rows=record["shard_rows"],
        output_dir=output_dir,
        tracker=tracker,
        skip_finished=record["skip_finished"],
        sweep=sweep,
        command=command,
        study=record["study"],
        study_size=record["study_size"],
        record=record | {"tracking": tracker.record()},
    )


def _shape(record: dict[str, Any]) -> list[str]:
    """Return a sentence per required key that is missing, or that should be a group of keys."""
    out = []
    for key in KEYS:
        parts, level = key.split("."), record
        for depth, part in enumerate(parts):
            where = ".".join(parts[: depth + 1])
            if part not in level:
                out.append(f"{where} is missing from the configuration. Leave ~{where} out.")
                break
            level = level[part]
            if depth + 1 < len(parts) and not isinstance(level, dict):
                remedy = f"See ntkrun --help for {where}=" if where in SECTIONS else f"Set {where}.KEY=VALUE."
                out.append(must_be(where, "ntkrun", "a group of keys", level, remedy))
                break
    return list(dict.fromkeys(out))


def _absolute(record: dict[str, Any]) -> dict[str, Any]:
    """Return the record with absolute paths, also in the address of a SQLite file."""

    def place(value: Any) -> Any:
        return str(as_path(value)) if isinstance(value, str) and value else value

    out = {**record, "dataset": dict(record["dataset"]), "tracking": dict(record["tracking"])}
    for key in PATHS:
        section, _, name = key.rpartition(".")
        group = out[section] if section else out
        if name in group:
            group[name] = place(group[name])
    if isinstance(uri := out["tracking"]["uri"], str):
        out["tracking"]["uri"] = absolute_url(uri)
    return out


def _features_dtype(record: dict[str, Any], method: Method | None) -> list[str]:
    """Return a sentence if features cannot be stored in the type that a record names; old ones name none."""
    from ntkrun.maths.method.kernel import KernelMethod
    from ntkrun.store.precision import NAMES

    value = record.get("features_dtype")
    if value is None or method is None or value == method.dtype:
        return []
    if problems := checks.choice("ntkrun", "features_dtype", value, NAMES):
        return problems
    kernel = isinstance(method, KernelMethod)
    if kernel or record.get("features", "stored") != "stored":
        what = f"{method.name}: kernel values are not rounded" if kernel else "features that are not stored"
        return [must_be("features_dtype", "ntkrun", f"null for {what}", value, "Leave it out.")]
    return []


def _texts(record: dict[str, Any]) -> list[str]:
    """Return a sentence per key of `tracking` or the top level that must be text and is not."""
    tracking, out = record["tracking"], []
    texts = {
        "output_dir": record["output_dir"],
        "device": record["device"],
    }
    if tracking["experiment"] is not None:
        texts["tracking.experiment"] = tracking["experiment"]
    for key, value in texts.items():
        if not isinstance(value, str) or not value:
            out.append(must_be(key, "ntkrun", "non-empty text", value))
    if not isinstance(record.get("data_dir"), str | None):
        out.append(must_be("data_dir", "ntkrun", "a folder or null", record["data_dir"]))
    uri = tracking["uri"]
    if uri is not None and not (isinstance(uri, str) and re.match(r"databricks|uc$|[a-z][\w+.-]*:", uri)):
        remedy = "Leave it out for a database in output_dir."
        out.append(must_be("tracking.uri", "ntkrun", "like sqlite:///FILE or http://HOST:PORT", uri, remedy))
    return out


def _no_text(value: Any, key: str) -> list[str]:
    """Return a sentence per string that is not valid UTF-8 or holds a null character."""
    if isinstance(value, dict):
        return [problem for k, v in value.items() for problem in _no_text(v, f"{key}.{k}".lstrip("."))]
    if isinstance(value, list):
        return [problem for v in value for problem in _no_text(v, key)]
    if isinstance(value, str) and ("\0" in value or value != value.encode(errors="replace").decode()):
        return [must_be(key, "ntkrun", "text in UTF-8", value, "Rename the file or folder.")]
    return []


def _make(section: str, record: dict[str, Any], problems: list[str]) -> Any:
    """Build the object that a section names and add to `problems`; return None if it cannot be built."""
    arguments = {k: v for k, v in record[section].items() if k != "name"}
    found: list[str] = []
    made = None
    try:
        cls = SECTIONS[section].get(str(record[section]["name"]))
        found = checks.types(cls, arguments)
        if not any(" must be a list of " in sentence for sentence in found):  # the class would loop over it
            made = cls(**arguments)
            # a class's own check says more than a wrong type
            said = made.problems()
            if getattr(made, "random_state", 0) is None:  # a run is found again by its seed
                said.append(must_be("random_state", cls.__name__, "an integer >= 0", None))
            found = said + [f for f in found if not any(s.startswith(f.split(" must ")[0]) for s in said)]
    except ConfigError as error:
        found.append(str(error))
    except (TypeError, ValueError, AttributeError) as error:  # a wrong type, or an unknown argument
        found = found or [f"{record[section]['name']}: {error}."]
    problems += [typed(sentence, record, section) for sentence in found]
    return made


def _known(name: str, section: dict[str, Any]) -> dict[str, Any]:
    """Return the keys of a section that the method `name` knows too; ConfigError for an unknown name."""
    known = inspect.signature(METHODS.get(name)).parameters
    return {"name": name} | {k: v for k, v in section.items() if k in known}


def typed(message: str, record: dict[str, Any], *sections: str) -> str:
    """Return a message with keys as users type them: trained='all' becomes method.trained=all."""
    for section in sections or SECTIONS:
        for key, value in record[section].items():
            top = LINKED.get(key, key)
            name = top if top in record and record[top] == value else f"{section}.{key}"
            # a word with _ can only be a key
            behind = r"(?![\w./]| \()" if "_" in key else r"(?==| of \S+ must )"
            behind = r"(?=\.\w)" if isinstance(value, dict) else behind
            message = re.sub(rf"(?<![^\s(]){key}{behind}", name, message)
            message = re.sub(rf"(?<![^\s(])({re.escape(name)}=)'([\w.]+)'", r"\1\2", message)
    return message


@contextmanager
def as_typed(record: dict[str, Any]) -> Iterator[None]:
    """Make errors of the package name keys as users type them."""
    try:
        yield
    except NtkrunError as error:
        error.args = (typed(str(error), record),)
        raise
