"""Collect runs into tables of their varying parameters and means over seeds."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ntkrun.errors import DataError, IntegrityError
from ntkrun.progress import human
from ntkrun.store.runs import INCIDENTAL, LINKED, Run, flatten, load, same_words, scan
from ntkrun.store.sweep_folder import outcomes

log = logging.getLogger(__name__)

# runs that differ only in these are repetitions
REPEATED = ("seed", "dataset.fold")
# averaged over seeds, as the score is
NUMBERS = (
    "time/featurize_s",
    "time/solve_s",
    "time/predict_s",
    "time/total_s",
    "memory/peak_rss_mb",
    "speedup",
    "kernel/error",
    "kernel/spectral_error",
)


@dataclass(frozen=True)
class Line:
    """All seeds of one configuration: its varying parameters, and means over its runs."""

    varied: dict[str, Any]
    runs: list[Run]
    score: float
    spread: float
    numbers: dict[str, float]

    @property
    def dim(self) -> int:
        """Number of features."""
        return int(self.runs[0].result["feature_dim"])

    @property
    def exact(self) -> bool:
        """Whether this is a kernel method, whose size is the number of training rows."""
        return self.runs[0].result.get("kind") == "kernel"

    @property
    def shown_score(self) -> str:
        """Mean score, with its spread if there are several runs."""
        return f"{self.score:.4f}" + (f" ± {self.spread:.4f}" if len(self.runs) > 1 else "")

    @property
    def shown_times(self) -> list[str]:
        """Times to featurize, to solve and in total, in readable units."""
        return [human(self.numbers[f"time/{phase}_s"]) for phase in ("featurize", "solve", "total")]

    @property
    def label(self) -> str:
        """Name of the curve through lines that differ only in size."""
        words = [
            str(v) if k == "method" else f"{k} {v}" for k, v in self.varied.items() if k != "feature_dim"
        ]
        return ", ".join(words) or str(self.runs[0].result["method"])


@dataclass(frozen=True)
class Sheet:
    """Lines of one data set and metric."""

    dataset: str
    metric: str
    keys: list[str]
    lines: list[Line] = field(default_factory=list)

    @property
    def higher_is_better(self) -> bool:
        """Whether the metric is accuracy rather than an error."""
        return self.metric == "accuracy"

    @property
    def best(self) -> Line:
        """Line with the best score."""
        return max(self.lines, key=lambda line: line.score if self.higher_is_better else -line.score)


def runs_of(folder: Path, experiment: str | None = None) -> list[Run]:
    """Return the runs of an output_dir, a sweep's folder or a run folder; DataError if there are none."""
    if (folder / "sweep.json").is_file():
        found = _of_sweep(folder)
    elif (folder / "config.json").is_file():
        found = [load(folder)]
    else:
        found = list(scan(folder))
    if experiment is not None:
        found = [r for r in found if r.config.get("tracking", {}).get("experiment") == experiment]
    if not any(r.metric for r in found):
        which = f" of experiment {experiment!r}" if experiment else ""
        raise DataError(f"{folder} holds no finished run{which} to report. See ntkrun list.")
    return found


def _of_sweep(folder: Path) -> list[Run]:
    paths = []
    for job in outcomes(folder):
        named = job.get("run_folder")
        if named:  # the whole output_dir may have been moved
            moved = folder.parent.parent / "runs" / Path(named).name
            paths.append(moved if moved.is_dir() else Path(named))
    out = []
    for path in paths:
        try:
            out.append(load(path))
        except (DataError, IntegrityError) as error:
            log.warning("%s", error)
    return out


def sheets(runs: Iterable[Run]) -> list[Sheet]:
    """Return a sheet per data set and metric, its lines sorted by label and size."""
    groups: dict[tuple[str, str], list[Run]] = defaultdict(list)
    for run in runs:
        if run.metric:
            groups[run.result["dataset"], run.metric].append(run)
    return [_sheet(dataset, metric, mine) for (dataset, metric), mine in sorted(groups.items())]


def _sheet(dataset: str, metric: str, runs: list[Run]) -> Sheet:
    described = [description(run) for run in runs]
    keys = varying(described)
    lines: dict[str, list[tuple[dict[str, Any], Run]]] = defaultdict(list)
    for about, run in zip(described, runs, strict=True):
        varied = {k: about[k] for k in keys if k in about and k not in REPEATED}
        lines[repr(varied)].append((varied, run))
    out = []
    for members in lines.values():
        # of several runs of the same configuration, only the newest counts
        unique = {same_words(run.config): run for _, run in members}
        out.append(_line(members[0][0], list(unique.values()), metric))
    out.sort(key=lambda line: (line.label, line.dim))
    return Sheet(dataset, metric, [k for k in keys if k not in REPEATED], out)


def _line(varied: dict[str, Any], runs: list[Run], metric: str) -> Line:
    scores = [run.result[f"test/{metric}"] for run in runs]
    numbers = {}
    for key in NUMBERS:
        if values := [run.result[key] for run in runs if key in run.result]:
            numbers[key] = float(np.mean(values))
    spread = float(np.std(scores, ddof=1)) if len(scores) > 1 else 0.0
    return Line(varied, runs, float(np.mean(scores)), spread, numbers)


def description(run: Run) -> dict[str, Any]:
    """Return the parameters of a run that may distinguish it from others, each once.

    Copies of another key, such as method.n_components=${feature_dim}, and paths are left out.
    """
    top = {k: v for k, v in run.config.items() if not isinstance(v, dict) and k not in INCIDENTAL}
    out: dict[str, Any] = {"method": run.result["method"], **top}
    for section in ("method", "dataset", "solver"):
        for key, value in flatten(run.config.get(section, {})).items():
            if key in INCIDENTAL or key == "name" or out.get(LINKED.get(key, key)) == value:
                continue
            out[f"{section}.{key}"] = value
    if run.result.get("kind") == "kernel":
        del out["feature_dim"]  # its size is not a choice
    return out


def varying(described: list[dict[str, Any]]) -> list[str]:
    """Return the keys whose values differ between runs that have them, "method" first.

    A key does not vary by being absent in some methods.
    """
    keys = dict.fromkeys(k for about in described for k in about)
    return [k for k in keys if len({repr(about[k]) for about in described if k in about}) > 1]
