"""Log to the terminal and to files, without the user names and passwords in addresses."""

from __future__ import annotations

import logging
import re
import sys

ADDRESS = re.compile(r"(\w[\w+.-]*://)[^\s/@]+@")


def redacted(text: str) -> str:
    """Return the text with `scheme://user:password@` shortened to `scheme://***@`."""
    return ADDRESS.sub(r"\1***@", text)


class Formatter(logging.Formatter):
    """Formatter that redacts messages and tracebacks."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the redacted text of a record."""
        return redacted(super().format(record))


def to_terminal() -> None:
    """Send the package's messages to stderr; call it again after stderr has changed."""
    logger = logging.getLogger("ntkrun")
    logger.setLevel(logging.DEBUG)
    logging.raiseExceptions = False  # a log file on a full disk must not flood the terminal
    logger.propagate = False
    for old in [h for h in logger.handlers if isinstance(h, _Terminal)]:
        logger.removeHandler(old)
    handler = _Terminal(sys.stderr)
    handler.setLevel(logging.INFO)
    handler.setFormatter(Formatter())
    logger.addHandler(handler)


class _Terminal(logging.StreamHandler):
    """Handler that `to_terminal` adds."""
