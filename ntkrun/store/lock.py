"""Locks on files: they end with their holder, name it to those who wait, and work without flock."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import logging
import os
import platform
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from filelock import BaseFileLock, FileLock, SoftFileLock, Timeout

from ntkrun.errors import MachineError
from ntkrun.store.modes import why
from ntkrun.store.runs import alive, whose

log = logging.getLogger(__name__)

# errors of a file system without locks
MISSING = (errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS)
PATIENCE = 2.0  # seconds until the wait is reported


@contextlib.contextmanager
def held(path: Path, key: str) -> Iterator[None]:
    """Hold the lock `path`, after waiting for any other holder.

    Without flock the existence of a file is the lock: that of a dead process of this host is removed, that
    of another host never. Raises MachineError, which names the folder's `key`, if neither kind works.
    """
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(_acquired(path, _wait))
        except OSError as error:
            raise MachineError(
                f"{path} cannot be locked: {why(path, error)}. Move it to another disk: {key}=FOLDER."
            ) from error
        stack.enter_context(_named(path))
        yield


@contextlib.contextmanager
def free(path: Path) -> Iterator[bool]:
    """Hold the lock `path` if nobody has it, and yield whether so; MachineError if it cannot be locked."""
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(_acquired(path, lambda lock, _: lock.acquire(timeout=0)))
            mine = True
        except Timeout:
            mine = False
        except OSError as error:
            raise MachineError(f"{path} cannot be locked: {why(path, error)}.") from error
        yield mine


def taken(path: Path) -> bool:
    """Return whether somebody holds the lock `path`, without touching it."""
    if Path(f"{path}.file").exists():
        return True
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # no locks here
        return False
    finally:
        os.close(handle)
    return False


@contextlib.contextmanager
def _acquired(path: Path, wait: Callable[[BaseFileLock, Path], object]) -> Iterator[None]:
    # an explicit mode would override the umask and the access list of the folder
    native = FileLock(path, fallback_to_soft=False)
    try:
        wait(native, path)
    except OSError as error:
        if error.errno not in MISSING:
            raise
        soft = SoftFileLock(f"{path}.file")
        _say_once(path)
        wait(soft, path)
        native = soft
    try:
        yield
    finally:
        native.release()


def _wait(lock: BaseFileLock, path: Path) -> None:
    patience = PATIENCE
    while True:
        try:
            lock.acquire(timeout=patience)
            return
        except Timeout:
            log.warning("waiting    for %s%s", path, _holder(path))
            patience = -1
        except FileNotFoundError:  # ntkrun clean has removed the folder in the meantime
            path.parent.mkdir(parents=True, exist_ok=True)


@contextlib.contextmanager
def _named(path: Path) -> Iterator[None]:
    """Name the holder in a file beside the lock, for messages only."""
    note = path.with_name(path.name + ".holder")
    with contextlib.suppress(OSError):
        note.write_text(json.dumps(whose()))
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            note.unlink()


def _holder(path: Path) -> str:
    """Return ", which process 12 on host x holds", or nothing if that is not known."""
    try:
        note: Any = json.loads(path.with_name(path.name + ".holder").read_bytes())
        pid, host = note["pid"], note["host"]
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
        log.warning("locks      %s has no file locks: plain files are used as locks", path.parent)
