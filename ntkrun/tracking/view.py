"""Choose what MLflow's list of runs shows first: its columns, and the sweeps unfolded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ntkrun.errors import IntegrityError
from ntkrun.store.runs import LINKED, Run, read_json, varying
from ntkrun.tracking.shown import compared

MOST_VARIED = 8  # parameters that differ between the runs and get a column, besides those of every list
ALWAYS = ("method.name", "feature_dim", "seed")
TIMES = ("time/total_s", "speedup")


def columns(runs: Sequence[Run]) -> list[str]:
    """Return the columns for these runs, as MLflow names them: scores, times, what differs."""
    finished = [run for run in runs if run.result]
    scores = [f"{part}/{m}" for m in ("accuracy", "mse") for part in ("valid", "test")]
    metrics = [k for k in (*scores, *TIMES) if any(k in run.result for run in finished)]
    described = [compared(run)[0] for run in finished]
    repeated = {f"method.{key}" for key in LINKED}
    vary = [k for k in varying(described) if k not in (*ALWAYS, *repeated)]
    params = [*ALWAYS, *vary[:MOST_VARIED]]
    several = len({run.result.get("dataset") for run in finished}) > 1
    return [
        *(["attributes.`Dataset`"] if several else []),
        *(f"metrics.`{key}`" for key in metrics),
        *(f"params.`{key}`" for key in params),
    ]


def state(runs: Sequence[Run], root: Path) -> dict[str, Any]:
    """Return the state of MLflow's list of the runs in an output folder, as MLflow's page stores it."""
    return {"selectedColumns": columns(runs), "runsExpanded": dict.fromkeys(_sweeps(root), True)}


def _sweeps(root: Path) -> list[str]:
    """Return the MLflow runs of the sweeps in an output folder."""
    found = []
    for path in sorted((root / "sweeps").glob("*/sweep.json")):
        try:
            found.append(read_json(path).get("parent_run_id"))
        except IntegrityError:  # ntkrun verify tells of it
            continue
    return [one for one in found if one]
