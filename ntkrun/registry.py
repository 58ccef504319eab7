"""Classes by the names that stand in the yaml files: nothing that is not in a table is ever imported."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from ntkrun.errors import ConfigError, must_be


def lookup(owner: str, table: Mapping[str, tuple[str, str]], name: str) -> Any:
    """Return the class that `table` gives as (module, class); ConfigError where it has no such name."""
    if name not in table:
        raise ConfigError(must_be("name", owner, "one of " + ", ".join(table), name))
    module, cls = table[name]
    return getattr(import_module(module), cls)
