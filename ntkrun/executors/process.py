"""Run tasks in processes of this machine, by loky."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from loky import ProcessPoolExecutor
from loky.backend import get_context

from ntkrun.executors.base import Pool, die_with_parent


@dataclass
class Process(Pool):
    """Run tasks in fresh processes, not forks, which torch's threads do not survive."""

    name = "process"

    def start(self) -> None:
        """Start the workers."""
        self._pool = ProcessPoolExecutor(
            self.width, context=get_context("loky"), initializer=die_with_parent, initargs=(os.getpid(),)
        )

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future:
        """Submit one call."""
        return self._pool.submit(function, *arguments)

    def stop(self) -> None:
        """Stop the workers at once."""
        self._pool.shutdown(kill_workers=True)
