"""Errors that users see, each with an exit code.

`must_be` builds messages about a parameter:
"<parameter> of <owner> must be <constraint>. Got <value> instead. <remedy>."
"""

from __future__ import annotations

INTERRUPTED = 130  # exit code after Ctrl-C


class NtkrunError(Exception):
    """Base of the errors that are reported in one line; `exit_code` is that of the process."""

    exit_code = 1


class ConfigError(NtkrunError, ValueError):
    """A parameter or the command line is wrong; found before any data are read."""

    exit_code = 2


class DataError(NtkrunError, ValueError):
    """The data set is missing, damaged or does not fit the method."""

    exit_code = 3


class IntegrityError(NtkrunError):
    """A file does not match its recorded checksum."""

    exit_code = 4


class MachineError(NtkrunError):
    """Memory, disk, permissions or the device do not allow the run."""

    exit_code = 5


class NetworkError(NtkrunError):
    """A download failed."""

    exit_code = 6


class SweepError(NtkrunError):
    """Jobs of a sweep failed, or its launcher or sweeper did."""

    exit_code = 7


def must_be(parameter: str, owner: str, constraint: str, value: object, remedy: str = "") -> str:
    """Return the message for a bad parameter, with a long value cut to keep it readable."""
    shown = repr(value)
    if len(shown) > 120:
        shown = shown[:117] + "..."
    sentence = f"{parameter} of {owner} must be {constraint}. Got {shown} instead."
    return f"{sentence} {remedy}".rstrip()


def few(names: list[str]) -> str:
    """Return at most ten names, separated by commas, and the number of the rest."""
    rest = f" and {len(names) - 10} more" if len(names) > 10 else ""
    return ", ".join(names[:10]) + rest
