"""One file lock for all: it dies with its holder, says for whom it waits, and can do without flock."""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from filelock import BaseFileLock, FileLock, SoftFileLock, Timeout

from ntkrun.errors import MachineError
from ntkrun.store.modes import why
from ntkrun.store.runs import alive, whose

log = logging.getLogger(__name__)

# what a file system without locks answers
MISSING = (errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS)
PATIENCE = 2.0  # seconds of silence


@contextlib.contextmanager
def held(path: Path, key: str) -> Iterator[None]:
    """Hold the lock `path`, after waiting as long as somebody else holds it.

    A file system without flock gets a lock that is a file: that of a dead process of this host is
    broken, that of another host never. `key` is the configuration's name of the folder, for the message.

    Raises MachineError where neither kind of lock works.
    """
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(_acquired(path))
        except OSError as error:
            raise MachineError(
                f"{path} cannot be locked: {why(path, error)}. Move it to another disk: {key}=FOLDER."
            ) from error
        stack.enter_context(_named(path))
        yield


@contextlib.contextmanager
def _acquired(path: Path) -> Iterator[None]:
    # a mode of its own would undo the umask and the access list of the folder
    native = FileLock(path, fallback_to_soft=False)
    try:
        _wait(native, path)
    except OSError as error:
        if error.errno not in MISSING:
            raise
        soft = SoftFileLock(f"{path}.file")
        _say_once(path)
        _wait(soft, path)
        native = soft
    try:
        yield
    finally:
        native.release()


def _wait(lock: BaseFileLock, path: Path) -> None:
    try:
        lock.acquire(timeout=PATIENCE)
    except Timeout:
        log.warning("waiting    for %s%s", path, _holder(path))
        lock.acquire(timeout=-1)


@contextlib.contextmanager
def _named(path: Path) -> Iterator[None]:
    """Leave word beside the lock who holds it; nobody depends on it."""
    word = path.with_name(path.name + ".holder")
    with contextlib.suppress(OSError):
        word.write_text(json.dumps(whose()))
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            word.unlink()


def _holder(path: Path) -> str:
    """Return ", which process 12 on host x holds", or nothing where that is not known."""
    try:
        word: Any = json.loads(path.with_name(path.name + ".holder").read_bytes())
        pid, host = word["pid"], word["host"]
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    if host == platform.node() and not alive(pid):
        return ""
    return f", which process {pid} on {host} holds"


_said: set[int] = set()  # devices


def _say_once(path: Path) -> None:
    device = path.parent.stat().st_dev
    if device not in _said:
        _said.add(device)
        log.warning("locks      %s has no file locks: a file that is there stands for one", path.parent)
