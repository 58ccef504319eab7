"""Plan memory and disk before the work starts, and choose whether features are stored."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from ntkrun import machine
from ntkrun.datasets.split import Role
from ntkrun.errors import ConfigError, MachineError, must_be
from ntkrun.executors.base import Executor
from ntkrun.progress import size
from ntkrun.solvers.base import Solver
from ntkrun.stages import featurize, memory, summed
from ntkrun.stages.tasks import Task
from ntkrun.store.shards import ShardStore, content_key
from ntkrun.store.sums import FILES, sums_bytes

log = logging.getLogger(__name__)

SHARD_BYTES = 4096  # of a file of features, beside its rows


@dataclass(frozen=True)
class Disk:
    """What a run writes.

    Attributes
    ----------
    stored : bool
        Whether the features of the training rows are among it.
    must : bool
        Whether method or solver need them there.
    files : int
        Bytes of all features as files, without those that are there.
    write, free : int
        Bytes to write, and those that are free.
    """

    stored: bool
    must: bool
    files: int
    write: int
    free: int

    def check(self, root: Path) -> None:
        """Raise MachineError if the disk of `root` is too small."""
        if self.write > self.free:
            take = "Take features=summed, lower" if self.stored and not self.must else "Lower"
            raise MachineError(
                f"The run writes about {size(self.write)} to {root} and {size(self.free)} are free. "
                f"{take} feature_dim or choose another output_dir."
            )


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
    spec = featurize.spec_of(task, shard_rows)
    found = disk(wanted, task, root, shard_rows, solver, ShardStore(root / content_key(spec), spec).receipts)
    if wanted == "auto" and not found.stored:
        log.info(
            "features   summed: as files they take %s, and %s are free", size(found.files), size(found.free)
        )
    found.check(root)
    plan, have = memory.plan(task, shard_rows, solver, executor, found.stored), machine.available_memory()
    log.info(
        "plan       %s of memory (%s free), %s on the disk (%s free)",
        size(plan.total(executor.workers_here)),
        "unknown" if have is None else size(have),
        size(found.write),
        size(found.free),
    )
    return plan


def disk(
    wanted: str, task: Task, root: Path, shard_rows: int, solver: Solver, there: Collection[str]
) -> Disk:
    """Return what a run writes to `root`, where the shards with the names `there` are; no fit is needed."""
    must = task.rereads(solver) is not None
    files, free = stored_bytes(task, shard_rows, tuple(Role), there), free_bytes(root)
    if must or wanted == "stored" or (wanted == "auto" and files <= free):
        return Disk(True, must, files, files, free)
    few = [role for role in Role if summed.small(task, role)]
    sums = FILES * sums_bytes(task.columns, task.split.classes or 1)
    return Disk(False, must, files, stored_bytes(task, shard_rows, few, there) + sums, free)


def stored_bytes(task: Task, shard_rows: int, roles: Sequence[Role], there: Collection[str]) -> int:
    """Return the bytes of the shards of some roles that are not there yet."""
    missing = [p for p in featurize.pieces(task.split, shard_rows, roles) if p.name not in there]
    return sum(task.feature_bytes(p.rows) + 8 * p.rows + SHARD_BYTES for p in missing)


def free_bytes(folder: Path) -> int:
    """Return the free bytes of the disk that holds, or will hold, a folder."""
    return shutil.disk_usage(next(p for p in (folder, *folder.parents) if p.exists())).free
