"""Start a run, a sweep or a command, and turn errors into one line and an exit code.

Nothing heavy is imported before a run starts, so that --help, TAB and --cfg answer at once.
"""

from __future__ import annotations

import io
import os
import re
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from typing import Any

from ntkrun import __version__, machine
from ntkrun.cli.commands import COMMANDS, command
from ntkrun.cli.launch import launch
from ntkrun.cli.messages import hydra_message
from ntkrun.errors import INTERRUPTED, ConfigError, MachineError, NtkrunError
from ntkrun.log import painted, redacted, to_terminal

LINE_ENDS = (
    r"\s*[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]\s*"  # become one space; other spaces may belong to a name
)


class Stopped(KeyboardInterrupt):
    """SIGTERM or SIGHUP, which ends a run as Ctrl-C does, with its own exit code."""

    def __init__(self, number: int, *_: Any):
        super().__init__(number)
        self.exit_code = 128 + number


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    machine.spin_little()
    machine.end_soon()
    words = list(sys.argv[1:] if arguments is None else arguments)
    show = "--traceback" in words
    words = [w for w in words if w != "--traceback"]
    if words and words[0] in COMMANDS:
        return _guarded(lambda: command(words[0])(words[1:]), show)
    if "--version" in words:
        sys.stdout.write(f"ntkrun {__version__}\n")
        return 0
    if "--help" in words or "-h" in words:
        return _guarded(lambda: command("help")([w for w in words if not w.startswith("-")]), show)
    return _guarded(lambda: launch(words), show)


def _guarded(work: Callable[[], int], show: bool) -> int:
    """Do the work and return its exit code; print an expected error as one line."""
    _escape()
    to_terminal()
    _listen()
    try:
        return work()
    except KeyboardInterrupt as stop:
        code = getattr(stop, "exit_code", INTERRUPTED)
        return _say("interrupted. Finished shards are kept; run the same command again to go on.", code, show)
    except NtkrunError as error:
        return _say(str(error), error.exit_code, show)
    except SystemExit as stop:  # argparse has already printed why
        return stop.code if isinstance(stop.code, int) else ConfigError.exit_code
    except BrokenPipeError:  # the reader closed the pipe, as head does
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - it lives until the process ends
        return 0
    except Exception as error:
        if {type(error).__module__.split(".")[0], _raiser(error)} & {"hydra", "omegaconf", "yaml"}:
            return _say(hydra_message(error), ConfigError.exit_code, show)
        if isinstance(error, MemoryError) or "not enough memory" in str(error):
            remedy = "Lower feature_dim, shard_rows or dataset.n_train."
            return _say(f"out of memory. {remedy}", MachineError.exit_code, show)
        if isinstance(error, OSError):
            said = f"{error.filename or 'a file'}: {error.strerror or error}."
            return _say(said, MachineError.exit_code, show)
        raise


def _raiser(error: BaseException) -> str:
    """Return the package that raised the error; Hydra refuses some words with a plain ValueError."""
    frame = list(traceback.walk_tb(error.__traceback__))[-1][0]
    return str(frame.f_globals.get("__name__", "")).split(".")[0]


def _escape() -> None:
    """Escape characters that the terminal cannot encode, so that no name ends a run that went well."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _listen() -> None:
    """Let SIGTERM and SIGHUP end a run in order; ignored signals (nohup) stay ignored."""

    def stop(number: int, frame: Any) -> None:
        raise Stopped(number)

    if threading.current_thread() is threading.main_thread():
        for name in ("SIGTERM", "SIGHUP"):
            number = getattr(signal, name, None)  # Windows has no SIGHUP
            if number is not None and signal.getsignal(number) is signal.SIG_DFL:
                signal.signal(number, stop)


def _say(message: str, code: int, show: bool) -> int:
    if show:
        traceback.print_exc()
    line = f"ntkrun: {redacted(re.sub(LINE_ENDS, ' ', message).strip())}"
    sys.stderr.write(painted(line, "red", sys.stderr) + "\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
