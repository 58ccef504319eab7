"""Run tasks on a dask cluster: an existing one, or processes of this machine."""

from __future__ import annotations

import contextlib
import copy
from asyncio import CancelledError
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import cache
from typing import Any

from ntkrun.errors import MachineError, must_be
from ntkrun.executors.base import RETRIES, Call, Pool, S, gone, in_worker

PATIENCE = 60  # seconds to wait for the first worker of a cluster


@dataclass
class Dask(Pool):
    """Run tasks in workers of dask, whose scheduler retries tasks lost with a worker.

    Parameters
    ----------
    workers, threads : int or None
        As for Pool; with an address, `workers` is ignored and threads=None keeps the cluster's own.
    address : str or None
        Address of a scheduler; None starts one that listens on this machine only.
    """

    name = "dask"

    address: str | None = None
    elsewhere = merges = True

    def __post_init__(self) -> None:
        super().__post_init__()
        from distributed.scheduler import KilledWorker

        self.lost, self.retries = (KilledWorker,), 0

    def problems(self) -> list[str]:
        """Return one sentence for every parameter that is wrong."""
        out = super().problems()
        if self.address is not None and "://" not in str(self.address):
            out.append(must_be("address", "Dask", "like tcp://host:8786", self.address))
        return out

    @property
    def workers_here(self) -> int:  # type: ignore[override]
        """Processes started on this machine."""
        return 0 if self.address else self.size

    @property
    def width(self) -> int:
        """Number of tasks submitted at the same time: two per worker, so that none is idle."""
        if self.address is None:
            return 2 * self.size
        return 2 * max(1, len(self._client.nthreads()))

    @property
    def share(self) -> int | None:
        """Threads per worker; None leaves those of a cluster as they are."""
        return super().share if self.address is None else self.threads

    def _local(self) -> Any:
        """Start a cluster on this machine, again if a worker is lost meanwhile; MachineError after that."""
        from distributed import LocalCluster

        tries = RETRIES
        while True:
            try:
                return LocalCluster(
                    n_workers=self.size,
                    threads_per_worker=1,
                    host="127.0.0.1",
                    dashboard_address=None,
                    memory_limit=None,
                    silence_logs=50,
                )
            except RuntimeError as error:
                if not tries:
                    remedy = "Try executor=process."
                    raise MachineError(f"dask's workers did not start: {error}. {remedy}") from error
                tries -= 1

    def start(self) -> None:
        """Start the cluster, or connect to it; MachineError if no worker answers."""
        import dask
        from distributed import Client

        dask.config.set({"distributed.scheduler.allowed-failures": RETRIES})
        self._cluster = None
        if self.address is None:
            self._cluster = self._local()
        try:
            self._client = Client(self._cluster or self.address, set_as_default=False, timeout=PATIENCE)
            self._client.wait_for_workers(1, timeout=PATIENCE)
        except (OSError, TimeoutError) as error:
            if self._cluster is not None:
                self._cluster.close(timeout=5)
            raise MachineError(
                f"No worker of {self.address or 'dask'} could be reached within {PATIENCE} s. "
                "Is the scheduler running?"
            ) from error
        self._pool = self._client.get_executor(pure=False)

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future:
        """Submit one call."""
        return self._pool.submit(function, *arguments)

    def folded(
        self, function: Callable[..., Any], tasks: Sequence[Call], merge: Callable[[S, Any], S], state: S
    ) -> Iterator[Callable[[], S]]:
        """Merge the results into a state, in the tasks' order, in the workers.

        Results go from worker to worker. A state is kept by two of them, so that a lost worker costs its own
        tasks only, and comes to this process if it is asked for.
        """
        self.begin()
        client, todo, parts = self._client, deque(tasks), deque[Any]()
        total = client.scatter(state, hash=False)
        self._copy(total)
        for task in tasks:
            while todo and len(parts) < self.width:
                call = (in_worker, self.share, function, *todo.popleft().arguments)
                parts.append(client.submit(*call, pure=False))
            call = (in_worker, self.share, fresh, merge, total, parts.popleft())
            total = client.submit(*call, pure=False)
            try:
                error = total.exception()
            except CancelledError:  # all workers that held the state are gone
                raise gone(task.name, "CancelledError") from None
            if error:
                raise gone(task.name, "KilledWorker") if isinstance(error, self.lost) else error
            self._copy(total)
            yield cache(total.result)

    def _copy(self, future: Any) -> None:
        """Keep a second copy of a result, if there is a second worker."""
        if len(self._client.nthreads()) > 1:
            # a worker may come or go meanwhile: without a copy, its loss costs more time
            with contextlib.suppress(ValueError):
                self._client.replicate(future, 2)

    def stop(self) -> None:
        """Leave the cluster, and stop it if it was started here."""
        # on a busy machine they may take longer; their processes end with this one
        with contextlib.suppress(TimeoutError):
            self._client.close(timeout=5)
            if self._cluster is not None:
                self._cluster.close(timeout=5)


def fresh(merge: Callable[[S, Any], S], state: S, result: Any) -> S:
    """Return the merged state, and leave the state as it is: the scheduler may need it again."""
    return merge(copy.deepcopy(state), result)
