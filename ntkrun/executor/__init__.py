"""Where tasks run, by name: one file here and one yaml in conf/executor for each way."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ntkrun.registry import lookup

if TYPE_CHECKING:
    from ntkrun.executor.base import Executor

EXECUTORS = {
    "serial": ("ntkrun.executor.base", "Serial"),
    "process": ("ntkrun.executor.process", "Process"),
    "dask": ("ntkrun.executor.dask", "Dask"),
    "submitit": ("ntkrun.executor.submitit", "Submitit"),
}


def get(name: str) -> type[Executor]:
    """Return the class called `name` in the yaml files; ConfigError where there is none."""
    return lookup("executor", EXECUTORS, name)
