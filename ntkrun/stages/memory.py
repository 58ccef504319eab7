"""Estimate memory use before the run starts."""

from __future__ import annotations

from dataclasses import dataclass

from ntkrun import machine
from ntkrun.datasets.rows import memory
from ntkrun.errors import MachineError
from ntkrun.executors.base import Executor
from ntkrun.progress import size
from ntkrun.solvers.base import Solver
from ntkrun.stages.tasks import Task

# a process with torch and ntkrun but no data: measured 330 to 420 MiB
PROCESS_BYTES = 420 << 20


@dataclass(frozen=True)
class Plan:
    """Bytes that a run needs beyond what is loaded: in its own process, and in each worker process."""

    here: int
    worker: int
    stored: bool = True

    def total(self, workers: int) -> int:
        """Return the bytes of this process and of so many workers."""
        return self.here + workers * self.worker

    def check(self, workers: int, sparse: bool = False) -> None:
        """Raise MachineError if the plan does not fit into memory; `workers` counts those on this machine.

        For sparse rows the message names the method that does not grow with their columns.
        """
        need, free = self.total(workers), machine.available_memory()
        if free is not None and need > free:
            other = "solver=ridge_cg" if self.stored else "features=stored with solver=ridge_cg"
            raise MachineError(
                f"The run needs about {size(need)} and {size(free)} are free. "
                f"Lower feature_dim, shard_rows, dataset.n_train or executor.workers, or take {other}."
                + " Memory of method=ntk_sketch does not grow with the columns of the rows."
                * sparse
            )


def plan(task: Task, shard_rows: int, solver: Solver, executor: Executor, stored: bool = True) -> Plan:
    """Return the memory plan of a run with stored or summed features; MachineError if it does not fit."""
    out = needs(task, shard_rows, solver, executor, stored)
    Plan(task.fit_bytes(), 0).check(0, task.split.sparse)
    out.check(executor.workers_here, task.split.sparse)
    return out


def needs(task: Task, shard_rows: int, solver: Solver, executor: Executor, stored: bool = True) -> Plan:
    """Return the same plan without a check."""
    split = task.split
    data = sum(memory(part.x) for part in (split.train, split.valid, split.test))
    # the program, the data set, a batch, a shard and its file
    worker = PROCESS_BYTES + data + task.batch_bytes() + task.weight_bytes() + 8 * task.largest(shard_rows)
    here = task.bytes(shard_rows, solver, stored)
    if not stored and executor.parallel:
        # a group's sums, these as they are sent, and a shard in float64; here those that wait for their turn
        group = solver.group_bytes(task.columns, task.dtype)
        worker += 2 * group + 12 * task.largest(shard_rows)
        if executor.merges:  # all sums, as they were and as they become
            worker += 16 * task.columns**2
        here += executor.workers_here * group
    return Plan(here, worker, stored)
