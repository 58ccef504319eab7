"""Estimate memory use before the run starts."""

from __future__ import annotations

from dataclasses import dataclass

from ntkrun import machine
from ntkrun.datasets.rows import memory
from ntkrun.errors import MachineError
from ntkrun.executors.base import Executor
from ntkrun.solvers.base import Solver
from ntkrun.stages.tasks import Task

# a process with torch and ntkrun but no data: measured 330 to 420 MiB
PROCESS_BYTES = 420 << 20


@dataclass(frozen=True)
class Plan:
    """Bytes that a run needs beyond what is loaded: in its own process, and in each worker process."""

    here: int
    worker: int

    def check(self, workers: int, sparse: bool = False) -> None:
        """Raise MachineError if the plan does not fit into memory; `workers` counts those on this machine.

        For sparse rows the message names the method that does not grow with their columns.
        """
        need, free = self.here + workers * self.worker, machine.available_memory()
        if free is not None and need > free:
            raise MachineError(
                f"The run needs about {need / 2**30:.1f} GiB and {free / 2**30:.1f} GiB are free. "
                "Lower feature_dim, shard_rows, dataset.n_train or executor.workers, or take "
                "solver=ridge_cg."
                + " Memory of method=ntk_sketch does not grow with the columns of the rows."
                * sparse
            )


def plan(task: Task, shard_rows: int, solver: Solver, executor: Executor) -> Plan:
    """Return the memory plan of a run; MachineError if it does not fit."""
    data = sum(memory(part.x) for part in (task.split.train, task.split.valid, task.split.test))
    # the program, the data set, a batch, a shard and its file
    worker = PROCESS_BYTES + data + task.batch_bytes() + task.weight_bytes() + 8 * task.largest(shard_rows)
    out = Plan(task.bytes(shard_rows, solver), worker)
    Plan(task.fit_bytes(), 0).check(0, task.split.sparse)
    out.check(executor.workers_here, task.split.sparse)
    return out
