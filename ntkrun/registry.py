"""Classes by the names that stand in the yaml files: one file per name, imported on first use."""

from __future__ import annotations

import pkgutil
from importlib import import_module
from importlib.metadata import entry_points
from types import ModuleType
from typing import Generic, TypeVar

from ntkrun.errors import ConfigError, must_be

T = TypeVar("T")


class Registry(Generic[T]):
    """The classes of a package: module `cntk_sketch` holds the class whose `name` is "cntk_sketch".

    A name selects a file of the package, or a class that an installed package offers as an entry point of the
    group "ntkrun.<kind>s". Nothing else is ever imported.

    Parameters
    ----------
    kind : str
        "method", "dataset", ...: the group of yaml files, used in messages.
    package : str
        Where the modules are, "ntkrun.maths.method".
    """

    def __init__(self, kind: str, package: str):
        self.kind, self.package = kind, package

    def get(self, name: str) -> type[T]:
        """Return the class called `name`; ConfigError if there is none."""
        if name in self._modules() and (found := self._class(name)):
            return found
        for point in entry_points(group=f"ntkrun.{self.kind}s"):
            if point.name == name:
                return point.load()
        raise ConfigError(must_be("name", self.kind, "one of " + ", ".join(self.names), name))

    @property
    def names(self) -> list[str]:
        """All names of the package, sorted."""
        return sorted(name for name in self._modules() if self._class(name))

    def _modules(self) -> list[str]:
        return [module.name for module in pkgutil.iter_modules(import_module(self.package).__path__)]

    def _class(self, name: str) -> type[T] | None:
        module: ModuleType = import_module(f"{self.package}.{name}")
        classes = (value for value in vars(module).values() if isinstance(value, type))
        return next((cls for cls in classes if vars(cls).get("name") == name), None)
