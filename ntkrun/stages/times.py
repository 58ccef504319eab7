"""Estimate the time of a run from finished runs in the same output folder."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from ntkrun import machine
from ntkrun.datasets.split import Role, Split
from ntkrun.maths.method import METHODS
from ntkrun.maths.method.base import Method
from ntkrun.maths.method.kernel import KernelMethod
from ntkrun.solvers.base import Solver
from ntkrun.stages import baseline, rate
from ntkrun.stages.tasks import Task
from ntkrun.store.runs import Run, metric_of

SAME = 1.01  # ratio up to which two amounts of work count as the same
# arguments of a method that its speed is not compared by: the columns are scaled
SCALED = ("n_components", "random_state", "device")


@dataclass(frozen=True)
class Guess:
    """Seconds, None if nothing was measured, and where they come from."""

    seconds: float | None
    source: str = "not measured yet"


@dataclass(frozen=True)
class Seen:
    """What one run took: columns, amount of work in any unit, seconds."""

    columns: int
    amount: float
    seconds: float


def guess(seen: Sequence[Seen], columns: int, amount: float, what: str) -> Guess:
    """Return the time for an amount of work from the runs that are most like it, by columns, then by amount.

    Their median time per unit of work counts. If the work is not the same, the time is scaled and called
    estimated.
    """
    if not seen:
        return Guess(None)
    wide = min((one.columns for one in seen), key=lambda other: _apart(other, columns))
    alike = [one for one in seen if one.columns == wide]
    nearest = min(_apart(one.amount, amount) for one in alike)
    limit = max(nearest, math.log(SAME)) + 1e-9
    alike = [one for one in alike if _apart(one.amount, amount) <= limit]
    seconds = amount * median(one.seconds / one.amount for one in alike)
    same = wide == columns and nearest <= math.log(SAME)
    runs = f"{_runs(len(alike))} of {what} at {wide:,} columns"
    scaled = "" if same else "estimated "
    size = ", scaled by size," if not same and wide == columns else ""
    return Guess(seconds, f"{scaled}from {runs}{size} on this machine")


def _runs(count: int) -> str:
    return f"{count} earlier run{'s' * (count != 1)}"


def _apart(a: float, b: float) -> float:
    """Return how far two positive numbers are apart, in the logarithm."""
    return abs(math.log(max(a, 1e-300) / max(b, 1e-300)))


def comparable(runs: Sequence[Run], record: dict[str, Any]) -> list[Run]:
    """Return the finished runs on a machine like this one, with the executor and device of a configuration.

    Runs beside which other programs kept a quarter of the cores busy count only if there are no others.
    """
    here = machine.here()
    alike = [
        run
        for run in runs
        if metric_of(run.result)
        and all(run.environment.get(key) == here[key] for key in ("cpu", "cores", "threads"))
        and all(run.config.get(key) == record.get(key) for key in ("executor", "device"))
    ]
    quiet = [run for run in alike if run.result.get("machine/load_beside", 0) <= machine.cores() / 4]
    return quiet or alike


class Times:
    """Times of the stages of a planned run.

    Parameters
    ----------
    runs : sequence of Run
        Comparable ones, see `comparable`.
    record : dict
        Configuration of the planned run.
    task : Task
        Its work; the method need not be fitted.
    stored : bool
        Whether its features are stored.
    """

    def __init__(self, runs: Sequence[Run], record: dict[str, Any], task: Task, stored: bool):
        kept = "stored" if stored else "summed"
        self.task, self.record = task, record
        self.runs = [
            run
            for run in runs
            if run.result.get("kind") == task.kind and run.result.get("cache/features", "stored") == kept
        ]
        self.same = [run for run in self.runs if self._same_work(run)]

    def featurize(self, missing: float) -> Guess:
        """Return the time to compute a share of the features, the fit included."""
        if not missing:
            return Guess(0.0, "all of them are there")
        task, units = self.task, _units(self.task.kind, *_sizes(self.task.split))
        per_column = task.columns if task.kind == "features" else 1
        seen = self._seen(
            self.same,
            "time/featurize_s",
            lambda n, test, m: _units(task.kind, n, test) * (m if task.kind == "features" else 1),
        )
        found = guess(seen, task.columns, units * per_column, task.method.name)
        return found if found.seconds is None else Guess(missing * found.seconds, found.source)

    def solve(self, solver: Solver) -> Guess:
        """Return the time to solve; it depends on the features' number only."""
        runs = [run for run in self.runs if run.config.get("solver") == self.record["solver"]]

        def amount(n: int, test: int, m: int) -> float:
            return float(n) ** 3 if self.task.kind == "kernel" else solver.operations(n, m)

        n, test = _sizes(self.task.split)
        seen = self._seen(runs, "time/solve_s", amount)
        return guess(seen, self.task.columns, amount(n, test, self.task.columns), f"solver={solver.name}")

    def predict(self) -> Guess:
        """Return the time to predict the test rows."""
        _, test = _sizes(self.task.split)
        seen = self._seen(self.runs, "time/predict_s", lambda n, test, m: float(test) * m)
        return guess(seen, self.task.columns, float(test) * self.task.columns, "any method")

    def exact(self, wanted: str, reference: KernelMethod, folder: Path) -> tuple[bool | None, Guess]:
        """Return whether the exact kernel would be run in full, None if not known, and its time in full.

        Its rate is the one that earlier runs have kept in `folder`; else that in their results, which may be
        too low, since a run stops timing when it knows that the kernel is quick.
        """
        key, split = "exact/entries_per_s", self.task.split
        rates = [float(run.result[key]) for run in self.same if key in run.result]
        found, source = rate.kept(split, reference, folder), "measured by an earlier run on this machine"
        if found:
            rates = [found.entries_per_s]
        elif rates:
            source = f"in {_runs(len(rates))} of {self.task.method.name} on this machine"
        else:
            return {"exact": True, "estimate": False}.get(wanted), Guess(None)
        whole = rate.entries_of(split) / median(rates)
        source = f"estimated from {median(rates):,.0f} entries per second, {source}"
        return baseline.in_full(wanted, whole), Guess(whole, source)

    def _seen(self, runs: Sequence[Run], key: str, amount: Callable[[int, int, int], float]) -> list[Seen]:
        """Return what runs took; `amount` is the work for training rows, test rows and columns."""
        out = []
        for run in runs:
            result, views = run.result, _views(run.config)
            sizes = int(result["n_train"]), views * int(result["n_test"]), int(result["feature_dim"])
            if key in result:
                out.append(Seen(sizes[2], amount(*sizes), float(result[key])))
        return out

    def _same_work(self, run: Run) -> bool:
        """Return whether a run's method and data set are those of the plan, up to size and seed."""
        method, data = self.task.method, self.task.split
        if (run.result.get("method"), run.result.get("dataset")) != (method.name, data.name):
            return False
        ours, theirs = (arguments(method, config) for config in (self.record, run.config))
        return ours == theirs and _views(self.record) == _views(run.config)


def arguments(method: Method, config: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of a method in a configuration, without those that its speed is scaled by."""
    given = config.get("method") or {}
    default = METHODS.get(method.name)().get_params(deep=False)
    return {key: given.get(key, value) for key, value in default.items() if key not in SCALED}


def _sizes(split: Split) -> tuple[int, int]:
    """Return the number of training rows and of test rows, mirror images included."""
    return split.n_train, len(split.part(Role.TEST))


def _units(kind: str, n: int, test: int) -> float:
    """Return the rows to compute, or the kernel's entries."""
    return float(rate.entries(n, test) if kind == "kernel" else n + test)


def _views(config: dict[str, Any]) -> int:
    return 2 if (config.get("dataset") or {}).get("augment") == "flip" else 1
