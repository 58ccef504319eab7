"""Solvers of the ridge regression: one file here and one yaml in conf/solver per solver."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ntkrun.registry import Registry

if TYPE_CHECKING:
    from ntkrun.solvers.base import Solver

SOLVERS: Registry[Solver] = Registry("solver", __name__)
