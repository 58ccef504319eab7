"""Let a group that shares a folder write to all files made in it."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def follow(folder: Path) -> None:
    """Take the umask of this process from the mode of `folder`, if its group may write there."""
    mask = _mask(folder)
    if mask is not None:
        os.umask(mask)


def _mask(folder: Path) -> int | None:
    """Return the umask for a folder that a group shares; None for any other.

    An absent folder follows its nearest parent if that passes its group on (setgid). A sticky folder (/tmp)
    is shared by strangers, not by a group.
    """
    nearest = next((p for p in (folder, *folder.parents) if p.is_dir()), None)
    if nearest is None:
        return None
    mode = nearest.stat().st_mode
    shared = mode & stat.S_IWGRP and not mode & stat.S_ISVTX and (nearest == folder or mode & stat.S_ISGID)
    return ~mode & 0o077 if shared else None


@contextmanager
def like(folder: Path) -> Iterator[None]:
    """Call `follow`, and restore the umask on leaving the context."""
    mine = umask()
    try:
        follow(folder)
        yield
    finally:
        os.umask(mine)


def umask() -> int:
    """Return the umask of this process."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


def share(file: Path) -> None:
    """Make a file of this user writable for the group that shares its folder: SQLite does not."""
    mask, about = _mask(file.parent), file.stat()
    if mask is not None and about.st_uid == os.geteuid() and stat.S_IMODE(about.st_mode) != 0o666 & ~mask:
        file.chmod(0o666 & ~mask)


def owner(path: Path) -> str:
    """Return the name of a path's owner, or the number of a user without a name."""
    try:
        return path.owner()
    except (KeyError, NotImplementedError):
        return str(path.stat().st_uid)


def why(path: Path, error: OSError) -> str:
    """Return why a path could not be written: the system's message, and who owns a read-only path."""
    text = error.strerror or str(error)
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        for place in (path, *path.parents):
            if place.exists():
                if not writable(place):
                    text += f" ({place} is read-only for you: it is owned by {owner(place)})"
                break
    return text


def writable(path: Path) -> bool:
    """Return whether this process may write to a path."""
    effective = os.access in os.supports_effective_ids
    return os.access(path, os.W_OK, effective_ids=effective)
