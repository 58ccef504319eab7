"""Compare theorems with measurements: one file per theorem, started by experiment=theorem_1 .. theorem_4."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ntkrun.registry import Registry

if TYPE_CHECKING:
    from ntkrun.studies.base import Study

STUDIES: Registry[Study] = Registry("study", __name__)
