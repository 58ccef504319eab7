"""Experiments about the mathematics itself: what the theorems promise, as measured curves.

A study takes real data and returns series; drawing, slopes and tracking are shared. `experiment=theorem_1`
.. `theorem_4` start them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ntkrun.studies.base import Study

STUDIES = ("theorem_1", "theorem_2", "theorem_3", "theorem_4")


def get(name: str) -> Study:
    """Return the study called `name`; a function from (split, study_size) to series."""
    return import_module(f"ntkrun.studies.{name}").run
