"""Run tasks as jobs of a batch system, or in processes of this machine, by submitit."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from ntkrun import checks
from ntkrun.errors import MachineError
from ntkrun.executors.base import Pool

CLUSTERS = ("local", "slurm")


@dataclass
class Submitit(Pool):
    """Run each task as a job.

    Parameters
    ----------
    workers, threads : int or None
        Jobs at the same time, and threads per job; None as for Pool.
    cluster : {"local", "slurm"}
        Where jobs run; local: in processes of this machine.
    timeout_min : int
        Time limit of a job in minutes.
    parameters : dict
        More arguments of `submitit.AutoExecutor.update_parameters`.
    """

    name = "submitit"

    elsewhere = True
    workers: int | None = 2
    cluster: str = "local"
    timeout_min: int = 60
    parameters: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        from submitit.core.utils import UncompletedJobError

        self.lost = (UncompletedJobError,)

    def problems(self) -> list[str]:
        """Return one sentence for every parameter that is wrong."""
        out = super().problems() + checks.choice("Submitit", "cluster", self.cluster, CLUSTERS)
        return out + checks.integer("Submitit", "timeout_min", self.timeout_min, 1)

    @property
    def workers_here(self) -> int:  # type: ignore[override]
        """Processes started on this machine."""
        return self.size if self.cluster == "local" else 0

    def start(self) -> None:
        """Make the jobs' folder, private because it holds pickles; MachineError if jobs cannot start."""
        import submitit

        try:
            self._folder = tempfile.mkdtemp(prefix=".jobs-", dir=self.folder)
            self._jobs = submitit.AutoExecutor(self._folder, cluster=self.cluster)
            options = {"timeout_min": self.timeout_min, "name": "ntkrun", "cpus_per_task": self.share}
            self._jobs.update_parameters(**{**options, **self.parameters})
        except (OSError, RuntimeError, NameError, TypeError) as error:
            raise MachineError(f"submitit cannot start jobs on {self.cluster!r}: {error}.") from error
        self._threads, self._running = ThreadPoolExecutor(self.width), set[Any]()

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future:
        """Submit one call; a thread waits for its job."""
        return self._threads.submit(self._job, function, arguments)

    def _job(self, function: Callable[..., Any], arguments: tuple) -> Any:
        job = self._jobs.submit(guarded, function, *arguments)
        self._running.add(job)
        try:
            result = job.result()
        finally:
            self._running.discard(job)
        if isinstance(result, Exception):
            raise result
        return result

    def stop(self) -> None:
        """Cancel the jobs and remove their folder."""
        for job in list(self._running):
            job.cancel(check=False)
        self._threads.shutdown(wait=True, cancel_futures=True)
        shutil.rmtree(self._folder, ignore_errors=True)


def guarded(function: Callable[..., Any], *arguments: Any) -> Any:
    """Return the result or the exception; submitit would keep only the exception's text."""
    try:
        return function(*arguments)
    except Exception as error:  # noqa: BLE001 - raised again by the thread that waits for the job
        return error
