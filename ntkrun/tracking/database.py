"""Check the SQLite file behind MLflow, and repair its locations if its folder was moved."""

from __future__ import annotations

import logging
import sqlite3
import tempfile
import urllib.parse
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from ntkrun.errors import ConfigError, IntegrityError, MachineError, NtkrunError
from ntkrun.store import lock
from ntkrun.store.modes import owner, writable

log = logging.getLogger(__name__)

HOME = "ntkrun.home"  # tag of an experiment: the folder of its database and artifacts
KEY = "ntkrun.key"  # tag of a run, by which it is found again
ARTIFACTS = "mlartifacts"
# columns that hold locations: MLflow's own and, in tags, ours
LOCATIONS = {
    "experiments": ("artifact_location",),
    "runs": ("artifact_uri",),
    "logged_models": ("artifact_location",),
    "model_versions": ("source", "storage_location"),
    "tags": ("value",),
}
ELSEWHERE = "tracking.uri=sqlite:////local/place.db (ntkrun sync --uri ADDRESS)"


@dataclass(frozen=True)
class Cause:
    """Reason why a store cannot be used: the type of error, what is wrong, and the remedy."""

    kind: type[NtkrunError]
    what: str
    remedy: str

    def error(self, more: str = "") -> NtkrunError:
        """Return the error, with `more` appended to what is wrong."""
        return self.kind(f"{self.what}{more}. {self.remedy}".strip())


def lock_of(file: Path) -> Path:
    """Return the lock to hold when opening a database: two processes that open a fresh one break it."""
    return file.parent / ".mlflow.lock"


@contextmanager
def _opened(file: Path, mode: str, patience: float = 20) -> Iterator[sqlite3.Connection]:
    address = f"{file.as_uri()}?mode={mode}"
    with closing(sqlite3.connect(address, uri=True, timeout=patience, isolation_level=None)) as database:
        yield database


def _tables(database: sqlite3.Connection) -> set[str]:
    return {name for (name,) in database.execute("select name from sqlite_master where type = 'table'")}


def check(file: Path) -> Cause | None:
    """Return why MLflow could not write to a SQLite file, which may be absent; None if it can.

    MLflow itself would try for two minutes, add its tables to any database, and not tell read-only from lost.
    """
    nearest = next(p for p in (file, *file.parents) if p.exists())
    for place in (nearest, nearest if nearest != file else file.parent):
        if not writable(place):
            remedy = f"Ask for the right to write there (chmod g+w), or set {ELSEWHERE}."
            return Cause(MachineError, f"{place} is read-only for you: it is owned by {owner(place)}", remedy)
    if nearest != file:
        return None if _locks(nearest) else _no_locks(file)
    if not file.is_file():
        return Cause(ConfigError, f"{file} is not a file", f"Set {ELSEWHERE}.")
    try:
        try:
            tables = _written(file, 0)
        except sqlite3.OperationalError:
            if not _locks(file.parent):
                return _no_locks(file)
            tables = _written(file, 20)
    except sqlite3.Error as error:
        return _broken(file, error)
    if tables - {"alembic_version"} and tables.isdisjoint({"experiments", "runs"}):
        return Cause(ConfigError, f"{file} is a database, but not one of MLflow", f"Set {ELSEWHERE}.")
    return None


def _written(file: Path, patience: float) -> set[str]:
    """Return the tables after taking the write lock, without writing."""
    with _opened(file, "rw", patience) as database:
        database.execute("begin immediate")
        tables = _tables(database)
        database.execute("rollback")
        return tables


def _broken(file: Path, error: sqlite3.Error) -> Cause:
    name = getattr(error, "sqlite_errorname", "")
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        remedy = "Close what holds it (fuser shows that), then: ntkrun sync."
        return Cause(MachineError, f"{file} is locked by another process", remedy)
    if name.startswith(("SQLITE_NOTADB", "SQLITE_CORRUPT")):
        remedy = f"Restore it from a copy, or set {ELSEWHERE}."
        return Cause(IntegrityError, f"{file} is not a sound database ({error})", remedy)
    return Cause(MachineError, f"{file} cannot be opened ({error})", f"Set {ELSEWHERE}.")


def _no_locks(file: Path) -> Cause:
    return Cause(
        MachineError, f"{file} lies on a file system without locks, which SQLite needs", f"Set {ELSEWHERE}."
    )


def _locks(folder: Path) -> bool:
    """Return whether the kind of lock that SQLite uses works in a folder."""
    try:
        import fcntl
    except ImportError:  # Windows has them everywhere
        return True
    try:
        # never on the database itself: closing any descriptor of a file releases all its locks
        with tempfile.TemporaryFile(dir=folder) as file:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in lock.MISSING
    return True


