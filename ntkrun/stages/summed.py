"""Stage 2 without a store: features are computed when they are read, group by group, and only summed."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from ntkrun.datasets.split import Role
from ntkrun.executors.base import Call, Executor
from ntkrun.executors.serial import Serial
from ntkrun.executors.shared import Shared
from ntkrun.stages import featurize
from ntkrun.stages.tasks import Piece, Task
from ntkrun.store import lock
from ntkrun.store.atomic import make_folder, remove_temporaries
from ntkrun.store.computed import Clock, Computed
from ntkrun.store.features import Features
from ntkrun.store.shards import content_key

# held-out and test features of at most so many bytes are stored: they are read several times, and a killed
# run then finds them by the shard
SMALL_BYTES = 256 << 20


class Rows(Computed):
    """Shards of a task, computed by an executor whenever they are read.

    Parameters
    ----------
    shared : Shared
        The task.
    folder : Path
    pieces : list of Piece
    executor : Executor
    """

    def __init__(self, shared: Shared, folder: Path, pieces: Sequence[Piece], executor: Executor):
        self.shared, self.folder, self.executor, self.clock = shared, folder, executor, Clock()
        self.receipts = {piece.name: piece for piece in pieces}

    def each(self, names: Sequence[str]) -> Iterator[tuple[Any, Any]]:
        """See Computed."""
        calls = [Call(name, (self.shared, self.receipts[name], self.executor.parallel)) for name in names]
        return self.clock.timed(self.executor.ordered(computed, calls))

    def only(self, names: Sequence[str]) -> Rows:
        """See Computed."""
        out = copy.copy(self)
        out.receipts = {name: self.receipts[name] for name in names}
        out.executor, out.clock = Serial(), Clock()
        return out


def computed(shared: Shared, piece: Piece, leaves: bool) -> tuple[Tensor, np.ndarray]:
    """Return features and labels of a piece; on the CPU if they leave this process."""
    task: Task = shared.value
    _, role, start, stop = piece
    z = task.compute(piece)
    return z.cpu() if leaves else z, task.split.part(role).labels(start, stop)


def small(task: Task, role: Role) -> bool:
    """Return whether the features of a role are stored although those of the training rows are not."""
    return role is not Role.TRAIN and task.feature_bytes(len(task.split.part(role))) <= SMALL_BYTES


@contextmanager
def opened(task: Task, root: Path, shard_rows: int, executor: Executor) -> Iterator[Features]:
    """Open the features of a fitted method without storing those of the training rows.

    While the context lasts, no other process works on their key. Few held-out or test rows are stored.
    """
    every = featurize.pieces(task.split, shard_rows)
    kept = [piece for piece in every if small(task, piece.role)]
    store, reused, seconds = None, 0, 0.0
    if kept:
        store, reused, seconds = featurize.stored(task, root, shard_rows, kept, executor)
    folder = root / content_key(featurize.spec_of(task, shard_rows))
    make_folder(folder)
    with lock.held(folder / ".lock", "output_dir"), Shared(task, folder) as shared:
        remove_temporaries(folder)
        if not executor.parallel:
            task.warm_up()
        rows = Rows(shared, folder, every, executor)
        stores = {role: store if store and small(task, role) else rows for role in Role}
        yield featurize.features_of(task, every, stores, reused, seconds)
        remove_temporaries(folder)  # left by lost workers
