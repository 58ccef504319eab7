"""Stage 2: compute shards of features or kernel values, and reuse existing ones."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ntkrun.datasets.split import Role, Split
from ntkrun.executors.base import Call, Executor
from ntkrun.executors.serial import Serial
from ntkrun.executors.shared import Shared
from ntkrun.maths.method.base import Method
from ntkrun.progress import progress
from ntkrun.solvers.ridge import Ridge
from ntkrun.stages import memory
from ntkrun.stages.tasks import Piece, Task, task_of
from ntkrun.store import lock, manifest
from ntkrun.store.atomic import make_folder, remove_temporaries
from ntkrun.store.computed import Computed
from ntkrun.store.features import Features, Test, Train, Valid
from ntkrun.store.shards import Receipt, ShardStore, content_key, write_shard

log = logging.getLogger(__name__)


def pieces(split: Split, shard_rows: int, roles: Sequence[Role] = tuple(Role)) -> list[Piece]:
    """Return the pieces of the parts in order, one per shard."""
    out = []
    shard_rows = max(1, shard_rows // split.views) * split.views  # keeps the views of an example together
    for role in roles:
        n = len(split.part(role))
        count = -(-n // shard_rows)
        out += [
            Piece(f"{role}-{i:05d}-of-{count:05d}.h5", role, i * shard_rows, min(n, (i + 1) * shard_rows))
            for i in range(count)
        ]
    return out


def run(split: Split, method: Method, root: Path, shard_rows: int) -> Features:
    """Fit the method and compute its shards in this process; MachineError if memory is too small."""
    task = task_of(split, method)
    memory.plan(task, shard_rows, Ridge(), Serial())
    task.fit()
    return compute(task, root, shard_rows, Serial())


def spec_of(task: Task, shard_rows: int) -> dict[str, Any]:
    """Return everything that determines the stored features of a fitted method."""
    spec = _unfitted(task, shard_rows)
    return spec | {"fitted": task.fitted_sha256} if task.fitted_sha256 else spec


def _unfitted(task: Task, shard_rows: int) -> dict[str, Any]:
    """Return what is known of it before the fit."""
    spec = {"identity": task.method.identity(), "data": task.split.sha256, "shard_rows": shard_rows}
    return spec | {"features_dtype": task.features_dtype} if task.features_dtype else spec


def found(task: Task, root: Path, shard_rows: int) -> ShardStore | None:
    """Return the features of a method that is not fitted yet; None if it adapts to the rows and has none.

    The fit of a method that adapts is part of the key, but it repeats: features of the same method, data and
    seed are looked for. If there are several (another machine may round otherwise), the last used counts.
    """
    spec = _unfitted(task, shard_rows)
    if not task.method.adapts:
        return ShardStore(root / content_key(spec), spec)
    key, same = content_key(spec), []
    for path in root.glob(f"*/{manifest.NAME}"):
        known = manifest.first(path).get("spec", {})
        if content_key({k: v for k, v in known.items() if k != "fitted"}) == key:
            same.append(path.parent)
    last = max(same, key=lambda folder: folder.stat().st_mtime, default=None)
    return None if last is None else ShardStore(last, {})


def compute(task: Task, root: Path, shard_rows: int, executor: Executor) -> Features:
    """Compute every missing shard, and return all of them."""
    every = pieces(task.split, shard_rows)
    store, reused, seconds = stored(task, root, shard_rows, every, executor)
    return features_of(task, every, dict.fromkeys(Role, store), reused, seconds)


def features_of(
    task: Task, every: list[Piece], stores: Mapping[Role, ShardStore | Computed], reused: int, seconds: float
) -> Features:
    """Return the shards by role, each role's from its store."""
    split = task.split
    form = (task.device, task.columns, split.views, split.classes)
    names = {role: [piece.name for piece in every if piece.role is role] for role in Role}
    train = Train(stores[Role.TRAIN], names[Role.TRAIN], *form)
    valid = Valid(stores[Role.VALID], names[Role.VALID], *form)
    test = Test(stores[Role.TEST], names[Role.TEST], *form)
    return Features(train, valid, test, reused, task.fit_seconds + seconds)


def stored(
    task: Task, root: Path, shard_rows: int, every: list[Piece], executor: Executor
) -> tuple[ShardStore, int, float]:
    """Compute the missing shards among some; return the store, the number that was there, and the seconds.

    Only one process works on a key at a time; others wait and then find the work done. The next run checks
    and keeps the finished shards of a killed run.
    """
    spec = spec_of(task, shard_rows)
    folder = root / content_key(spec)
    make_folder(folder)
    with lock.held(folder / ".lock", "output_dir"):
        remove_temporaries(folder)
        store = ShardStore(folder, spec)
        known = [piece for piece in every if piece.name in store.receipts]
        todo = [piece for piece in every if piece not in known or not store.valid(piece.name)]
        damaged = [piece.name for piece in todo if piece in known]
        if damaged:
            log.warning(
                "%d damaged or missing shards are computed again: %s", len(damaged), ", ".join(damaged)
            )
        reused = len(every) - len(todo)
        if reused:
            log.info("%s %d of %d shards reused from %s", task.title, reused, len(every), folder)
        if todo:
            _compute(task, store, todo, executor)
        elif store.damaged:  # a line that is no shard's, which `add` would have left out
            store.rewrite()
    seconds = sum(store.receipts[piece.name].seconds for piece in every)
    units = sum(map(task.units, every))
    log.info("%s %d %s in %.1f s%s", task.title, units, task.unit, seconds, "" if todo else " (earlier)")
    return store, reused, seconds


def _compute(task: Task, store: ShardStore, todo: list[Piece], executor: Executor) -> None:
    """Compute shards, and add each to the store once it is written."""
    if not executor.parallel:
        task.warm_up()
    units = {piece.name: task.units(piece) for piece in todo}
    with (
        progress(task.title, sum(units.values()), task.unit) as advance,
        Shared(task, store.folder) as shared,
    ):
        begin = time.perf_counter()
        calls = [Call(piece.name, (shared, store.folder, piece)) for piece in todo]
        for _, receipt in executor.run(shard, calls):
            if executor.parallel:  # time that workers spend side by side counts once
                begin, last = time.perf_counter(), begin
                receipt = replace(receipt, seconds=begin - last)
            store.add(receipt)
            advance(units[receipt.name])
        store.flush()
    if executor.parallel:
        remove_temporaries(store.folder)  # left by lost workers


def shard(shared: Shared, folder: Path, piece: Piece) -> Receipt:
    """Compute one shard and write its file; executors call this."""
    task: Task = shared.value
    begin = time.perf_counter()
    features = task.compute(piece)
    seconds = time.perf_counter() - begin
    name, role, start, stop = piece
    labels = task.split.part(role).labels(start, stop)
    return write_shard(
        folder, name, role, start, features.cpu().numpy(), labels, seconds, task.features_dtype
    )
