"""Check a user's yaml files before Hydra composes them."""

from __future__ import annotations

from pathlib import Path

import yaml

from ntkrun.errors import ConfigError

BYTES, DEPTH, ALIASES = 1 << 20, 64, 64


def check_folder(folder: Path) -> None:
    """Raise ConfigError, with file and line, for the first bad yaml file in a folder.

    A file must have valid syntax, be UTF-8, at most a megabyte long and 64 levels deep, and have at most 64
    aliases: a few lines of them can expand to billions of values.
    """
    for path in sorted(folder.rglob("*.yaml")):
        try:
            if path.stat().st_size > BYTES:
                raise ConfigError(f"{path} must be at most {BYTES} bytes long. Split it.")
            _check(path)
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            where = f", line {mark.line + 1}" if mark else ""
            what = getattr(error, "problem", None) or str(error).splitlines()[0]
            raise ConfigError(f"{path}{where} is not yaml: {what}.") from error
        except UnicodeDecodeError as error:
            raise ConfigError(f"{path} must be UTF-8 text. Byte {error.start} is not.") from error


def _check(path: Path) -> None:
    depth = aliases = 0
    # reading events one by one neither expands aliases nor recurses
    for event in yaml.parse(path.read_text("utf-8"), Loader=yaml.SafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        aliases += isinstance(event, yaml.AliasEvent)
        if depth > DEPTH or aliases > ALIASES:
            line = event.start_mark.line + 1
            what = f"{DEPTH} levels" if depth > DEPTH else f"{ALIASES} aliases"
            raise ConfigError(f"{path} must have at most {what}. Line {line} has more. Simplify it.")
