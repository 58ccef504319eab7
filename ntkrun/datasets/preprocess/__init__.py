"""Preprocessing of inputs, fitted on training rows alone: one file per kind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ntkrun.registry import Registry

if TYPE_CHECKING:
    from ntkrun.datasets.preprocess.base import Preprocess

PREPROCESS: Registry[Preprocess] = Registry("preprocess", __name__)
