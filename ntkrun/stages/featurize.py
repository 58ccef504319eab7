"""Stage 2: turn rows into shards of features (or of kernel values), reusing what is there."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from ntkrun.datasets.split import Split
from ntkrun.errors import DataError, must_be
from ntkrun.executor.base import Executor, Serial
from ntkrun.executor.shared import Shared
from ntkrun.maths.layout import image_shape
from ntkrun.maths.method.base import Method, torch_device
from ntkrun.maths.method.images import ImageMethod
from ntkrun.progress import progress
from ntkrun.stages import memory
from ntkrun.stages.solver import Ridge
from ntkrun.stages.work import Kernel, Rows
from ntkrun.store import lock
from ntkrun.store.atomic import make_folder, remove_temporaries
from ntkrun.store.shards import Receipt, ShardStore, content_key, write_shard

log = logging.getLogger(__name__)
PARTS = ("train", "valid", "test")
GROUPS = 256


@dataclass(frozen=True)
class Features:
    """The finished shards of a run, their rows `columns` wide.

    `views` consecutive rows belong to one example; `seconds` counts computing, also when it was done in an
    earlier run.
    """

    store: ShardStore
    names: dict[str, list[str]]
    device: torch.device
    columns: int
    views: int
    reused: int
    seconds: float

    def groups(self, part: str) -> list[list[str]]:
        """Return a part's shards in groups, the same for any executor.

        A group has at least as many rows as columns, so that its sums are worth their size, and there are at
        most GROUPS, so that whoever adds them up does not have to read as much as all features.
        """
        receipts = [self.store.receipts[name] for name in self.names[part]]
        most = max(self.columns, sum(r.stop - r.start for r in receipts) // GROUPS)
        out, rows = list[list[str]](), most
        for receipt in receipts:
            if rows >= most:
                rows = 0
                out.append([])
            out[-1].append(receipt.name)
            rows += receipt.stop - receipt.start
        return out

    def only(self, names: list[str]) -> Features:
        """Return some of the shards as if they were all, in the train part."""
        return replace(self, store=self.store.only(names), names={"train": names})

    def batches(self, *parts: str) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield (features, labels) shard by shard, in order, each checked before use.

        The next one is read and checked while this one is worked on.
        """
        names = [name for part in parts for name in self.names[part]]
        with ThreadPoolExecutor(1) as reader:
            ahead = reader.submit(self.store.read, names[0])
            for following in [*names[1:], None]:
                x, y = ahead.result()
                if following is not None:
                    ahead = reader.submit(self.store.read, following)
                yield torch.from_numpy(x).to(self.device), torch.from_numpy(y).to(self.device)

    def seconds_of(self, *parts: str) -> float:
        """Return the computing time of some parts."""
        return sum(self.store.receipts[n].seconds for p in parts for n in self.names[p])


def plan(split: Split, shard_rows: int) -> list[tuple[str, str, int, int]]:
    """Return (name, part, start, stop) of every shard."""
    out = []
    shard_rows = max(1, shard_rows // split.views) * split.views  # the views of an example stay together
    for part in PARTS:
        n = len(getattr(split, part))
        count = -(-n // shard_rows)
        out += [
            (f"{part}-{i:05d}-of-{count:05d}.h5", part, i * shard_rows, min(n, (i + 1) * shard_rows))
            for i in range(count)
        ]
    return out


def run(split: Split, method: Method, root: Path, shard_rows: int) -> Features:
    """Fit the method and compute its shards here: `prepare`, then `compute`."""
    return compute(prepare(split, method, shard_rows, Ridge(), Serial()), root, shard_rows, Serial())


def prepare(
    split: Split, method: Method, shard_rows: int, solver: Ridge, executor: Executor
) -> Rows | Kernel:
    """Return the work with its method fitted; an error here has not left anything behind."""
    if isinstance(method, ImageMethod):
        _images(split, method)
    memory.check(split, method, shard_rows, solver, executor)
    return Kernel(split, method) if method.kind == "kernel" else Rows(split, method)


def _images(split: Split, method: ImageMethod) -> None:
    """Tell the method that a data set's images are channels-last; DataError where there are none."""
    shape, me = split.train.x.shape[1:], type(method).__name__
    if len(shape) == 1 and method.image_shape is not None:
        return
    image_shape(shape, "channels_last", me, "X")
    if method.layout == "channels_first":
        remedy = "Type dataset.layout=channels_first for a file of channels-first images."
        raise DataError(must_be("layout", me, "null for a data set of images", method.layout, remedy))
    method.layout = "channels_last"


def compute(work: Rows | Kernel, root: Path, shard_rows: int, executor: Executor) -> Features:
    """Compute every shard that is not there yet, and return them all.

    Only one process works on a key at a time; another one waits and then finds the work done. A killed
    run leaves its finished shards, which the next run checks and keeps.
    """
    split, method = work.split, work.method
    spec = {"identity": method.identity(), "data": split.sha256, "shard_rows": shard_rows}
    if fitted := method.fitted():
        spec["fitted"] = _digest(fitted)
    folder = root / content_key(spec)
    shards = plan(split, shard_rows)
    make_folder(folder)
    with lock.held(folder / ".lock", "output_dir"):
        remove_temporaries(folder)
        store = ShardStore(folder, spec)
        known = [name for name, *_ in shards if name in store.receipts]
        todo = [shard for shard in shards if shard[0] not in known or not store.valid(shard[0])]
        damaged = [shard[0] for shard in todo if shard[0] in known]
        if damaged:
            log.warning(
                "%d damaged or missing shards are computed again: %s", len(damaged), ", ".join(damaged)
            )
        reused = len(shards) - len(todo)
        if reused:
            log.info("%s %d of %d shards reused from %s", work.title, reused, len(shards), folder)
        if todo:
            _compute(work, store, todo, executor)
    names = {part: [s[0] for s in shards if s[1] == part] for part in PARTS}
    total = sum(store.receipts[s[0]].seconds for s in shards)
    device = torch_device(method.device)
    units = sum(work.units(*s[1:]) for s in shards)
    log.info("%s %d %s in %.1f s%s", work.title, units, work.unit, total, "" if todo else " (earlier)")
    return Features(store, names, device, method.columns, split.views, reused, work.fit_seconds + total)


def _compute(
    work: Rows | Kernel, store: ShardStore, todo: list[tuple[str, str, int, int]], executor: Executor
) -> None:
    """Compute some shards; the store believes each as soon as it is written."""
    if not executor.parallel:
        work.warm_up()
    units = {name: work.units(part, start, stop) for name, part, start, stop in todo}
    with (
        progress(work.title, sum(units.values()), work.unit) as advance,
        Shared(work, store.folder) as shared,
    ):
        begin = time.perf_counter()
        for _, receipt in executor.run(shard, [(name, shared, store.folder, *rest) for name, *rest in todo]):
            if executor.parallel:  # what the workers spent side by side counts once
                begin, last = time.perf_counter(), begin
                receipt = replace(receipt, seconds=begin - last)
            store.add(receipt)
            advance(units[receipt.name])
    if executor.parallel:
        remove_temporaries(store.folder)  # of lost workers


def shard(name: str, work: Shared, folder: Path, part: str, start: int, stop: int) -> Receipt:
    """Compute one shard and write its file: the task of an executor."""
    begin = time.perf_counter()
    features = work.value(part, start, stop)
    seconds = time.perf_counter() - begin
    labels = work.value.split.labels(part)[start:stop].numpy()
    return write_shard(folder, name, part, start, features.cpu().numpy(), labels, seconds)


def _digest(tensors: list[Tensor]) -> str:
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
