"""What a run will need of the memory, said before it starts."""

from __future__ import annotations

from ntkrun import machine
from ntkrun.datasets.split import Split
from ntkrun.errors import MachineError
from ntkrun.executor.base import Executor
from ntkrun.maths.method.base import BATCH_BYTES, Method
from ntkrun.stages.solver import Ridge

# a process with torch and ntkrun loaded, before it has any data: measured 330 to 420 MiB
PROCESS_BYTES = 420 << 20


def check(split: Split, method: Method, shard_rows: int, solver: Ridge, executor: Executor) -> None:
    """Raise MachineError before any work if the plan does not fit into memory."""
    need, free = plan(split, method, shard_rows, solver), machine.available_memory()
    need += executor.workers_here * worker(split, method, shard_rows)
    if free is not None and need > free:
        raise MachineError(
            f"The run needs about {need / 2**30:.1f} GiB and {free / 2**30:.1f} GiB are free. "
            "Lower feature_dim, shard_rows, dataset.n_train or executor.workers, or take solver=ridge_cg."
        )


def plan(split: Split, method: Method, shard_rows: int, solver: Ridge) -> int:
    """Return the bytes the run will need in its own process beyond what is loaded: batch, shard, solver."""
    if method.kind == "kernel":
        # Gram matrix as assembled, centred, shifted and factored, in float64
        return 5 * 8 * split.n_train**2
    m = _columns(split, method)
    shard = _rows(split, shard_rows) * m
    # the shard, and its file, twice while it is written
    featurize = _batch(split, method) + 12 * shard
    # the shard in both precisions; file and shard of the next
    regress = solver.bytes(m, split.classes or 1) + 20 * shard
    return max(featurize, regress)


def worker(split: Split, method: Method, shard_rows: int) -> int:
    """Return the bytes of one worker process: the program, the data set, a batch, a shard and its file."""
    data = sum(part.x.nbytes for part in (split.train, split.valid, split.test))
    shard = _rows(split, shard_rows) * _columns(split, method)
    return PROCESS_BYTES + data + _batch(split, method) + 8 * shard


def _rows(split: Split, shard_rows: int) -> int:
    """Return the rows of the largest shard."""
    return min(shard_rows, max(len(part) for part in (split.train, split.valid, split.test)))


def _batch(split: Split, method: Method) -> int:
    return max(BATCH_BYTES, method.bytes_per_row(method.shape_of(split.train.x.shape[1:])))


def _columns(split: Split, method: Method) -> int:
    return split.n_train if method.kind == "kernel" else method.columns_for(split.train.x.shape[1:])
