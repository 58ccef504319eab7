"""Read the folders of runs, the record of every experiment.

<output_dir>/runs/<time>_<name>_<random>/
    config.json environment.json status.json result.json lambda_path.json predictions.npz run.log
    model/ figures/
"""

from __future__ import annotations

import json
import logging
import os
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ntkrun.errors import DataError, IntegrityError, must_be

log = logging.getLogger(__name__)

# arguments of a method that are set by a key of another name
LINKED = {"n_components": "feature_dim", "random_state": "seed"}
# keys that do not change a result, at the top or in the data set's group
INCIDENTAL = ("output_dir", "data_dir", "tracking", "skip_finished", "executor", "features")


@dataclass(frozen=True)
class Run:
    """One run folder. `result` is empty unless the run has finished."""

    folder: Path
    config: dict[str, Any]
    status: dict[str, Any]
    environment: dict[str, Any]
    result: dict[str, Any]

    @property
    def state(self) -> str:
        """FINISHED, FAILED, KILLED, RUNNING, or DIED if the process that ran it is gone."""
        state = str(self.status.get("status", "DIED"))
        return "DIED" if died(self.status) else state

    @property
    def metric(self) -> str | None:
        """The name of the test metric, "accuracy" or "mse"; None for a study or an unfinished run."""
        return metric_of(self.result)


def metric_of(result: dict[str, Any]) -> str | None:
    """Return the name of the test metric in a result, or None without one."""
    return next((m for m in ("accuracy", "mse") if f"test/{m}" in result), None)


def alive(pid: Any) -> bool:
    """Return whether a process with this number runs on this machine."""
    if not isinstance(pid, int) or pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def whose() -> dict[str, Any]:
    """Return number and host of this process, for a record."""
    return {"pid": os.getpid(), "host": platform.node()}


def died(record: dict[str, Any]) -> bool:
    """Return whether the process of a RUNNING record is gone; False if it is of another host."""
    local = record.get("host") == platform.node()
    return record.get("status") == "RUNNING" and local and not alive(record.get("pid"))


def read_json(path: Path) -> dict[str, Any]:
    """Return the object in a file, {} if the file is absent; IntegrityError if it is not an object."""
    try:
        document = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except (ValueError, OSError, RecursionError) as error:
        raise IntegrityError(f"{path} cannot be read as JSON: {error}. Remove the folder.") from error
    if not isinstance(document, dict):
        raise IntegrityError(f"{path} must hold a JSON object. Got {type(document).__name__} instead.")
    return document


def load(folder: Path) -> Run:
    """Return the run in a folder; DataError if it is not a run's, IntegrityError if a file is damaged."""
    if not (folder / "config.json").is_file():
        raise DataError(f"{folder} is not a run folder: it holds no config.json. See ntkrun list.")
    names = ("config", "status", "environment", "result")
    config, status, environment, result = (read_json(folder / f"{n}.json") for n in names)
    return Run(folder, config, status, environment, result if status.get("status") == "FINISHED" else {})


def scan(root: Path) -> Iterator[Run]:
    """Yield every run of <root>/runs, oldest first; log and skip damaged folders.

    The recorded start gives the order, because folders are named in local time.
    """
    runs = []
    for path in sorted((root / "runs").glob("*/config.json")):
        try:
            runs.append(load(path.parent))
        except IntegrityError as error:
            log.warning("%s", error)
    yield from sorted(runs, key=lambda run: when(run.status, "started"))


def when(record: dict[str, Any], event: str) -> float:
    """Return the time of "started" or "finished" in a record, in seconds since 1970 UTC; 0 if unknown."""
    time = record.get(event)
    return float(time) if isinstance(time, int | float) else 0.0


def incidental(key: str) -> bool:
    """Return whether a key of a flat configuration, such as "tracking.uri", changes no result."""
    group, _, name = key.partition(".")
    return group in INCIDENTAL or (group == "dataset" and name in INCIDENTAL)


def same_words(config: dict[str, Any], besides: tuple[str, ...] = ()) -> str:
    """Return a text that is equal for two configurations that differ in incidental keys alone.

    `besides` names more keys of the data set to leave out.
    """
    # configurations of earlier versions lack keys that are null by default
    kept = {k: v for k, v in config.items() if k not in INCIDENTAL and v is not None}
    if isinstance(kept.get("dataset"), dict):
        left_out = (*INCIDENTAL, *besides)
        kept["dataset"] = {k: v for k, v in kept["dataset"].items() if k not in left_out}
    return json.dumps(kept, sort_keys=True, default=str)


def finished_like(root: Path, config: dict[str, Any], facts: dict[str, Any]) -> Run | None:
    """Return the newest finished run with the numbers that this configuration would give.

    Equal configurations are not enough: `dataset.path=data.csv` may be another file, or an edited one. The
    result must also record the same `facts`: the hash of the data, instead of their path, and the versions
    of the code.
    """
    wanted = same_words(config, ("path",))
    same = [
        run
        for run in scan(root)
        if run.state == "FINISHED"
        and all(run.result.get(key) == value for key, value in facts.items())
        and same_words(run.config, ("path",)) == wanted
    ]
    return max(same, key=lambda run: when(run.status, "finished"), default=None)


def flatten(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return {"method.degree": 2, ...} for a nested configuration."""
    out: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            out |= flatten(value, f"{prefix}{key}.")
        else:
            out[prefix + key] = value
    return out


def parameters(config: dict[str, Any]) -> dict[str, Any]:
    """Return a flat configuration without group keys that repeat one from the top.

    Otherwise every comparison would show both `feature_dim` and `method.n_components`.
    """
    shown = {}
    for name, value in flatten(config).items():
        key = name.rpartition(".")[2]
        top = LINKED.get(key, key)
        if "." not in name or top not in config or config[top] != value:
            shown[name] = value
    return shown


def varying(described: list[dict[str, Any]]) -> list[str]:
    """Return the keys whose values differ between runs that have them, "method" first.

    A key does not vary by being absent in some methods.
    """
    keys = dict.fromkeys(k for about in described for k in about)
    return [k for k in keys if len({repr(about[k]) for about in described if k in about}) > 1]


def as_key(text: str, other: str = "_") -> str:
    """Return text as a key for MLflow, with `other` in place of characters that MLflow does not allow."""
    return "".join(c if c.isalnum() or c in "_-./ " else other for c in text)


def find(root: Path, words: str, scored: bool = True) -> Run:
    """Return one run: a run folder, "latest", the end of its folder's name, or its MLflow id.

    Folders are looked for in <root>/runs; "latest" is the newest that has finished with a model. DataError if
    there is no such run, or more than one, or if it has no score and `scored` wants one.
    """
    if (Path(words) / "config.json").is_file():
        return load(Path(words))
    runs = list(scan(root))
    if words == "latest":
        found = [run for run in runs if run.metric][-1:]
    else:
        called = [run for run in runs if words and _called(run, words)]
        found = [run for run in called if run.metric or not scored]
        if called and not found:
            last = called[-1]
            raise DataError(f"{last.folder} has no model and no score ({last.state}). See ntkrun list.")
    if len(found) == 1:
        return found[0]
    several = ", ".join(run.folder.name for run in found[-3:])
    got = f"{words}, which fits {several}" if found else words
    constraint = f"a run folder, or latest or the end of a name in {root / 'runs'}"
    raise DataError(must_be("run", "ntkrun", constraint, got, "See ntkrun list."))


def _called(run: Run, words: str) -> bool:
    return run.folder.name.endswith(words) or run.result.get("mlflow/run_id") == words
