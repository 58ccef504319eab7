"""ntkrun compare: two runs on the same test rows."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from typing import Any

from ntkrun.cli.commands import add_run, named
from ntkrun.store.runs import Run, find, incidental, parameters

EXAMPLE = "ntkrun compare 3f2a latest   # ids as ntkrun list shows them"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_run(parser, "a", "b")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(options: argparse.Namespace) -> int:
    """Print both scores, their difference with its interval, a paired test, and what differs."""
    from ntkrun.report import paired

    root = named(options.output_dir)
    a, b = find(root, options.a), find(root, options.b)
    found = paired.of_runs([a], [b])
    differ = differences(a, b)
    if options.json:
        record = {"a_folder": str(a.folder), "b_folder": str(b.folder), **asdict(found)}
        keys = {key: {"a": one, "b": two} for key, one, two in differ}
        sys.stdout.write(json.dumps({**record, "verdict": found.verdict, "differ": keys}, indent=2) + "\n")
    else:
        sys.stdout.write(text(a, b, found, differ))
    return 0


def differences(a: Run, b: Run) -> list[tuple[str, Any, Any]]:
    """Return (key, of a, of b) of every parameter that differs, except those that change no result."""
    ours, theirs = parameters(a.config), parameters(b.config)
    keys = [k for k in {**ours, **theirs} if not incidental(k)]
    return [(k, ours.get(k), theirs.get(k)) for k in keys if ours.get(k) != theirs.get(k)]


def text(a: Run, b: Run, found: Any, differ: list[tuple[str, Any, Any]]) -> str:
    """Return the lines for the terminal."""
    rows = f"{found.rows} test rows, the same in both"
    lines = [("A", name(a)), ("B", name(b))]
    lines.append(("rows", rows if found.same_inputs else f"{rows} by their labels; their inputs differ"))
    lines.append((f"test {found.metric}", f"A {found.a:.4f}, B {found.b:.4f}"))
    interval = f"95 % interval {found.low:+.4f} to {found.high:+.4f}"
    lines.append(("A - B", f"{found.difference:+.4f}   {interval}"))
    alone = "" if found.only_a is None else f"; right in A alone {found.only_a}, in B alone {found.only_b}"
    lines.append((found.test, f"p = {found.p:.3g}{alone}"))
    lines.append(("so", found.verdict))
    lines += [("differ" * (i == 0), f"{k}: {one}, {two}") for i, (k, one, two) in enumerate(differ)]
    return "".join(f"{title:<16}{said}\n" for title, said in lines)


def name(run: Run) -> str:
    """Return the method, the columns and the folder of a run."""
    return f"{run.result['method']}, {run.result['feature_dim']} columns, {run.folder.name}"
