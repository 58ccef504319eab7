"""Data sets: one file here per reader, one yaml in conf/dataset per data set."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ntkrun.registry import Registry

if TYPE_CHECKING:
    from ntkrun.datasets.base import DataSource

DATASETS: Registry[DataSource] = Registry("dataset", __name__)
