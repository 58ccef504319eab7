"""Words become paths, and paths become addresses of a database: in one way everywhere."""

from __future__ import annotations

import os
import urllib.parse
from pathlib import Path

from ntkrun.errors import ConfigError, must_be

SQLITE = "sqlite:///"
# the keys of the configuration that are paths
PATHS = ("output_dir", "data_dir", "dataset.path", "dataset.data_dir", "dataset.system")


def home(words: str) -> str:
    """Return the words with `~` or `~name` at their start replaced; ConfigError if there is no such home."""
    out = os.path.expanduser(words)
    if out.startswith("~"):
        remedy = f"For a folder of this name: ./{words}"
        raise ConfigError(must_be("~", "a path", "the home folder of a user of this machine", words, remedy))
    return out


def as_path(words: str | os.PathLike[str], start: str | os.PathLike[str] | None = None) -> Path:
    """Return the absolute path that a user means.

    `~` is the home folder; a relative path begins at `start`, by default the current folder. Links are kept.
    """
    path = Path(home(os.fspath(words)))
    raw = Path(start or Path.cwd()).absolute() / path
    if ".." not in raw.parts:
        return raw
    plain = Path(os.path.normpath(raw))
    # a .. behind a link leads elsewhere than its letters say
    return plain if os.path.realpath(plain) == os.path.realpath(raw) else raw


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


def absolute_url(url: str) -> str:
    """Return the address of a database with the path of a SQLite file made absolute; others as they are."""
    file = sqlite_file(url)
    if file is None or file.is_absolute() or "?" in url or str(file).startswith("file:"):
        return url
    return sqlite_url(as_path(file))
