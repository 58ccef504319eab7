"""Files of public data sets: found in the data folder, else downloaded and checked."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Sequence
from pathlib import Path

from ntkrun.errors import DataError, NetworkError

log = logging.getLogger(__name__)


def obtain(what: str, mirrors: Sequence[dict[str, str]], folder: Path) -> Path:
    """Return one of several files that are as good as each other.

    Parameters
    ----------
    what : str
        Name of the data set, for messages.
    mirrors : list of {url, hash}
        Tried in turn; hash is "md5:..." or "sha256:...". A file that is in the folder already must have it.
    folder : Path

    Raises DataError for a file with another checksum, NetworkError where no mirror answers.
    """
    known = {m["url"].rsplit("/", 1)[-1]: m["hash"] for m in mirrors}
    for name, expected in known.items():
        if (folder / name).is_file():
            if checksum(folder / name, expected) == expected:
                return folder / name
            raise DataError(
                f"{folder / name} has another checksum than the published archive ({expected}). "
                f"If you trust it, name it: dataset.path={folder / name}."
            )
    return _download(what, mirrors, folder)


def _download(what: str, mirrors: Sequence[dict[str, str]], folder: Path) -> Path:
    import pooch
    import requests

    if os.environ.get("NTKRUN_OFFLINE"):
        raise NetworkError(f"{what} is not in {folder} and NTKRUN_OFFLINE is set. Set dataset.path=FILE.")
    errors = []
    for mirror in mirrors:
        name = mirror["url"].rsplit("/", 1)[-1]
        try:
            log.info("downloading %s to %s", mirror["url"], folder)
            get = pooch.HTTPDownloader(timeout=30, progressbar=False)
            return Path(
                pooch.retrieve(mirror["url"], mirror["hash"], fname=name, path=folder, downloader=get)
            )
        except (requests.RequestException, ValueError, OSError) as error:
            errors.append(f"{mirror['url']}: {type(error).__name__}")
            log.debug("mirror failed", exc_info=True)
    names = " or ".join(dict.fromkeys(m["url"].rsplit("/", 1)[-1] for m in mirrors)) or "the file"
    raise NetworkError(
        f"{what} could not be downloaded ({'; '.join(errors) or 'no mirrors'}). "
        f"Put {names} into {folder}, or set dataset.path=FILE."
    )


def checksum(path: Path, like: str) -> str:
    """Return the checksum of a file, "kind:digest", of the kind that `like` has."""
    kind = like.split(":", 1)[0]
    with path.open("rb") as file:
        return f"{kind}:{hashlib.file_digest(file, kind).hexdigest()}"
