"""Show progress: a bar on a terminal or in a notebook, elsewhere a log line per tenth.

Say what a silent stretch is doing.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html import escape
from typing import Any, Protocol

from ntkrun.log import last_line

log = logging.getLogger(__name__)
SILENCE = 2.0  # seconds after which work says what it is doing
_doing: list[threading.Event] = []  # blocks of `saying`, the innermost last


class Advance(Protocol):
    """Callable that reports finished units."""

    def __call__(self, units: float) -> None:
        """Report that `units` more are done."""


@contextmanager
def saying(text: str, always: bool = True) -> Iterator[None]:
    """Log `text` if the block goes on and no line has come for SILENCE seconds; of nested blocks the inner.

    With `always` false only on a terminal: a mistake costs one line even if loading the libraries is slow.
    """
    begin = time.monotonic()

    def watch() -> None:
        while not done.wait(max(SILENCE / 10, left())):
            if _doing[-1:] == [done] and left() <= 0:
                log.info("%s", text)
                return

    def left() -> float:
        # work that has just begun may be over soon
        return max(begin + SILENCE / 4, last_line() + SILENCE) - time.monotonic()

    with _innermost() as done:
        if always or sys.stderr.isatty():
            threading.Thread(target=watch, daemon=True).start()
        yield


@contextmanager
def _innermost() -> Iterator[threading.Event]:
    """Keep the blocks around this one from speaking; the event is set when it ends."""
    done = threading.Event()
    _doing.append(done)
    try:
        yield done
    finally:
        done.set()
        _doing.remove(done)


@contextmanager
def progress(title: str, total: float, unit: str) -> Iterator[Advance]:
    """Show the progress of `total` units while the block runs."""
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn(unit),
            TimeRemainingColumn(),
        )
        with _innermost(), Progress(*columns, console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task(title, total=total)
            yield lambda units: bar.advance(task, units)
        return
    if (show := notebook()) is not None:
        with _innermost(), _cell(show, title, total, unit) as move:
            yield move
        return
    done, told, start = 0.0, 0, time.monotonic()

    def advance(units: float) -> None:
        nonlocal done, told
        done += units
        tenth = int(10 * done / total) if total else 10
        spent = time.monotonic() - start
        # short work gets no lines
        if tenth > told and spent > 5:
            left = spent * (total - done) / done
            log.info("%s: %d of %d %s, %.0f s left", title, done, total, unit, left)
        told = max(told, tenth)

    with saying(f"{title.strip():<11}{total:,.0f} {unit}"):
        yield advance


def notebook() -> Callable[[str], Any] | None:
    """Return a function that shows HTML in the cell of a notebook, if this is one.

    The function returns a handle with `update` and `display`.
    """
    shell = sys.modules.get("IPython")
    if shell is None or not hasattr(shell.get_ipython(), "kernel"):
        return None
    from IPython.display import HTML, display

    return lambda text: display(HTML(text), display_id=True)


@contextmanager
def _cell(show: Callable[[str], Any], title: str, total: float, unit: str) -> Iterator[Advance]:
    """Show a bar in the output of a cell; it ends as one line with the time."""
    from IPython.display import HTML

    done, start = 0.0, time.monotonic()
    shown = start
    handle: Any = None
    name, what = escape(" ".join(title.split())), escape(unit)

    def text(bar: bool, more: str) -> str:
        drawn = f'<progress max="{total:g}" value="{done:g}" style="vertical-align: middle"></progress> '
        return f"<div>{name}: {drawn if bar else ''}{done:g} of {total:g} {what}{more}</div>"

    def advance(units: float) -> None:
        nonlocal done, shown, handle
        done += units
        now = time.monotonic()
        if done > 0 and now - shown > 0.3:  # short work shows nothing
            shown, left = now, (now - start) * max(total - done, 0) / done
            words = text(True, f", {left:.0f} s left")
            if handle is None:
                handle = show(words)
            else:
                handle.update(HTML(words))

    yield advance
    if handle is not None:
        handle.update(HTML(text(False, f" in {human(time.monotonic() - start)}")))


def human(seconds: float) -> str:
    """Return a duration in a readable unit."""
    for unit, size in (("years", 365.25 * 86400), ("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"


def size(count: float) -> str:
    """Return a number of bytes in GiB, MiB or KiB."""
    for unit, scale in (("GiB", 30), ("MiB", 20)):
        if count >= 1 << scale:
            return f"{count / (1 << scale):,.1f} {unit}"
    return f"{count / 1024:.1f} KiB"


def ratio(value: float) -> str:
    """Return `value` to two significant digits without an exponent: "2,400 x"."""
    return f"{float(f'{value:.2g}'):,.10g} x"


def faster(value: float, low: float | None = None, high: float | None = None) -> str:
    """Return how much faster than the exact kernel: "150 x faster", or slower for a value below 1.

    With bounds that differ in two digits: "130 to 160 x faster".
    """
    if low is None or high is None or ratio(low) == ratio(high):
        return f"{ratio(value)} faster" if value >= 1 else f"{ratio(1 / value)} slower"
    if low < 1 < high:
        return f"between {faster(low)} and {faster(high)}"
    first, last, word = (low, high, "faster") if low >= 1 else (1 / high, 1 / low, "slower")
    return f"{ratio(first).removesuffix(' x')} to {ratio(last)} {word}"
