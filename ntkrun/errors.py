"""The errors a user meets: one sentence each, and the exit code of the process.

Every message is "<parameter> of <owner> must be <constraint>. Got <value> instead. <remedy>."
where a parameter is at fault; `must_be` builds that sentence so that it is the same everywhere.
"""

from __future__ import annotations

INTERRUPTED = 130  # exit code after Ctrl-C


class NtkrunError(Exception):
    """Base of all errors that are reported in one line. `exit_code` is what the process returns."""

    exit_code = 1


class ConfigError(NtkrunError, ValueError):
    """A parameter or the command line is wrong; found before any data is read."""

    exit_code = 2


class DataError(NtkrunError, ValueError):
    """The data set is missing, damaged or does not fit the method."""

    exit_code = 3


class IntegrityError(NtkrunError):
    """A file is not what its recorded checksum says."""

    exit_code = 4


class MachineError(NtkrunError):
    """Memory, disk, permission or device do not allow the run."""

    exit_code = 5


class NetworkError(NtkrunError):
    """A download failed."""

    exit_code = 6


class SweepError(NtkrunError):
    """Jobs of a sweep failed, or its launcher or sweeper did."""

    exit_code = 7


def must_be(parameter: str, owner: str, constraint: str, value: object, remedy: str = "") -> str:
    """Return the one-sentence message for a bad parameter.

    Very long values are cut, so that a message stays one readable line.
    """
    shown = repr(value)
    if len(shown) > 120:
        shown = shown[:117] + "..."
    sentence = f"{parameter} of {owner} must be {constraint}. Got {shown} instead."
    return f"{sentence} {remedy}".rstrip()
