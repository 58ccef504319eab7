"""Run calls in this process or in workers, and retry calls lost with a worker."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, wait
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, TypeVar

from ntkrun import checks
from ntkrun.errors import MachineError
from ntkrun.machine import cores

log = logging.getLogger(__name__)

RETRIES = 2  # per task that loses its worker


S = TypeVar("S")


class Call(NamedTuple):
    """One call: its name in messages, and its arguments."""

    name: str
    arguments: tuple[Any, ...]


class Executor:
    """Context that runs tasks. Its workers start with the first task and stop when it ends."""

    name: ClassVar[str]

    parallel = False
    elsewhere = False  # whether workers may be on other machines
    merges = False  # whether workers merge the results of `folded`
    workers_here = 0  # processes started on this machine
    folder = Path()  # visible to all workers, for files that hand over objects

    def problems(self) -> list[str]:
        """Return one sentence for every parameter that is wrong."""
        return []

    def __enter__(self) -> Executor:
        return self

    def __exit__(self, *error: Any) -> None:
        """Stop the workers, even in the middle of a task."""

    def run(self, function: Callable[..., Any], tasks: Sequence[Call]) -> Iterator[tuple[int, Any]]:
        """Yield (number of the task, result) as tasks end, in any order.

        Function and arguments must pickle. Raises the function's exceptions, and MachineError if a task has
        lost its worker more than RETRIES times.
        """
        raise NotImplementedError

    def ordered(self, function: Callable[..., Any], tasks: Sequence[Call]) -> Iterator[Any]:
        """Yield the results in the tasks' order; one that is early waits for those before it."""
        early, done = dict[int, Any](), 0
        for number, result in self._near(function, tasks):
            early[number] = result
            del result  # it may be large
            while done in early:
                yield early.pop(done)
                done += 1

    def folded(
        self, function: Callable[..., Any], tasks: Sequence[Call], merge: Callable[[S, Any], S], state: S
    ) -> Iterator[Callable[[], S]]:
        """Merge the results into a state, in the tasks' order: state = merge(state, result).

        Yields, for each task, a function that returns the state with its result and those before. It may be
        called until the next one is asked for.
        """
        for result in self.ordered(function, tasks):
            state = merge(state, result)
            del result
            yield partial(_same, state)

    def _near(self, function: Callable[..., Any], tasks: Sequence[Call]) -> Iterator[tuple[int, Any]]:
        """Do the same as `run`, with few results that are early."""
        return self.run(function, tasks)


@dataclass
class Pool(Executor):
    """Run tasks in workers behind `concurrent.futures`.

    Parameters
    ----------
    workers : int or None
        Tasks at the same time; None for one per core.
    threads : int or None
        Arithmetic threads per worker; None for the cores divided by the workers.
    """

    workers: int | None = None
    threads: int | None = None

    parallel = True

    def __post_init__(self) -> None:
        # errors of a future whose worker is gone
        self.lost: tuple[type[Exception], ...] = (BrokenExecutor,)
        self.retries = RETRIES
        self._started = False

    def problems(self) -> list[str]:
        """Return one sentence for every parameter that is wrong."""
        me, out = type(self).__name__, []
        for key in ("workers", "threads"):
            if getattr(self, key) is not None:
                out += checks.integer(me, key, getattr(self, key), 1, 10_000)
        return out

    @property
    def workers_here(self) -> int:  # type: ignore[override]
        """Processes started on this machine."""
        return self.size

    @property
    def size(self) -> int:
        """Number of workers, unless they belong to an existing cluster."""
        return self.workers or cores()

    @property
    def width(self) -> int:
        """Number of tasks submitted at the same time."""
        return self.size

    @property
    def share(self) -> int | None:
        """Threads per worker."""
        return self.threads or max(1, cores() // self.size)

    def start(self) -> None:
        """Start the workers."""
        raise NotImplementedError

    def begin(self) -> None:
        """Start the workers if there are none."""
        if not self._started:
            self.start()
            self._started = True

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future:
        """Submit one call."""
        raise NotImplementedError

    def stop(self) -> None:
        """Stop the workers at once."""
        raise NotImplementedError

    def __exit__(self, *error: Any) -> None:
        """Stop the workers, even in the middle of a task."""
        if self._started:
            self._started = False
            self.stop()

    def run(self, function: Callable[..., Any], tasks: Sequence[Call]) -> Iterator[tuple[int, Any]]:
        """Yield (number of the task, result) as tasks end; retry tasks that lost their worker.

        Tasks that were running when a worker was lost are retried one at a time, to find the cause.
        """
        return self._run(function, tasks, near=False)

    def _near(self, function: Callable[..., Any], tasks: Sequence[Call]) -> Iterator[tuple[int, Any]]:
        """Do the same, with at most `width` results that are early."""
        return self._run(function, tasks, near=True)

    def _run(
        self, function: Callable[..., Any], tasks: Sequence[Call], near: bool
    ) -> Iterator[tuple[int, Any]]:
        """With `near`, no task starts before its turn is within `width` of the first unfinished one."""
        tries, suspects = [0] * len(tasks), set[int]()
        ended, first = [False] * len(tasks), 0
        todo, flying, broken, ahead = deque(range(len(tasks))), dict[Future, int](), False, 0
        while todo or flying:
            if broken and not flying:
                self.__exit__()
                broken = False
            self.begin()
            width = 1 if suspects else self.width
            ahead = max(ahead, self.width if near else len(tasks))
            while todo and not broken and len(flying) < width and todo[0] <= first + ahead:
                number = todo.popleft()
                flying[self.submit(in_worker, self.share, function, *tasks[number].arguments)] = number
            for future in wait(flying, return_when=FIRST_COMPLETED).done:
                number = flying.pop(future)
                try:
                    result = future.result()
                except self.lost as error:
                    broken = True
                    tries[number] += 1
                    suspects.add(number)
                    todo.appendleft(number)
                    name = tasks[number].name
                    if tries[number] > self.retries:
                        raise gone(name, type(error).__name__) from error
                    log.warning("%s has lost its worker and is retried", name)
                else:
                    suspects.discard(number)
                    ended[number] = True
                    while first < len(tasks) and ended[first]:
                        first += 1
                    yield number, result
                    del result  # it may be large


def gone(name: str, how: str) -> MachineError:
    """Return the error for a task that has lost its worker too often."""
    return MachineError(
        f"{name} has lost its worker {RETRIES + 1} times ({how}). "
        "Check the memory of the workers, or set executor=serial."
    )


def _same(state: S) -> S:
    return state


def in_worker(threads: int | None, function: Callable[..., Any], *arguments: Any) -> Any:
    """Run a call in a worker, with its share of the threads."""
    from ntkrun import machine

    machine.tune()
    import torch

    if threads is not None:
        torch.set_num_threads(threads)
    return function(*arguments)


def die_with_parent(parent: int) -> None:
    """End this process soon after process `parent` has ended; workers call it when they start."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles it
    threading.Thread(target=watch, daemon=True).start()
