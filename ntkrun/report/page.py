"""Write one self-contained HTML page of tables, charts and details; nothing is loaded from elsewhere."""

from __future__ import annotations

import base64
import hashlib
import logging
import time
from pathlib import Path
from typing import Any

from ntkrun import __version__
from ntkrun.errors import DataError, IntegrityError
from ntkrun.report import charts, paired
from ntkrun.report.collect import Line, Sheet, sheets
from ntkrun.report.details import details
from ntkrun.report.points import points
from ntkrun.report.table import table
from ntkrun.store.atomic import write_atomic
from ntkrun.store.predictions import Predictions, read
from ntkrun.store.runs import Run

log = logging.getLogger(__name__)

SHOWN = 600  # most runs in the tables of a page
DETAILED = 100  # most runs with details
HERE = Path(__file__).parent


def render(runs: list[Run], title: str, beside: Path) -> str:
    """Return the page for the folder `beside`; every text from a run is escaped."""
    from jinja2 import Environment, StrictUndefined

    # autoescape: somebody else may have written the files that names and parameters come from
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string((HERE / "report.html.j2").read_text("utf-8"))
    style, library, code = (
        (HERE / "report.css").read_text("utf-8"),
        charts.script(),
        (HERE / "report.js").read_text("utf-8"),
    )
    finished = [run for run in runs if run.metric]
    found = sheets(runs)
    share = max(1, len(found))
    return template.render(
        title=title,
        version=__version__,
        count=len(finished),
        parts=[_part(sheet, beside, SHOWN // share, DETAILED // share) for sheet in found],
        troubled=[_trouble(run) for run in runs if run.state != "FINISHED"],
        machines=machines(finished),
        made=time.strftime("%Y-%m-%d %H:%M"),
        themes={name: charts.theme(name) for name in charts.THEMES},
        style=style,
        scripts=[library, code],
        policy=policy(style, [library, code]),
    )


def policy(style: str, scripts: list[str]) -> str:
    """Return a content policy that allows these texts alone, by their hashes, and pictures in the page."""

    def known(text: str) -> str:
        return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

    allowed = " ".join(map(known, scripts))
    rest = "img-src data:; base-uri 'none'; form-action 'none'"
    return f"default-src 'none'; script-src {allowed}; style-src {known(style)}; {rest}"


def write(runs: list[Run], title: str, path: Path) -> None:
    """Write the page atomically."""
    write_atomic(path, render(runs, title, path.parent).encode("utf-8", "backslashreplace"))


def shown(sheet: Sheet, most: int) -> list[Line]:
    """Return the lines for a table of at most `most` runs: exact kernels, then by held-out score."""
    order = [line for line in sheet.lines if line.exact]
    for line in (*sheet.ranked, *(line for line in sheet.lines if line.valid is None)):
        if not line.exact:
            order.append(line)
    out: list[Line] = []
    count = 0
    for line in order:
        if out and count + len(line.runs) > most:
            break
        out.append(line)
        count += len(line.runs)
    return sorted(out, key=lambda line: (line.label, line.dim))


def _part(sheet: Sheet, beside: Path, most: int, detailed: int) -> dict[str, Any]:
    lines = shown(sheet, most)
    chosen = set(map(id, shown(sheet, detailed)))
    read_runs = {id(line): [_kept(run) for run in line.runs] for line in lines if id(line) in chosen}
    whole = {key: [k for k in found if k] for key, found in read_runs.items() if all(found)}
    records = points(sheet, lines, whole)
    drawn = charts.charts(sheet, records)
    first = sheet.lines[0].runs[0].result
    head, rows = table(sheet, lines, beside, chosen)
    for record, row in zip(records, rows, strict=True):
        row |= {"best": record["best"], "interval": record["interval"]}
        record["sort"] = row.pop("sort")
    left_out = sum(len(line.runs) for line in sheet.lines) - sum(len(line.runs) for line in lines)
    return {
        "dataset": sheet.dataset,
        "metric": sheet.metric,
        "about": _about(sheet, first),
        "left_out": left_out,
        "head": head,
        "rows": rows,
        "best": sheet.ranked[0].called() if sheet.ranked else "",
        "paired": two_best(sheet),
        "details": [
            details(run, kept, beside) | {"what": _named(line, run)}
            for line in lines
            if id(line) in chosen
            for run, kept in zip(line.runs, read_runs[id(line)], strict=True)
        ],
        "pictures": [
            {
                "name": name,
                "caption": caption.split("{score}"),
                "still": {look: _data(spec, records, look) for look in charts.THEMES},
            }
            for name, caption, spec in drawn
        ],
        "data": {"lines": records, "charts": {name: spec for name, _, spec in drawn}},
    }


def _data(spec: dict[str, Any], records: list[dict[str, Any]], look: str) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(charts.svg(spec, records, look).encode()).decode()


def _about(sheet: Sheet, first: dict[str, Any]) -> str:
    sizes = sorted({line.n_train for line in sheet.lines})
    train = f"{sizes[0]:,}" if len(sizes) == 1 else f"{sizes[0]:,} to {sizes[-1]:,}"
    return f"{train} training rows, {first['n_test']:,} test rows"


def _kept(run: Run) -> Predictions | None:
    try:
        return read(run.folder)
    except IntegrityError as error:
        log.warning("%s", error)
        return None


def two_best(sheet: Sheet) -> dict[str, Any]:
    """Return the paired comparison of the two lines with the best held-out scores, or why there is none."""
    if len(sheet.ranked) < 2:
        return {}
    a, b = sheet.ranked[:2]
    names = {"a": a.called(), "b": b.called(), "runs": max(len(a.runs), len(b.runs))}
    try:
        return names | {"found": paired.of_runs(a.runs, b.runs), "why": ""}
    except (DataError, IntegrityError) as error:
        return names | {"found": None, "why": str(error)}


def _named(line: Line, run: Run) -> str:
    """Return the name of a run on the page."""
    fold = run.config.get("dataset", {}).get("fold")
    repeated = f", seed {run.config.get('seed')}" + (f", fold {fold}" if fold is not None else "")
    return line.called() + repeated


def _trouble(run: Run) -> dict[str, str]:
    return {"folder": run.folder.name, "state": run.state, "error": str(run.status.get("error", ""))}


def machines(runs: list[Run]) -> list[tuple[str, str, int]]:
    """Return (machine, versions, number of runs) for each environment of the runs."""
    counts: dict[tuple[str, str], int] = {}
    for run in runs:
        about = run.environment
        size = f"{about.get('cores')} cores, {about.get('threads')} thread{'s' * (about.get('threads') != 1)}"
        where = f"{about.get('cpu')}, {size}, Python {about.get('python')}"
        packages = ", ".join(f"{k} {v}" for k, v in about.get("packages", {}).items())
        if revision := about.get("git_revision"):
            packages += f"; git {str(revision)[:10]}{' with changes' if about.get('git_dirty') else ''}"
        counts[where, packages] = counts.get((where, packages), 0) + 1
    return [(where, packages, n) for (where, packages), n in counts.items()]
