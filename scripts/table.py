"""A table and pictures from run folders, for docs/results/.

    python scripts/table.py outputs --experiment table1_cifar10 --out docs/results/table1_cifar10

Every number comes from the folders' result.json; runs that differ in the seed alone share a line. The same
collecting and drawing as in `ntkrun report`, as Markdown and PNG instead of one page.
"""

from __future__ import annotations

import argparse
import sys

from ntkrun.errors import NtkrunError
from ntkrun.report.charts import charts, png
from ntkrun.report.collect import Line, Sheet, runs_of, sheets
from ntkrun.report.page import machines
from ntkrun.report.points import points
from ntkrun.report.table import EXTRA
from ntkrun.store.paths import as_path

ERRORS = {key: EXTRA[key] for key in ("kernel/error", "kernel/spectral_error")}


def markdown(sheet: Sheet, command: str, note: str = "") -> str:
    """Return the page of one data set."""
    first = sheet.lines[0].runs[0].result
    (where, packages, _), *others = machines([run for line in sheet.lines for run in line.runs])
    mixed = "; and others" if others else ""
    text = [
        f"# {sheet.dataset}: {first['n_train']:,} training rows, {first['n_test']:,} test rows",
        "",
        *([note, ""] if note else []),
        f"`{command}`. {where}; {packages}{mixed}.",
        "± is one standard deviation over seeds or folds; times are featurizing, solving and predicting;",
        "speed-ups are over the exact kernel.",
        "",
    ]
    keys = [key.removeprefix("method.").removeprefix("dataset.") for key in sheet.keys]
    errors = [key for key in ERRORS if any(key in line.numbers for line in sheet.lines)]
    times = ["featurize", "solve", "total", "over exact", "peak MiB"]
    head = [*keys, f"test {sheet.metric}", "runs", *(ERRORS[key] for key in errors), *times]
    text += ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    text += ["| " + " | ".join(cells(line, sheet, errors)) + " |" for line in sheet.lines]
    return "\n".join(text) + "\n"


def cells(line: Line, sheet: Sheet, errors: list[str]) -> list[str]:
    """Return the cells of a line."""
    speed = "-"
    if "speedup" in line.numbers:
        speed = f"{line.numbers['speedup']:,.0f} x, {line.runs[0].result['exact/time_kind']}"
    varied = [str(line.varied.get(key, "-")) for key in sheet.keys]
    return [
        *varied,
        line.shown_score,
        str(len(line.runs)),
        *(f"{line.numbers[key]:.3g}" if key in line.numbers else "-" for key in errors),
        *line.shown_times,
        speed,
        f"{line.numbers['memory/peak_rss_mb']:,.0f}",
    ]


def main(words: list[str]) -> int:
    """Write <out>.md and <out>_<picture>.png and return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", help="output_dir of the runs, or a sweep's folder")
    parser.add_argument("--experiment", help="only runs with this tracking.experiment")
    parser.add_argument("--dataset", help="only runs on this data set")
    parser.add_argument(
        "--note", default="", help="a sentence or two: the commands of the runs, what to know"
    )
    parser.add_argument("--out", required=True, help="file name without its ending")
    options = parser.parse_args(words)
    try:
        found = sheets(runs_of(as_path(options.folder), options.experiment))
    except NtkrunError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    found = [sheet for sheet in found if options.dataset in (None, sheet.dataset)]
    if len(found) != 1:
        print(f"runs on {[sheet.dataset for sheet in found]}: name one with --dataset.", file=sys.stderr)
        return 2
    out = as_path(options.out)
    out.parent.mkdir(parents=True, exist_ok=True)
    shown = [word for word in words if word not in ("--note", options.note)]
    text = markdown(found[0], f"python scripts/table.py {' '.join(shown)}", options.note)
    records = points(found[0], found[0].lines, {})
    for name, _, spec in charts(found[0], records):
        out.with_name(f"{out.name}_{name}.png").write_bytes(png(spec, records))
        text += f"\n![{name}]({out.name}_{name}.png)\n"
    out.with_suffix(".md").write_text(text)
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
