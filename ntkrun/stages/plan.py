"""Plan memory and disk before the work starts, and choose whether features are stored."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Sequence
from pathlib import Path

from ntkrun import machine
from ntkrun.datasets.split import Role
from ntkrun.errors import ConfigError, MachineError, must_be
from ntkrun.executors.base import Executor
from ntkrun.solvers.base import Solver
from ntkrun.stages import featurize, memory, summed
from ntkrun.stages.tasks import Task
from ntkrun.store.shards import ShardStore, content_key
from ntkrun.store.sums import FILES, sums_bytes

log = logging.getLogger(__name__)

SHARD_BYTES = 4096  # of a file of features, beside its rows


def check(wanted: str, task: Task, solver: Solver) -> None:
    """Raise ConfigError if features are to be summed and the method or the solver needs stored ones."""
    if wanted == "summed" and (must := task.rereads(solver)):
        raise ConfigError(must_be("features", "ntkrun", f"stored for {must[0]}", wanted, must[1]))


def complete(
    wanted: str, task: Task, root: Path, shard_rows: int, solver: Solver, executor: Executor
) -> memory.Plan:
    """Return the plan of a run whose method is fitted, and say it in one line.

    Parameters
    ----------
    wanted : {"stored", "summed", "auto"}
        "auto" is "summed" if stored features would not fit on the disk.
    root : Path
        Folder of all features.

    Raises ConfigError if the features must be stored, MachineError if memory or disk are too small.
    """
    check(wanted, task, solver)
    must = task.rereads(solver) is not None
    need, free = stored_bytes(task, root, shard_rows, tuple(Role)), free_bytes(root)
    stored = must or wanted == "stored" or (wanted == "auto" and need <= free)
    if not stored:
        if wanted == "auto":
            log.info("features   summed: as files they take %s, and %s are free", size(need), size(free))
        few = [role for role in Role if summed.small(task, role)]
        need = stored_bytes(task, root, shard_rows, few)
        need += FILES * sums_bytes(task.columns, task.split.classes or 1)
    if need > free:
        take = "Take features=summed, lower" if stored and not must else "Lower"
        raise MachineError(
            f"The run writes about {size(need)} to {root} and {size(free)} are free. "
            f"{take} feature_dim or choose another output_dir."
        )
    plan, have = memory.plan(task, shard_rows, solver, executor, stored), machine.available_memory()
    log.info(
        "plan       %s of memory (%s free), %s on the disk (%s free)",
        size(plan.here + executor.workers_here * plan.worker),
        "unknown" if have is None else size(have),
        size(need),
        size(free),
    )
    return plan


def stored_bytes(task: Task, root: Path, shard_rows: int, roles: Sequence[Role]) -> int:
    """Return the bytes of the shards of some roles that are not there yet."""
    spec = featurize.spec_of(task, shard_rows)
    there = ShardStore(root / content_key(spec), spec).receipts
    missing = [p for p in featurize.pieces(task.split, shard_rows, roles) if p.name not in there]
    return sum(task.feature_bytes(p.rows) + 8 * p.rows + SHARD_BYTES for p in missing)


def free_bytes(folder: Path) -> int:
    """Return the free bytes of the disk that holds, or will hold, a folder."""
    return shutil.disk_usage(next(p for p in (folder, *folder.parents) if p.exists())).free


def size(count: float) -> str:
    """Return a number of bytes in GiB, or in MiB if that is less than one."""
    return f"{count / 2**30:,.1f} GiB" if count >= 1 << 30 else f"{count / 2**20:,.1f} MiB"
