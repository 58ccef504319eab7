"""Translate the errors of an MLflow store into a cause and a remedy."""

from __future__ import annotations

from pathlib import Path

from ntkrun.errors import ConfigError, IntegrityError, MachineError, NetworkError, NtkrunError
from ntkrun.log import redacted
from ntkrun.store.paths import sqlite_file
from ntkrun.tracking.database import ELSEWHERE, Cause, check


class Unpublished(Exception):
    """Publishing has failed for a known cause."""

    def __init__(self, cause: Cause):
        super().__init__(cause.what)
        self.cause = cause


def deleted(uri: str, name: str, number: str) -> Cause:
    """Return the cause for a deleted experiment."""
    return Cause(
        ConfigError,
        f"the experiment {name!r} of {redacted(uri)} is deleted",
        f"Restore it: MLFLOW_TRACKING_URI='{redacted(uri)}' mlflow experiments restore -x {number}, "
        "or take another: tracking.experiment=NAME (ntkrun sync --experiment NAME).",
    )


def of(error: Exception, uri: str) -> Cause:
    """Return the cause of an error of MLflow, its database or its server."""
    if isinstance(error, Unpublished):
        return error.cause
    if isinstance(error, NtkrunError):
        return Cause(type(error), str(error).rstrip("."), "")
    store, texts = redacted(uri), _texts(error)
    text = " ".join(texts)
    if isinstance(error, ModuleNotFoundError):
        return Cause(
            MachineError, f"{store} needs the package {error.name}", f"Run: pip install {error.name}."
        )
    if "out-of-date database schema" in text or "Can't locate revision" in text:
        return _schema(store, text)
    if "unsupported URI" in text or "Could not parse" in text or "maintenance mode" in text:
        return Cause(
            ConfigError,
            f"tracking.uri of Tracker must be the address of a database or a server. Got {store!r} instead",
            f"Set {ELSEWHERE}.",
        )
    http = error.get_http_status_code() if hasattr(error, "get_http_status_code") else None
    if http in (401, 403) or any(
        w in text for w in ("password authentication", "Access denied", "no password")
    ):
        return Cause(
            ConfigError,
            f"{store} refuses the user name or the password",
            "Set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD (or _TOKEN) for a server, "
            "or give a database's address with its password: ntkrun sync --uri.",
        )
    if http == 404 or "valid JSON" in text:
        remedy = "Check tracking.uri (ntkrun sync --uri), or try again later: ntkrun sync."
        return Cause(NetworkError, f"{store} does not answer as an MLflow server", remedy)
    file = sqlite_file(uri)
    if file and (cause := check(file.absolute())):  # it has changed since the last check
        return cause
    if isinstance(error, OSError) and error.filename and "://" not in str(error.filename):
        remedy = f"Free space or ask for the right to write there, or set {ELSEWHERE}."
        return Cause(MachineError, f"{error.filename} cannot be written: {error.strerror}", remedy)
    if file:
        return Cause(
            IntegrityError, f"{store} failed ({type(error).__name__}: {texts[0]})", "Later: ntkrun sync."
        )
    if _unreachable(text):
        return Cause(NetworkError, f"{store} cannot be reached", "Try again later: ntkrun sync.")
    return Cause(
        NetworkError, f"{store} failed ({type(error).__name__}: {texts[0]})", "Try again later: ntkrun sync."
    )


def _texts(error: BaseException | None) -> list[str]:
    """Return the first line of an error and of each error behind it."""
    out: list[str] = []
    while error is not None and len(out) < 8:
        out.append((str(error).splitlines() or [""])[0])
        error = error.__cause__ or error.__context__
    return out


def _unreachable(text: str) -> bool:
    signs = ("Max retries exceeded", "onnection", "timed out", "Name or service", "could not translate host")
    return any(sign in text for sign in signs)


def _schema(store: str, text: str) -> Cause:
    import re

    import mlflow

    found = re.search(r"found version (\w+)", text)
    versions = Path(mlflow.__file__).parent / "store" / "db_migrations" / "versions"
    if found and any(versions.glob(f"{found[1]}*.py")):
        remedy = f"Copy it, then bring it up to date: mlflow db upgrade '{store}'."
        return Cause(IntegrityError, f"{store} is of an older MLflow than {mlflow.__version__}", remedy)
    remedy = "Update it here: pip install -U mlflow."
    return Cause(IntegrityError, f"{store} is of a newer MLflow than {mlflow.__version__}", remedy)
