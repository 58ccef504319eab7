"""Where tasks run, by name: one file here and one yaml in conf/executor for each way."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from ntkrun.errors import ConfigError, must_be

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
    if name not in EXECUTORS:
        raise ConfigError(must_be("name", "executor", "one of " + ", ".join(EXECUTORS), name))
    module, cls = EXECUTORS[name]
    return getattr(import_module(module), cls)
