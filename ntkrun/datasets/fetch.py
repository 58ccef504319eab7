"""Find the files of public data sets in the data folder, else download and check them."""

from __future__ import annotations

import hashlib
import logging
import os
import time
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ntkrun.errors import DataError, MachineError, NetworkError

log = logging.getLogger(__name__)

# errors of readers for a file that is truncated, damaged, encrypted or packed in an unknown way
DAMAGED = (ValueError, OSError, EOFError, LookupError, RuntimeError, zlib.error, zipfile.BadZipFile)

# a download stops if it is larger than LARGEST, or slower than SLOWEST after PATIENCE
LARGEST = 3 << 30  # bytes; STL-10 has 2.6e9
SLOWEST, PATIENCE = 2_000, 60  # bytes per second, seconds


def obtain(what: str, mirrors: Sequence[dict[str, str]], folder: Path) -> Path:
    """Return one of several equivalent files from the folder, else from a mirror.

    Raises DataError for a wrong checksum, NetworkError if no mirror answers, MachineError if the folder is
    not writable.

    Parameters
    ----------
    what : str
        Name of the data set, for messages.
    mirrors : list of {url, hash}
        Downloads, tried in turn; hash is "md5:..." or "sha256:...".
    folder : Path
    """
    if (path := _known(mirrors, folder)) is not None:
        return path
    if os.environ.get("NTKRUN_OFFLINE"):
        raise NetworkError(f"{what} is not in {folder} and NTKRUN_OFFLINE is set. Set dataset.path=FILE.")
    from ntkrun.store import lock

    try:
        folder.mkdir(parents=True, exist_ok=True)
        with lock.held(folder / ".download.lock", "data_dir"):  # only one process downloads
            return _known(mirrors, folder) or _download(what, mirrors, folder)
    except OSError as error:
        raise MachineError(f"{folder} cannot be written: {error.strerror}. Set data_dir=DIR.") from error


def _known(mirrors: Sequence[dict[str, str]], folder: Path) -> Path | None:
    """Return a file that is in the folder already, after checking it; None without one."""
    known = {m["url"].rsplit("/", 1)[-1]: m["hash"] for m in mirrors}
    for name, expected in known.items():
        if (folder / name).is_file():
            if checksum(folder / name, expected) == expected:
                return folder / name
            raise DataError(
                f"{folder / name} has another checksum than the published archive ({expected}). "
                f"Delete it to have it downloaded again, or name it if you trust it: "
                f"dataset.path={folder / name}."
            )
    return None


def _download(what: str, mirrors: Sequence[dict[str, str]], folder: Path) -> Path:
    import pooch
    import requests
    import urllib3

    errors = []
    for mirror in mirrors:
        name = mirror["url"].rsplit("/", 1)[-1]
        try:
            log.info("downloading %s to %s", mirror["url"], folder)
            return Path(
                pooch.retrieve(mirror["url"], mirror["hash"], fname=name, path=folder, downloader=_bounded)
            )
        except (requests.RequestException, urllib3.exceptions.HTTPError, ValueError, OSError) as error:
            errors.append(f"{mirror['url']}: {type(error).__name__}")
            log.debug("mirror failed", exc_info=True)
    names = " or ".join(dict.fromkeys(m["url"].rsplit("/", 1)[-1] for m in mirrors)) or "the file"
    raise NetworkError(
        f"{what} could not be downloaded ({'; '.join(errors) or 'no mirrors'}). "
        f"Put {names} into {folder}, or set dataset.path=FILE."
    )


def _bounded(url: str, target: str, _: Any) -> None:
    """Download to `target` for pooch; OSError for an answer that is too long or too slow."""
    import requests

    size, begin = 0, time.monotonic()
    plain = {"Accept-Encoding": "identity"}  # the checksum is that of the plain bytes
    with (
        requests.get(url, stream=True, timeout=30, headers=plain) as answer,
        Path(target).open("wb") as file,
    ):
        answer.raise_for_status()
        # read1 returns the bytes received so far; iter_content would wait for a full block
        while block := answer.raw.read1(1 << 20, decode_content=False):
            file.write(block)
            size, spent = size + len(block), time.monotonic() - begin
            if size > LARGEST or (spent > PATIENCE and size < SLOWEST * spent):
                raise OSError(f"{size:,} bytes in {spent:.0f} s, given up")
    if size != int(answer.headers.get("Content-Length", size)):
        raise OSError(f"ended after {size:,} bytes")


def checksum(path: Path, like: str) -> str:
    """Return the checksum of a file, "kind:digest", of the same kind as `like`."""
    kind = like.split(":", 1)[0]
    with path.open("rb") as file:
        return f"{kind}:{hashlib.file_digest(file, kind).hexdigest()}"
