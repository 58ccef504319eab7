"""Convert typed text to paths, and paths to database addresses."""

from __future__ import annotations

import os
import urllib.parse
from pathlib import Path

from ntkrun.errors import ConfigError, must_be

SQLITE = "sqlite:///"
# keys of the configuration that are paths
PATHS = (
    *("output_dir", "data_dir", "dataset.path", "dataset.test_path", "dataset.data_dir", "dataset.system"),
    *("dataset.x_train", "dataset.y_train", "dataset.x_test", "dataset.y_test"),
)


def home(words: str) -> str:
    """Return the text with a leading `~` or `~name` replaced; ConfigError if there is no such home."""
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
    # `..` after a link is the parent of the link's target
    return plain if os.path.realpath(plain) == os.path.realpath(raw) else raw


def sqlite_url(path: Path) -> str:
    """Return the address of a SQLite file, as SQLAlchemy and MLflow read it.

    Both give `?` and `%` a meaning, so a path with one is quoted. The driver's name keeps MLflow from making
    a folder of the quoted name.
    """
    text = str(path)
    if "?" in text or "%" in text:
        return "sqlite+pysqlite:///" + urllib.parse.quote(text)
    return SQLITE + text


def sqlite_file(url: str) -> Path | None:
    """Return the file of a SQLite address; None for other addresses and databases in memory."""
    kind, _, text = url.partition(":///")
    if kind.partition("+")[0] != "sqlite" or text in ("", ":memory:"):
        return None
    return Path(urllib.parse.unquote(text) if "+" in kind else text)


def absolute_url(url: str) -> str:
    """Return a database's address, with the path absolute for a SQLite file and unchanged for others."""
    file = sqlite_file(url)
    if file is None or file.is_absolute() or "?" in url or str(file).startswith("file:"):
        return url
    return sqlite_url(as_path(file))
