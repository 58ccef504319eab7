"""Log to the terminal and to files, without the user names and passwords in addresses."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import sys
import time
from functools import partial
from pathlib import Path
from typing import TextIO

ADDRESS = re.compile(r"(\w[\w+.-]*://)[^\s/@]+@")
# ANSI codes
STYLES = {"bold": "\x1b[1m", "yellow": "\x1b[33m", "red": "\x1b[31m"}
PLAIN = "\x1b[0m"
_last = time.monotonic()
_said: set[str] = set()  # warnings shown by this process, for `once`


def redacted(text: str) -> str:
    """Return the text with `scheme://user:password@` shortened to `scheme://***@`."""
    return ADDRESS.sub(r"\1***@", text)


class Formatter(logging.Formatter):
    """Formatter that redacts messages and tracebacks."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the redacted text of a record."""
        return redacted(super().format(record))


def coloured(stream: TextIO) -> bool:
    """Return whether a stream is a terminal with colours, and NO_COLOR does not forbid them."""
    forbidden = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return not forbidden and stream is not None and stream.isatty()


def painted(text: str, style: str, stream: TextIO) -> str:
    """Return text in a style of STYLES if the stream that it is written to has colours, else unchanged."""
    return f"{STYLES[style]}{text}{PLAIN}" if coloured(stream) else text


class _Painter(Formatter):
    """Formatter for a terminal: warnings are yellow, errors red."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the redacted text of a record, in the colour of its level."""
        text = super().format(record)
        if record.levelno < logging.WARNING:
            return text
        return painted(text, "red" if record.levelno >= logging.ERROR else "yellow", sys.stderr)


def to_terminal(once: bool = False, shared: Path | None = None) -> None:
    """Send the package's messages to stderr; call it again after stderr has changed.

    With `once`, this process shows a warning there only once, however many jobs of a sweep repeat it; with a
    folder `shared`, all processes together do, by a file there per warning, named *.said.
    """
    logger = logging.getLogger("ntkrun")
    logger.setLevel(logging.DEBUG)
    logging.raiseExceptions = False  # a log file on a full disk must not flood the terminal
    logger.propagate = False
    for old in [h for h in logger.handlers if isinstance(h, _Terminal)]:
        logger.removeHandler(old)
    handler = _Terminal(sys.stderr)
    handler.setLevel(logging.INFO)
    handler.setFormatter(_Painter())
    if not once:
        _said.clear()
    else:
        handler.addFilter(partial(_unsaid, shared))
    logger.addHandler(handler)


def _unsaid(shared: Path | None, record: logging.LogRecord) -> bool:
    """Return whether a record is no warning that was shown before; decimals in it do not count."""
    if record.levelno != logging.WARNING:
        return True
    text = re.sub(r"\d+\.\d+", "0", record.getMessage())
    if text in _said:
        return False
    _said.add(text)
    try:
        if shared:
            (shared / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.said").open("x").close()
    except FileExistsError:  # another process has said it
        return False
    except OSError:  # better twice than never
        return True
    return True


class _Terminal(logging.StreamHandler):
    """Handler that `to_terminal` adds."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record, and note the time."""
        super().emit(record)
        note_line()


def note_line() -> None:
    """Note that the terminal has got a line."""
    global _last
    _last = time.monotonic()


def last_line() -> float:
    """Return when the terminal got its last line, or when the program began, by time.monotonic."""
    return _last
