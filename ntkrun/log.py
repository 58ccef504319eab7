"""Log to the terminal and to files, without the user names and passwords in addresses."""

from __future__ import annotations

import logging
import re
import sys

ADDRESS = re.compile(r"(\w[\w+.-]*://)[^\s/@]+@")
_said: set[str] = set()  # warnings shown by this process, for `once`


def redacted(text: str) -> str:
    """Return the text with `scheme://user:password@` shortened to `scheme://***@`."""
    return ADDRESS.sub(r"\1***@", text)


class Formatter(logging.Formatter):
    """Formatter that redacts messages and tracebacks."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the redacted text of a record."""
        return redacted(super().format(record))


def to_terminal(once: bool = False) -> None:
    """Send the package's messages to stderr; call it again after stderr has changed.

    With `once`, this process shows a warning there only once, however many jobs of a sweep repeat it.
    """
    logger = logging.getLogger("ntkrun")
    logger.setLevel(logging.DEBUG)
    logging.raiseExceptions = False  # a log file on a full disk must not flood the terminal
    logger.propagate = False
    for old in [h for h in logger.handlers if isinstance(h, _Terminal)]:
        logger.removeHandler(old)
    handler = _Terminal(sys.stderr)
    handler.setLevel(logging.INFO)
    handler.setFormatter(Formatter())
    if not once:
        _said.clear()
    else:
        handler.addFilter(_unsaid)
    logger.addHandler(handler)


def _unsaid(record: logging.LogRecord) -> bool:
    """Return whether a record is no warning that was shown before; decimals in it do not count."""
    if record.levelno != logging.WARNING:
        return True
    text = re.sub(r"\d+\.\d+", "0", record.getMessage())
    new = text not in _said
    _said.add(text)
    return new


class _Terminal(logging.StreamHandler):
    """Handler that `to_terminal` adds."""
