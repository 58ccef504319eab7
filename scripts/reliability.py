"""docs/reliability.md from docs/faults.jsonl, the record of all trials, and from the table in tests/cases.

    python -m scripts.reliability outputs/faults.jsonl docs/reliability.md   # adds new trials
    python -m scripts.reliability docs/reliability.md                        # its situations alone

A random group of n trials without a failure bounds the rate of failures by 3/n with 95 % confidence; an
exhaustive one has no rate to bound.
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

from ntkrun import machine

ROOT = Path(__file__).resolve().parent.parent

HEAD = """# Reliability

What was done to ntkrun and how often: every trial below passed, or there would be no line. After a kill, a
power loss or an error the same command is given again and has to end with shards bit-identical to those of an
undisturbed run and the same result, with no finished shard touched, no temporary file left and one MLflow run
for each finished run folder. `make test-faults` repeats all of it; a part runs in `make test`.
"""

SITUATIONS = """
## Situations that people met

Recreated from reports about this and neighbouring tools. `make test` plays each row (tests/cases): it looks
at the exit code, the words and the numbers.
"""

TAIL = """
## Not tried

* A plug that is really pulled, NFS and Lustre: power loss is simulated, locks are tried on a local disk.
* HDF5's own parser on hostile bytes (D10): a shard's checksum stands before it, which accidents do not pass,
  but somebody who can write shard and manifest does.
* MLflow's server under attack (S7): it is MLflow's, on 127.0.0.1.
* A limit on processor time (L4); many writers in one database (P4: ours take turns); locks left by
  another host (the system's locks die with their holder).
"""


# groups of single cases, which have a line for all and a list below
LISTED = {
    "C": "wrong configurations",
    "X": "wrong data, files and archives",
    "numbers": "inputs of any size, duplicates, constants; float16",
    "M": "defects planted in the code, each found by the suite",
}


def entries(*paths: Path) -> list[dict[str, Any]]:
    """Return the newest record of each line; those of `make test-faults` get this machine and their day."""
    about, found = machine.describe(), {}
    here = f"{about['cpu']}, {about['cores']} cores, {about['platform']}, Python {about['python']}"
    for line in "".join(path.read_text() for path in paths if path.exists()).splitlines():
        entry = json.loads(line)
        if entry.pop("full", True):
            if "time" in entry:
                day = datetime.fromtimestamp(entry.pop("time"), tz=UTC).date().isoformat()
                entry |= {"day": day, "machine": here}
            found[entry["group"], entry["what"]] = entry
    return sorted(found.values(), key=lambda r: (r["group"], r["what"]))


def page(records: list[dict[str, Any]]) -> str:
    """Return the page."""
    text = [HEAD]
    machines: dict[tuple[str, str], int] = {}
    for r in records:
        machines[r["machine"], r["day"]] = machines.get((r["machine"], r["day"]), 0) + 1
    seeds = ", ".join(sorted({str(r["seed"]) for r in records}))
    text.append(f"Seed {seeds}. Machines:\n")
    text += [f"* {where}: {count} lines on {day}" for (where, day), count in sorted(machines.items())]
    text += ["", "| plan | what | trials | failures | rate below (95 %) |", "|---|---|---|---|---|"]
    listed: dict[str, list[str]] = {}
    for r in records:
        if r["trials"] == 1 and r["group"] in LISTED:
            listed.setdefault(r["group"], []).append(r["what"])
            continue
        bound = "every case" if r["exhaustive"] or r["trials"] < 10 else f"{300 / r['trials']:.2g} %"
        text.append(f"| {r['group']} | {r['what']} | {r['trials']:,} | 0 | {bound} |")
    for group, cases in listed.items():
        text.append(f"| {group} | {LISTED[group]}, listed below | {len(cases)} | 0 | every case |")
    total = sum(r["trials"] for r in records)
    text += ["", f"{total:,} trials in all."]
    for group, cases in listed.items():
        text += ["", f"## {group}: {LISTED[group]}", "", *(f"* {case}" for case in cases)]
    return "\n".join(text) + "\n" + situations() + TAIL


def situations() -> str:
    """Return the tables of tests/cases, one per file."""
    text = [SITUATIONS]
    for path in sorted((ROOT / "tests" / "cases").glob("test_*.py")):
        module = import_module(f"tests.cases.{path.stem}")
        subject = str(module.__doc__).splitlines()[0].rstrip(".")
        text += [f"### {subject}", "", "| situation | now |", "|---|---|"]
        cases = sorted(module.CASES, key=lambda case: [int(n) for n in case.point.split(".")])
        text += ["| " + " | ".join(_cell(t) for t in (c.situation, c.now)) + " |" for c in cases]
        text.append("")
    return "\n".join(text)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def with_situations(text: str) -> str:
    """Return a page with today's table in the place of its own, or before its tail."""
    start, end = text.find(SITUATIONS[:20]), text.index(TAIL[:14])
    return text[: start if start >= 0 else end] + situations() + text[end:]


def main(words: list[str]) -> int:
    """Write the page and return the exit code."""
    if len(words) == 1:
        path = Path(words[0])
        path.write_text(with_situations(path.read_text()))
        return 0
    if len(words) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    kept, target = Path(words[1]).with_name("faults.jsonl"), Path(words[1])
    records = entries(kept, Path(words[0]))
    kept.write_text("".join(json.dumps(r, sort_keys=True) + "\n" for r in records))
    target.write_text(page(records))
    print(f"{len(records)} lines in {words[1]}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
