"""Words become paths, and paths become addresses of a database: in one way everywhere."""

from __future__ import annotations

import os
import urllib.parse
from pathlib import Path

SQLITE = "sqlite:///"


def as_path(words: str | os.PathLike[str], start: str | os.PathLike[str] | None = None) -> Path:
    """Return the absolute path that a user means.

    `~` is the home folder; a relative path begins at `start`, by default the current folder. Links are kept.
    """
    path = Path(words).expanduser()
    return Path(os.path.normpath(Path(start or Path.cwd()).absolute() / path))


def sqlite_url(path: Path) -> str:
    """Return the address of a SQLite file, as SQLAlchemy and MLflow read it.

    Both take `?` and `%` for signs of their own, so a path that holds one is quoted. The driver's name keeps
    MLflow from making a folder of the quoted name.
    """
    text = str(path)
    if "?" in text or "%" in text:
        return "sqlite+pysqlite:///" + urllib.parse.quote(text)
    return SQLITE + text


def sqlite_file(url: str) -> Path | None:
    """Return the file of a SQLite address; None for any other address and for a database in memory."""
    kind, _, text = url.partition(":///")
    if kind.partition("+")[0] != "sqlite" or text in ("", ":memory:"):
        return None
    return Path(urllib.parse.unquote(text) if "+" in kind else text)