def settle(home: Path) -> None:
    """Repair the locations in <home>/mlflow.db if the folder was moved or copied; warn if that fails."""
    file = home / "mlflow.db"
    if not file.is_file():
        return
    try:
        with _opened(file, "ro") as database:
            if not _homes(database, home) - {str(home)}:
                return
        if cause := check(file):
            log.warning("tracking   %s", cause.error())
            return
        with lock.held(lock_of(file), "output_dir"):
            repair(file, home)
    except sqlite3.Error as error:
        log.warning("tracking   %s", _broken(file, error).error())
    except MachineError as error:
        log.warning("tracking   %s", error)


def repair(file: Path, home: Path) -> None:
    """Change locations under an earlier home to `home`; call it under the lock of the database.

    Locations in other folders stay. Raises sqlite3.Error.
    """
    with _opened(file, "rw") as database:
        if not {"experiments", "experiment_tags", "runs", "tags"} <= _tables(database):
            return
        database.execute("begin immediate")
        earlier = sorted(_homes(database, home) - {str(home)})
        for old in map(Path, earlier):
            for one, other in ((old.as_uri(), home.as_uri()), (str(old), str(home))):
                _rewrite(database, one + "/", other + "/")
        _remember(database, home)
        database.execute("commit")
    for old in map(Path, earlier):
        with suppress(OSError):
            if old.samefile(home):  # another name of the same folder
                continue
        log.info("tracking   %s was moved or copied from %s: its locations are repaired", home, old)


def _homes(database: sqlite3.Connection, home: Path) -> set[str]:
    """Return the homes of a database: the recorded ones, and those of artifacts that are in `home` now."""
    if not {"experiment_tags", "runs"} <= _tables(database):
        return set()
    told = database.execute("select distinct value from experiment_tags where key = ?", (HOME,))
    homes = {value for (value,) in told}
    mine = home.as_uri() + "/"
    places = database.execute(
        "select artifact_uri from runs where artifact_uri like ? and substr(artifact_uri, 1, ?) != ?",
        (f"file:///%/{ARTIFACTS}/%", len(mine), mine),
    )
    for (place,) in places:
        before, _, tail = place.rpartition(f"/{ARTIFACTS}/")
        old = urllib.parse.unquote(before.removeprefix("file://"))
        if old not in homes and (home / ARTIFACTS / urllib.parse.unquote(tail)).is_dir():
            homes.add(old)
    return homes


def _rewrite(database: sqlite3.Connection, old: str, new: str) -> None:
    known = _tables(database)
    for table, columns in LOCATIONS.items():
        for column in columns if table in known else ():
            ours = "and key in ('run_folder', 'sweep_folder')" if table == "tags" else ""
            database.execute(
                f"update {table} set {column} = ? || substr({column}, ?) "
                f"where substr({column}, 1, ?) = ? {ours}",
                (new, len(old) + 1, len(old), old),
            )


def _remember(database: sqlite3.Connection, home: Path) -> None:
    mine = home.as_uri() + "/"
    database.execute(
        "update experiment_tags set value = ? where key = ? and value != ?", (str(home), HOME, str(home))
    )
    database.execute(
        "insert into experiment_tags (key, value, experiment_id) "
        "select ?, ?, experiment_id from experiments e "
        "where substr(artifact_location, 1, ?) = ? and not exists "
        "(select 1 from experiment_tags t where t.experiment_id = e.experiment_id and t.key = ?)",
        (HOME, str(home), len(mine), mine, HOME),
    )


@dataclass(frozen=True)
class Lost:
    """Finished MLflow run whose artifacts are not where the database says."""

    run_id: str
    place: Path
    folder: Path


def lost(home: Path) -> list[Lost]:
    """Return the runs of <home>/mlflow.db without their artifacts; IntegrityError if it cannot be read."""
    file = home / "mlflow.db"
    if not file.is_file():
        return []
    try:
        with _opened(file, "ro") as database:
            if not {"runs", "tags"} <= _tables(database):
                return []
            rows = database.execute(
                "select run_uuid, artifact_uri, value from runs join tags using (run_uuid) "
                "where key = 'run_folder' and status = 'FINISHED' and lifecycle_stage = 'active' "
                "and artifact_uri like 'file:///%'"
            ).fetchall()
    except sqlite3.Error as error:
        raise IntegrityError(str(_broken(file, error).error())) from error
    runs = (Lost(run, _path(uri), Path(folder)) for run, uri, folder in rows)
    return [run for run in runs if not run.place.is_dir()]


def _path(uri: str) -> Path:
    return Path(urllib.parse.unquote(uri.removeprefix("file://")))
