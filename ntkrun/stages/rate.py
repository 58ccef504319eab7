"""Measure how fast the exact kernel is, for as long as it takes to tell, and keep the rate for later runs."""

from __future__ import annotations

import contextlib
import json
import statistics
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from ntkrun import machine
from ntkrun.datasets.split import Split
from ntkrun.maths.method.base import DTYPES
from ntkrun.maths.method.kernel import KernelMethod
from ntkrun.store.atomic import write_atomic
from ntkrun.store.shards import content_key

FOLDER = "rates"  # in output_dir
SHORTEST = 0.3  # seconds; shorter blocks only find a size
LONGEST = 3.0  # seconds for all blocks after that
MOST_ROWS = 2048  # of a block
AGREE = 0.05  # spread of three blocks in a row at which timing ends, as a share of their median
STEADY = 0.1  # largest spread of a rate that is kept for later runs


@dataclass(frozen=True)
class Rate:
    """Kernel entries per second: the median of timed blocks, the slowest one and the fastest one."""

    entries_per_s: float
    low: float
    high: float


def entries(n_train: int, n_test: int) -> int:
    """Return the number of kernel entries of a run: all pairs of training rows, and test by training rows."""
    return n_train * (n_train + 1) // 2 + n_train * n_test


def entries_of(split: Split) -> int:
    """Return the same for a split."""
    return entries(split.n_train, len(split.test))


def measured(split: Split, reference: KernelMethod, folder: Path, enough: float) -> Rate:
    """Return the rate of the exact kernel; an earlier one of this machine if `folder` has it.

    The size of a block doubles until it takes SHORTEST seconds. Then blocks are timed until three in a row
    agree, for LONGEST seconds at most. All of that stops as soon as one block shows that the kernel entries
    of the run take less than `enough` seconds; its rate is then a lower bound, since short blocks are slow.
    """
    about = _about(split, reference)
    file = _file(folder, about)
    if known := _read(file):
        return known
    load, side = machine.Load(), 4
    x = split.sample(2, DTYPES[reference.dtype])
    reference.kernel(x[:1], x[:1])  # compiles what is compiled at first use
    while True:
        x = split.sample(side, DTYPES[reference.dtype])
        most, side = len(x) < side or side >= MOST_ROWS, len(x)
        took = _timed(reference, x)
        if entries_of(split) / (side * side) * took < enough:
            return Rate(*[side * side / took] * 3)
        if took >= SHORTEST or most:
            break
        side *= 2
    times = [took]
    while sum(times) < LONGEST and not (len(times) >= 3 and _spread(times[-3:]) <= AGREE):
        times.append(_timed(reference, x))
    rates = [side * side / seconds for seconds in times]
    rate = Rate(statistics.median(rates), min(rates), max(rates))
    beside = load.beside()
    if took >= SHORTEST and _spread(times) <= STEADY and not (beside and beside.slows):
        folder.mkdir(parents=True, exist_ok=True)
        write_atomic(file, json.dumps({"rate": asdict(rate), "of": about}, default=str).encode())
    return rate


def kept(split: Split, reference: KernelMethod, folder: Path) -> Rate | None:
    """Return the rate that an earlier run on this machine has kept in `folder`; None without one."""
    return _read(_file(folder, _about(split, reference)))


def _read(file: Path) -> Rate | None:
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError):  # absent or damaged
        return Rate(**json.loads(file.read_bytes())["rate"])
    return None


def _timed(reference: KernelMethod, x: torch.Tensor) -> float:
    start = time.perf_counter()
    # all entries, as between test and train; on the CPU, since a GPU answers before it is done
    torch.as_tensor(reference.kernel(x, x)).cpu()
    return time.perf_counter() - start


def _spread(times: list[float]) -> float:
    return (max(times) - min(times)) / statistics.median(times)


def _about(split: Split, reference: KernelMethod) -> dict[str, Any]:
    """Return all that a rate depends on."""
    about = machine.here()
    return {
        "kernel": reference.code(),
        "parameters": reference.parameters() | {"device": reference.device},
        "shape": list(split.inputs.shape),
        "machine": {key: about[key] for key in ("cpu", "cores", "threads", "packages")},
    }


def _file(folder: Path, about: dict[str, Any]) -> Path:
    return folder / f"{content_key(about)}.json"
