"""Collect runs into tables of their varying parameters and means over seeds."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ntkrun.errors import DataError, IntegrityError
from ntkrun.progress import human
from ntkrun.store.runs import INCIDENTAL, LINKED, Run, flatten, load, same_words, scan, varying
from ntkrun.store.sweep_folder import outcomes

log = logging.getLogger(__name__)

# runs that differ only in these are repetitions
REPEATED = ("seed", "dataset.fold")
# keys that change neither the score nor the time of a run
ASIDE = (*INCIDENTAL, "baseline", "study", "study_size")
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
    """All seeds of one configuration: its varying parameters, and means over its runs.

    `score` and `spread` are mean and standard deviation of the test score, `valid` and `valid_spread` those
    of the score on held-out training rows; `valid` is None if a run does not record it.
    """

    varied: dict[str, Any]
    runs: list[Run]
    score: float
    spread: float
    numbers: dict[str, float]
    valid: float | None = None
    valid_spread: float = 0.0

    @property
    def dim(self) -> int:
        """Number of features."""
        return int(self.runs[0].result["feature_dim"])

    @property
    def n_train(self) -> int:
        """Number of training rows, the held-out ones included."""
        return int(self.runs[0].result["n_train"])

    @property
    def exact(self) -> bool:
        """Whether this is a kernel method, whose size is the number of training rows."""
        return self.runs[0].result.get("kind") == "kernel"

    @property
    def shown_score(self) -> str:
        """Mean score, with its spread if there are several runs."""
        return with_spread(self.score, self.spread, len(self.runs))

    @property
    def shown_times(self) -> list[str]:
        """Times to featurize, to solve and in total, in readable units."""
        return [took(self.numbers[f"time/{phase}_s"]) for phase in ("featurize", "solve", "total")]

    @property
    def label(self) -> str:
        """Name of the curve through lines that differ only in size."""
        return self.called("feature_dim")

    def called(self, *besides: str) -> str:
        """Return the method and the varying parameters, without those in `besides`."""
        words = [
            f"{short(k)} {v}" for k, v in self.varied.items() if k not in ("method", "feature_dim", *besides)
        ]
        if "feature_dim" in self.varied and "feature_dim" not in besides:
            words.insert(0, f"{self.dim} columns")
        return ", ".join([str(self.runs[0].result["method"]), *words])


@dataclass(frozen=True)
class Baseline:
    """Exact kernel that runs of other methods were compared with; `score` is None if extrapolated."""

    methods: list[str]
    varied: dict[str, Any]
    n_train: int
    n_test: int
    score: float | None
    seconds: float
    kind: str
    runs: int


@dataclass(frozen=True)
class Sheet:
    """Lines of one data set and metric."""

    dataset: str
    metric: str
    keys: list[str]
    lines: list[Line] = field(default_factory=list)
    baselines: list[Baseline] = field(default_factory=list)

    @property
    def higher_is_better(self) -> bool:
        """Whether the metric is accuracy rather than an error."""
        return self.metric == "accuracy"

    @cached_property
    def ranked(self) -> list[Line]:
        """Lines with a score on held-out training rows, the best first; the test score has no say."""
        sign = -1 if self.higher_is_better else 1
        found = [(sign * line.valid, i) for i, line in enumerate(self.lines) if line.valid is not None]
        return [self.lines[i] for _, i in sorted(found)]


def short(key: str) -> str:
    """Return a key without its section."""
    return key.removeprefix("method.").removeprefix("dataset.").removeprefix("solver.")


def took(seconds: float) -> str:
    """Return a duration in a readable unit, with two digits below a second."""
    return human(seconds) if seconds >= 1 else f"{float(f'{seconds:.2g}'):g} s"


def with_spread(mean: float, spread: float, runs: int) -> str:
    """Return a mean, with its standard deviation if there are several runs."""
    return f"{mean:.4f}" + (f" ± {spread:.4f}" if runs > 1 else "")


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
    keys = [key for key in varying(described) if key not in REPEATED]
    lines: dict[str, list[tuple[dict[str, Any], Run]]] = defaultdict(list)
    for about, run in zip(described, runs, strict=True):
        varied = {k: about[k] for k in keys if k in about}
        lines[repr(varied)].append((varied, run))
    out = []
    for members in lines.values():
        # of several runs of the same configuration, only the newest counts
        unique = {
            same_words({k: v for k, v in run.config.items() if k not in ASIDE}): run for _, run in members
        }
        out.append(_line(members[0][0], list(unique.values()), metric))
    out.sort(key=lambda line: (line.label, line.dim))
    return Sheet(dataset, metric, keys, out, _baselines(out, described, runs, metric, keys))


def _line(varied: dict[str, Any], runs: list[Run], metric: str) -> Line:
    numbers = {}
    for key in NUMBERS:
        if values := [run.result[key] for run in runs if key in run.result]:
            numbers[key] = float(np.mean(values))
    score, spread = _mean([run.result[f"test/{metric}"] for run in runs])
    held = [run.result[key] for run in runs if (key := f"valid/{metric}") in run.result]
    valid, valid_spread = _mean(held) if len(held) == len(runs) else (None, 0.0)
    return Line(varied, runs, score, spread, numbers, valid, valid_spread)


def _mean(values: list[float]) -> tuple[float, float]:
    """Return mean and standard deviation, 0 of a single value."""
    return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else 0.0


def _baselines(
    lines: list[Line], described: list[dict[str, Any]], runs: list[Run], metric: str, keys: list[str]
) -> list[Baseline]:
    """Return the exact kernels of the runs, without those that have a line of their own.

    Two runs have the same one if both measured the same score; extrapolated ones have none, so the method
    tells them apart.
    """
    known = {(line.n_train, line.score) for line in lines if line.exact}
    groups: dict[tuple[Any, ...], list[int]] = defaultdict(list)
    for i, run in enumerate(runs):
        if "exact/time_s" in run.result:
            score, n = run.result.get(f"exact/{metric}"), run.result["n_train"]
            if (n, score) not in known:
                groups[(n, score) if score is not None else (n, run.result["method"], "")].append(i)
    out = []
    for members in groups.values():
        results = [runs[i].result for i in members]
        common = {}
        for key in keys:
            values = {repr(described[i].get(key)): described[i].get(key) for i in members}
            if key not in ("method", "feature_dim") and len(values) == 1:
                common[key] = next(iter(values.values()))
        methods = sorted({result["method"] for result in results})
        seconds, _ = _mean([result["exact/time_s"] for result in results])
        first = results[0]
        sizes = first["n_train"], first["n_test"]
        score, kind = first.get(f"exact/{metric}"), str(first.get("exact/time_kind", ""))
        out.append(Baseline(methods, common, *sizes, score, seconds, kind, len(members)))
    return out


def description(run: Run) -> dict[str, Any]:
    """Return the parameters of a run that may distinguish it from others, each once.

    Copies of another key, such as method.n_components=${feature_dim}, and paths are left out.
    """
    top = {k: v for k, v in run.config.items() if not isinstance(v, dict) and k not in ASIDE}
    out: dict[str, Any] = {"method": run.result["method"], **top}
    for section in ("method", "dataset", "solver"):
        for key, value in flatten(run.config.get(section, {})).items():
            top_key = LINKED.get(key, key)
            if key in INCIDENTAL or key == "name" or (top_key in out and out[top_key] == value):
                continue
            out[f"{section}.{key}"] = value
    if run.result.get("kind") == "kernel":
        del out["feature_dim"]  # its size is not a choice
    return out
