"""Say what an output folder holds beside its runs, and which runs need it; remove what is not needed.

Only files that ntkrun makes are removed, and no link is followed. Features are removed under their lock, the
manifest first: a kill in between leaves shards that no manifest lists.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from ntkrun.errors import MachineError
from ntkrun.store import lock, manifest
from ntkrun.store.atomic import TEMPORARY
from ntkrun.store.modes import why
from ntkrun.store.runs import Run, scan, when
from ntkrun.store.shards import ShardStore

KEY = re.compile(r"[0-9a-f]{24}")
LOCK = ".lock"
FILES = re.compile(rf"[\w-]+\.(h5|sums)|\.lock(\.holder|\.file)?|{re.escape(TEMPORARY)}.*")
FOLDERS = (".jobs-", ".doctor-")  # made for a while, by submitit and by ntkrun doctor
DAY = 86400.0
WEEK = 7 * DAY  # a run of another host is taken for alive if its features were used since
MARGIN = 60.0  # seconds between the clocks of runs and of the disk


@dataclass
class Stored:
    """Features of one key.

    Attributes
    ----------
    folder : Path
    bytes, used : int, float
        Size of the files, and the time of the last use, in seconds since 1970.
    taken : bool
        Whether a live run may be working with them.
    others : list of str
        Names in the folder that are links or not ours.
    runs : list of str
        Finished runs that refer to them.
    unfinished : list of str
        Runs that would go on with them.
    """

    folder: Path
    bytes: int
    used: float
    taken: bool
    others: list[str]
    runs: list[str] = field(default_factory=list)
    unfinished: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Inventory:
    """Features, leftovers of killed processes, links (never followed), run folders that cannot be read."""

    features: list[Stored]
    leftovers: list[Path]
    links: list[Path]
    hidden: list[Path]


def inventory(root: Path) -> Inventory:
    """Return what an output folder holds."""
    folder, links, found = root / "features", list[Path](), list[Stored]()
    if folder.is_symlink():
        links.append(folder)
    elif folder.is_dir():
        for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
            if entry.is_symlink():
                links.append(Path(entry))
            elif KEY.fullmatch(entry.name) and entry.is_dir():
                found.append(_stored(Path(entry)))
    runs = list(scan(root))
    known = {run.folder for run in runs}
    hidden = [path for path in (root / "runs").glob("*") if path not in known and _may_be_run(path)]
    _refer(found, runs)
    live = any(run.state == "RUNNING" for run in runs)
    return Inventory(found, list(_leftovers(root, live)), links, hidden)


def _may_be_run(folder: Path) -> bool:
    try:
        return (folder / "config.json").exists()
    except OSError:
        return True


def _stored(folder: Path) -> Stored:
    size, others = 0, []
    for entry in os.scandir(folder):
        about = entry.stat(follow_symlinks=False)
        if not _ours(entry.name) or not stat.S_ISREG(about.st_mode):
            others.append(entry.name)
        elif not entry.name.startswith(TEMPORARY):
            size += about.st_size
    return Stored(folder, size, _used(folder), lock.taken(folder / LOCK), sorted(others))


def _ours(name: str) -> bool:
    return name in manifest.NAMES or FILES.fullmatch(name) is not None


def _used(folder: Path) -> float:
    """Return the time of the last use: a lock taken changes the folder, a shard the manifest."""
    places = [folder, *(folder / name for name in manifest.NAMES)]
    return max(path.lstat().st_mtime for path in places if os.path.lexists(path))


def _refer(found: list[Stored], runs: list[Run]) -> None:
    """Note the runs that need each of the features."""
    keys, data = dict[str, list[str]](), dict[str, list[str]]()
    for run in runs:
        for name in ("features_key", "exact/features_key"):
            if key := run.result.get(name):
                keys.setdefault(str(key), []).append(run.folder.name)
        # runs of earlier versions do not tell the key of their exact kernel
        if run.result.get("exact/time_kind") == "measured" and "exact/features_key" not in run.result:
            data.setdefault(str(run.result.get("data_sha256")), []).append(run.folder.name)
    stopped = [(run, _window(run)) for run in runs if run.status.get("status") != "FINISHED"]
    for one in found:
        one.runs = keys.get(one.folder.name, [])
        if data and not one.runs:
            one.runs = data.get(str(ShardStore(one.folder, {}).spec.get("data")), [])
        for run, (start, end) in stopped:
            if run.status.get("features_key") == one.folder.name or start <= one.used <= end:
                one.unfinished.append(run.folder.name)
                one.taken |= run.state == "RUNNING" and (_local(run) or one.used > time.time() - WEEK)


def _window(run: Run) -> tuple[float, float]:
    """Return the times between which an unfinished run may have used features whose key it does not tell."""
    end = time.time() if run.state == "RUNNING" else when(run.status, "finished")
    return when(run.status, "started") - MARGIN, end + MARGIN


def _local(run: Run) -> bool:
    return run.status.get("host") == platform.node()


def _leftovers(root: Path, live: bool) -> Iterator[Path]:
    """Yield what killed processes left more than a day ago, without folders while a run goes on."""
    for part in (root, *(root / name for name in ("features", "runs", "sweeps"))):
        if part.is_symlink() and part != root:
            continue
        for folder, names, files in os.walk(part):
            found = [Path(folder, name) for name in files if name.startswith(TEMPORARY)]
            passing = [name for name in names if name.startswith(FOLDERS)]
            found += [] if live else [Path(folder, name) for name in passing]
            for path in found:
                about = path.lstat()
                if not stat.S_ISLNK(about.st_mode) and about.st_mtime < time.time() - DAY:
                    yield path
            names[:] = [] if part == root else [name for name in names if name not in passing]


def remove(one: Stored) -> bool:
    """Remove features; return False if a run works with them or has used them since the inventory.

    Raises MachineError if a file cannot be removed.
    """
    folder = one.folder
    with _removing(folder):
        if _used(folder) != one.used:
            return False
        with lock.free(folder / LOCK) as mine:
            if not mine:
                return False
            names = [n for n in os.listdir(folder) if _ours(n) and stat.S_ISREG((folder / n).lstat().st_mode)]
            for name in sorted(names, key=lambda name: (name not in manifest.NAMES, name)):
                (folder / name).unlink(missing_ok=True)
        with suppress(OSError):  # other files stay, and a run that waited begins anew
            folder.rmdir()
    return True


def discard(path: Path) -> bool:
    """Remove a leftover; return False if a run has the lock of its folder. MachineError if it fails."""
    with _removing(path):
        if path.is_dir():
            shutil.rmtree(path)
            return True
        if not (path.parent / LOCK).exists():
            path.unlink(missing_ok=True)
            return True
        about = path.parent.stat()
        with lock.free(path.parent / LOCK) as mine:
            if mine:
                path.unlink(missing_ok=True)
                os.utime(path.parent, ns=(about.st_atime_ns, about.st_mtime_ns))  # this is no use of features
        return mine


@contextmanager
def _removing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        place = Path(error.filename or path)
        raise MachineError(f"{place} could not be removed: {why(place.parent, error)}.") from error
