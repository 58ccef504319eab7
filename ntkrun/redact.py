"""User names and passwords in addresses never reach a file, a log or the terminal."""

from __future__ import annotations

import logging
import re

ADDRESS = re.compile(r"(\w[\w+.-]*://)[^\s/@]+@")


def redacted(text: str) -> str:
    """Return the text with `scheme://user:password@` shortened to `scheme://***@`."""
    return ADDRESS.sub(r"\1***@", text)


class Formatter(logging.Formatter):
    """A formatter that redacts messages and tracebacks."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, or the lines of a traceback."""
        return redacted(super().format(record))
