"""Executors, which decide where tasks run: one file here and one yaml in conf/executor per executor."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ntkrun.registry import Registry

if TYPE_CHECKING:
    from ntkrun.executors.base import Executor

EXECUTORS: Registry[Executor] = Registry("executor", __name__)
