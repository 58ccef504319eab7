"""The data sets by name: one file here and one yaml in conf/dataset each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ntkrun.registry import lookup

if TYPE_CHECKING:
    from ntkrun.datasets.base import DataSource

DATASETS = {
    "digits": ("ntkrun.datasets.digits", "Digits"),
    "cifar10": ("ntkrun.datasets.cifar10", "Cifar10"),
    "csv": ("ntkrun.datasets.csv", "Csv"),
    "idx": ("ntkrun.datasets.idx", "Idx"),
    "npz": ("ntkrun.datasets.npz", "Npz"),
}


def get(name: str) -> type[DataSource]:
    """Return the class called `name` in the yaml files; ConfigError where there is none."""
    return lookup("dataset", DATASETS, name)
