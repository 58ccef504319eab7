"""Write one self-contained HTML page: tables and charts, no scripts, nothing loaded from elsewhere."""

from __future__ import annotations

import base64
import time
from pathlib import Path
from typing import Any

from ntkrun import __version__
from ntkrun.progress import ratio
from ntkrun.report.charts import figures, svg
from ntkrun.report.collect import Line, Sheet, sheets
from ntkrun.store.atomic import write_atomic
from ntkrun.store.runs import Run

EXTRA = {
    "speedup": "over exact",
    "kernel/error": "kernel error",
    "kernel/spectral_error": "spectral error",
}
TEMPLATE = Path(__file__).parent / "report.html.j2"


def render(runs: list[Run], title: str) -> str:
    """Return the page; every text from a run is escaped."""
    from jinja2 import Environment, StrictUndefined

    # autoescape: somebody else may have written the files that names and parameters come from
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string(TEMPLATE.read_text("utf-8"))
    finished = [run for run in runs if run.metric]
    return template.render(
        title=title,
        version=__version__,
        count=len(finished),
        parts=[_part(sheet) for sheet in sheets(runs)],
        troubled=[_trouble(run) for run in runs if run.state != "FINISHED"],
        machines=machines(finished),
        made=time.strftime("%Y-%m-%d %H:%M"),
    )


def write(runs: list[Run], title: str, path: Path) -> None:
    """Write the page atomically."""
    write_atomic(path, render(runs, title).encode("utf-8", "backslashreplace"))


def _part(sheet: Sheet) -> dict[str, Any]:
    pictures = [
        (caption, "data:image/svg+xml;base64," + base64.b64encode(svg(figure).encode()).decode())
        for _, caption, figure in figures(sheet)
    ]
    first = sheet.lines[0].runs[0].result
    columns = [key for key in EXTRA if any(key in line.numbers for line in sheet.lines)]
    return {
        "dataset": sheet.dataset,
        "metric": sheet.metric,
        "about": f"{first['n_train']:,} training rows, {first['n_test']:,} test rows",
        "keys": [key.removeprefix("method.") for key in sheet.keys],
        "extra": [EXTRA[key] for key in columns],
        "rows": [_row(line, sheet, columns) for line in sheet.lines],
        "pictures": pictures,
    }


def _row(line: Line, sheet: Sheet, columns: list[str]) -> dict[str, Any]:
    def show(key: str) -> str:
        if key not in line.numbers:
            return "-"
        return _speedup(line) if key == "speedup" else f"{line.numbers[key]:.3g}"

    return {
        "best": line is sheet.best,
        "varied": [str(line.varied.get(key, "-")) for key in sheet.keys],
        "score": line.shown_score,
        "seeds": len(line.runs),
        "times": line.shown_times,
        "memory": f"{line.numbers['memory/peak_rss_mb']:,.0f}",
        "extra": [show(key) for key in columns],
    }


def _speedup(line: Line) -> str:
    kinds = {run.result.get("exact/time_kind", "") for run in line.runs}
    return f"{ratio(line.numbers['speedup'])} ({', '.join(sorted(kinds))})"


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
