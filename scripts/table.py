"""A table and a picture from run folders: what a sweep found, for docs/results/.

    python scripts/table.py runs=outputs/runs dataset=cifar10 out=docs/results/table1_cifar10

Every number comes from the folders' result.json; runs that differ in the seed alone share a line, mean
(standard deviation). `rows=50000` keeps only runs on that many training images.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from ntkrun.stages.baseline import human

IGNORED = {"name", "n_components", "random_state", "device", "dtype", "sketch_dim"}


def finished(root: Path, dataset: str, rows: int | None) -> list[dict[str, Any]]:
    """Return result and configuration of every finished run of a data set."""
    out = []
    for path in sorted(root.glob("*/result.json")):
        result = json.loads(path.read_text())
        config = json.loads((path.parent / "config.json").read_text())
        examples = len_of(config, result)
        if result["dataset"] == dataset and "test/accuracy" in result and rows in (None, examples):
            out.append({"result": result, "config": config, "folder": path.parent})
    return out


def len_of(config: dict[str, Any], result: dict[str, Any]) -> int:
    """Return the number of training examples, mirror images not counted."""
    views = 2 if config["dataset"].get("augment") == "flip" else 1
    return result["n_train"] // views


def label(config: dict[str, Any]) -> str:
    """Return the method with what is not at its default."""
    words = [config["method"]["name"]]
    layers = config["method"].get("layers")
    if layers:
        words.append(f"{layers.count('conv')} conv, {layers.count('pool')} pool")
    for key in ("degree", "depth", "trained"):
        default = {"degree": 2, "depth": 3, "trained": "inner"}[key]
        if config["method"].get(key, default) != default and not (key == "depth" and layers):
            words.append(f"{key} {config['method'][key]}")
    for key, plain in (("preprocess", "standardize"), ("augment", "none")):
        if config["dataset"].get(key, plain) != plain:
            words.append(config["dataset"][key])
    return ", ".join(words)


def lines(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return one line for all seeds of a configuration, sorted by name and size."""
    groups = defaultdict(list)
    for run in runs:
        groups[label(run["config"]), run["result"]["feature_dim"]].append(run["result"])
    out = []
    for (name, dim), results in sorted(groups.items()):
        mean = {
            key: float(np.mean([r[key] for r in results if key in r])) for key in results[0] if key in NUMBERS
        }
        out.append({"name": name, "dim": dim, "seeds": len(results), **mean})
        out[-1]["spread"] = float(np.std([r["test/accuracy"] for r in results]))
        out[-1]["kind"] = results[0].get("exact/time_kind", "-")
    return out


NUMBERS = (
    "test/accuracy",
    "time/featurize_s",
    "time/solve_s",
    "time/total_s",
    "memory/peak_rss_mb",
    "speedup",
)


def markdown(title: str, command: str, about: str, table: list[dict[str, Any]]) -> str:
    """Return the page."""
    text = [
        f"# {title}",
        "",
        f"`{command}`, {about}.",
        "Exact times are extrapolated unless they say measured.",
        "",
    ]
    text += ["| method | feature_dim | test accuracy | featurize | solve | total | over exact | peak MiB |"]
    text += ["|---|---|---|---|---|---|---|---|"]
    for row in table:
        spread = f" ({100 * row['spread']:.1f}, {row['seeds']} seeds)" if row["seeds"] > 1 else ""
        speed = f"{row['speedup']:,.0f} x, {row['kind']}" if "speedup" in row else "-"
        times = " | ".join(human(row[f"time/{k}_s"]) for k in ("featurize", "solve", "total"))
        text.append(
            f"| {row['name']} | {row['dim']} | {100 * row['test/accuracy']:.1f} %{spread} | {times} "
            f"| {speed} | {row['memory/peak_rss_mb']:,.0f} |"
        )
    return "\n".join(text) + "\n"


def draw(title: str, table: list[dict[str, Any]], path: Path) -> None:
    """Write accuracy against time and against feature_dim."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, grid = plt.subplots(1, 2, figsize=(12, 4.6), dpi=120, sharey=True)
    for i, name in enumerate(dict.fromkeys(row["name"] for row in table)):
        mine = [row for row in table if row["name"] == name]
        accuracy = [100 * row["test/accuracy"] for row in mine]
        grid[0].semilogx(
            [row["time/total_s"] / 60 for row in mine], accuracy, "o-", color=f"C{i}", label=name
        )
        grid[1].semilogx([row["dim"] for row in mine], accuracy, "o-", color=f"C{i}", label=name)
    grid[0].set(xlabel="minutes: featurize, solve, predict", ylabel="test accuracy, %", title=title)
    grid[1].set(xlabel="feature_dim", title="the same by size")
    for axes in grid:
        axes.grid(alpha=0.3, which="both")
    grid[1].legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path)
    plt.close(figure)


def main(words: list[str]) -> int:
    """Write <out>.md and <out>.png and return the exit code."""
    options = {"runs": "outputs/runs", "dataset": "cifar10", "rows": "", "out": "docs/results/table"}
    options |= dict(word.split("=", 1) for word in words)
    runs = finished(
        Path(options["runs"]), options["dataset"], int(options["rows"]) if options["rows"] else None
    )
    if not runs:
        print(f"no finished run on {options['dataset']} in {options['runs']}.", file=sys.stderr)
        return 3
    environment = json.loads((runs[0]["folder"] / "environment.json").read_text())
    about = (
        f"{environment['cpu']}, {environment['threads']} threads, torch {environment['packages']['torch']}"
    )
    title = f"{options['dataset']}: {len_of(runs[0]['config'], runs[0]['result']):,} training images"
    table, out = lines(runs), Path(options["out"])
    out.parent.mkdir(parents=True, exist_ok=True)
    text = markdown(title, f"python scripts/table.py {' '.join(words)}", about, table)
    out.with_suffix(".md").write_text(text)
    draw(title, table, out.with_suffix(".png"))
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
