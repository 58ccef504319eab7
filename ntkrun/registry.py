"""Find classes by their names in the yaml files: one file per name, imported on first use."""

from __future__ import annotations

import pkgutil
from importlib import import_module
from importlib.metadata import entry_points
from types import ModuleType
from typing import Generic, TypeVar

from ntkrun.errors import ConfigError, must_be

T = TypeVar("T")


class Registry(Generic[T]):
    """Find the classes of a package: module `cntk_sketch` holds the class with `name` "cntk_sketch".

    A name selects a file of the package, or an entry point of another installed package in the group
    "ntkrun.<kind>s". Nothing else is imported.

    Parameters
    ----------
    kind : str
        Group of yaml files, such as "method"; used in messages.
    package : str
        Package of the modules, such as "ntkrun.maths.method".
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
