"""Say which job of a sweep begins, of how many, what is special about it, and how long the rest will take."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ntkrun.progress import human
from ntkrun.store import sweep_folder
from ntkrun.store.runs import read_json, when


def planned(config: Any) -> dict[str, Any]:
    """Return the number of jobs of a sweep, None if it is unknown, and the keys that take several values.

    `config` is Hydra's whole configuration.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    sweeper = config.hydra.sweeper
    words = [*config.hydra.overrides.task, *(f"{k}={v}" for k, v in (sweeper.get("params") or {}).items())]
    swept = [one for one in OverridesParser.create().parse_overrides(words) if one.is_sweep_override()]
    try:
        count = math.prod(len(list(one.sweep_string_iterator())) for one in swept)
    except HydraException:  # interval(...) and glob(...)
        count = None
    return {
        "planned": sweeper.get("n_trials") or count,
        "varies": sorted({key_of(one.get_key_element()) for one in swept}),
    }


def key_of(word: str) -> str:
    """Return the key of an override."""
    return word.partition("=")[0].lstrip("+~")


def title(overrides: Sequence[str], varies: Sequence[str]) -> str:
    """Return the overrides of a job that other jobs lack; all if the sweep varies nothing."""
    return ", ".join([word for word in overrides if key_of(word) in varies] or overrides)


def heading(folder: Path, number: int, name: str) -> str:
    """Return the line that begins job `number` (from 0), called `name`, of the sweep in a folder."""
    record = read_json(folder / "sweep.json")
    count, done = record.get("planned"), len(sweep_folder.outcomes(folder))
    of = f" ({number + 1} of {count})" if count else ""
    left = ""
    if count and done and record.get("status") == "RUNNING":
        spent = time.time() - when(record, "started")
        left = f"   about {human(float(f'{spent / done * (count - done):.1g}'))} left"
    return f"job {number}{of}    {name}{left}"
