"""Run tasks in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ntkrun.executors.base import Call, Executor


@dataclass
class Serial(Executor):
    """Run one task after another in this process, with all its threads."""

    name = "serial"

    def run(self, function: Callable[..., Any], tasks: Sequence[Call]) -> Iterator[tuple[int, Any]]:
        """Yield the results in the tasks' order."""
        for number, task in enumerate(tasks):
            yield number, function(*task.arguments)
