"""ntkrun clean: show what an output folder holds beside its runs, and remove what no run needs."""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from pathlib import Path
from typing import Any

from ntkrun.cli.commands import add_folder, opened
from ntkrun.errors import ConfigError, must_be
from ntkrun.progress import size
from ntkrun.store import inventory
from ntkrun.store.inventory import Inventory, Stored

UNITS = {"h": 3600.0, "d": 86400.0, "w": 7 * 86400.0}
ABOUT = """
Needed are the features that a finished run refers to (features_key in its result.json), and those that an
unfinished run would go on with. The others are removed, and with --older-than also needed ones whose last use
is older: model, scores and MLflow entry of a run stay, but the same run again computes its features anew.
Temporary files of killed processes are removed after a day. Features that a live run works with, links, and
files that ntkrun has not made are left alone.
  ntkrun clean --dry-run               what there is, and what would be removed
  ntkrun clean --older-than 30d        ask, then remove also what nobody has used for 30 days
  ntkrun clean runs/outputs --yes      of another folder, without asking
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = ABOUT.strip()
    add_folder(parser, "output_dir with features/ and runs/")
    parser.add_argument("--older-than", metavar="AGE", help="also features not used for AGE: 12h, 30d, 8w")
    parser.add_argument("--dry-run", action="store_true", help="print only")
    parser.add_argument("--yes", action="store_true", help="remove without asking")
    parser.add_argument("--json", action="store_true", help="one JSON object, for programs")


def run(options: argparse.Namespace) -> int:
    """Print the features and leftovers, ask, and remove."""
    older = None if options.older_than is None else age(options.older_than)
    root = opened(options.folder)
    found = inventory.inventory(root)
    chosen = [one for one in found.features if verdict(one, found.hidden, older)[0]]
    about = described(found, older)
    if not options.json:
        sys.stdout.write("\n".join(lines(found, about, root)) + "\n")
    if not chosen and not found.leftovers:
        done = "nothing to remove"
    elif options.dry_run:
        done = f"would remove {counted(chosen, found.leftovers)}"
    elif options.yes or agreed(counted(chosen, found.leftovers)):
        done = removed(chosen, found.leftovers, about)
    else:
        done = "nothing removed"
    text = json.dumps({**about, "done": done}, indent=1) if options.json else done
    sys.stdout.write(text + "\n")
    return 0


def age(words: str) -> float:
    """Return an age in seconds; ConfigError if it is not like 12h, 30d or 8w."""
    match = re.fullmatch(r"(\d{1,6}(?:\.\d+)?)([hdw])", words, re.ASCII)
    if match is None:
        constraint = "a number of hours, days or weeks, like 12h, 30d or 8w"
        raise ConfigError(must_be("--older-than", "ntkrun clean", constraint, words))
    return float(match[1]) * UNITS[match[2]]


def verdict(one: Stored, hidden: list[Path], older: float | None) -> tuple[bool, str]:
    """Return whether features are to be removed, and who needs them."""
    old = older is not None and time.time() - one.used > older
    if one.taken:
        return False, "in use"
    if one.runs:
        return old, f"needed by {short(one.runs)}"
    if one.unfinished:
        return old, f"to go on with {short(one.unfinished)}"
    if hidden:
        return old, f"perhaps needed by {short([path.name for path in hidden])}, which cannot be read"
    return True, "needed by no run"


def short(names: list[str]) -> str:
    """Return the last name and the number of the others."""
    return names[-1] + (f" and {len(names) - 1} more" if len(names) > 1 else "")


def described(found: Inventory, older: float | None) -> dict[str, Any]:
    """Return the content of an output folder for programs; times are in seconds since 1970."""
    features = []
    for one in found.features:
        chosen, state = verdict(one, found.hidden, older)
        about = {"key": one.folder.name, "bytes": one.bytes, "used": one.used, "runs": one.runs}
        about |= {"unfinished": one.unfinished, "state": state, "remove": chosen, "others": one.others}
        features.append(about)
    return {
        "features": features,
        "leftovers": [str(path) for path in found.leftovers],
        "links": [str(path) for path in found.links],
    }


def lines(found: Inventory, about: dict[str, Any], root: Path) -> list[str]:
    """Return the lines of the table."""
    out = [f"{'features':<26}{'size':>11}  {'last use':<18}"]
    for one in about["features"]:
        used = time.strftime("%Y-%m-%d %H:%M", time.localtime(one["used"]))
        out.append(f"{one['key']:<26}{size(one['bytes']):>11}  {used:<18}{one['state']}")
        if one["others"]:
            out.append(f"{'':<26}holds what ntkrun has not made, which stays: {short(one['others'])}")
    if not about["features"]:
        out = [f"{root} holds no features"]
    out += [f"{path.relative_to(root)}  left by a killed process" for path in found.leftovers]
    out += [f"{path.relative_to(root)}  a link, which is left alone" for path in found.links]
    return out


def counted(chosen: list[Stored], leftovers: list[Path]) -> str:
    """Return how much is to be removed."""
    words = [f"{len(chosen)} sets of features, {size(sum(one.bytes for one in chosen))}"] if chosen else []
    words += [f"{len(leftovers)} files of killed processes"] if leftovers else []
    return " and ".join(words)


def agreed(what: str) -> bool:
    """Ask on the terminal; ConfigError if there is none."""
    if sys.stdin is None or not sys.stdin.isatty():
        remedy = "Add --yes, or --dry-run to print only."
        raise ConfigError(must_be("input", "ntkrun clean", "a terminal, to be asked", "none", remedy))
    sys.stderr.write(f"Remove {what}? [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def removed(chosen: list[Stored], leftovers: list[Path], about: dict[str, Any]) -> str:
    """Remove, note it in `about`, and return what was removed and what has come into use in the meantime."""
    gone = [path for path in leftovers if inventory.discard(path)]
    done = [one for one in chosen if inventory.remove(one)]
    about["removed"] = [one.folder.name for one in done]
    text = f"removed {counted(done, gone) or 'nothing'}"
    late = len(chosen) + len(leftovers) - len(done) - len(gone)
    return text + (f"; {late} left, in use since" if late else "")
