"""Build the text of --help from the yaml files and the table of commands."""

from __future__ import annotations

import re
import textwrap
from functools import cache
from pathlib import Path
from typing import Any

from ntkrun.cli.commands import COMMANDS

GROUPS = ("dataset", "method", "solver", "executor", "experiment")
VARIABLE = re.compile(r"\$\{oc\.env:(\w+),(\w+)\}")  # in a yaml file, with the value without it
WIDTH = 110  # characters of a line
# keys of the first page; ntkrun help keys shows the others
MAIN = ("feature_dim", "depth", "seed", "device", "baseline", "features", "skip_finished", "output_dir")


def conf_dir() -> Path:
    """Return the folder of the yaml files, inside an installed package or at the top of the checkout."""
    package = Path(__file__).parent.parent
    inside = package / "conf"
    return inside if inside.is_dir() else package.parent / "conf"


def help_text() -> str:
    """Return what --help prints."""
    commands = "\n".join(f"  {name:<10}{about}" for name, (_, about) in COMMANDS.items())
    main = [line for line in top_keys() if line.split(":")[0].strip() in MAIN]
    return HELP.format(groups="\n".join(map(group_line, GROUPS)), keys="\n".join(main), commands=commands)


def group_line(group: str) -> str:
    """Return a group and its choices, in lines of at most WIDTH characters."""
    begin = f"  {group + '=':<13}"
    text = " | ".join(choices(group))
    return textwrap.fill(text, WIDTH, initial_indent=begin, subsequent_indent=" " * 15)


def choices(group: str) -> list[str]:
    """Return the sorted names of a group's yaml files, without inherited ones, which begin with _."""
    return sorted(path.stem for path in (conf_dir() / group).glob("[!_]*.yaml"))


def every_key() -> list[str]:
    """Return the sorted names of all keys that some configuration has, as they are typed."""
    import yaml

    def names(path: Path) -> list[str]:
        return list(yaml.safe_load(path.read_text("utf-8")) or {})

    out = {*names(conf_dir() / "config.yaml"), "tracking.uri", "tracking.experiment"}
    for group in ("dataset", "method", "solver", "executor"):
        for path in (conf_dir() / group).glob("*.yaml"):
            out |= {f"{group}.{name}" for name in names(path)}
    return sorted(name for name in out if name.rpartition(".")[2] not in ("defaults", "hydra"))


def top_keys() -> list[str]:
    """Return the lines of config.yaml that set a key, with their comments."""
    out = []
    for key, (value, text) in nodes(conf_dir() / "config.yaml").items():
        if nested(value):
            out += [f"  {key}.{line.strip()}" for line in text[1:]]
        else:
            out.append(f"  {text[0].strip()}")
    return [
        VARIABLE.sub(r"\2", line) + "".join(f"; or ${v[1]}" for v in VARIABLE.finditer(line)) for line in out
    ]


@cache
def nodes(path: Path) -> dict[str, tuple[Any, list[str]]]:
    """Return for each key of a yaml file its node and its lines, without `defaults` and `hydra`."""
    import yaml

    text = path.read_text("utf-8")
    lines, out = text.splitlines(), {}
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    for key, value in root.value if root else []:
        if key.value not in ("defaults", "hydra"):
            first, last = key.start_mark.line, value.end_mark
            stop = last.line + (last.column > 0)
            shown = [line for line in lines[first:stop] if line.strip() and not line.strip().startswith("#")]
            out[key.value] = value, shown
    return out


def nested(value: Any) -> bool:
    """Return whether a yaml node is a group of keys in lines of their own."""
    import yaml

    return isinstance(value, yaml.MappingNode) and not value.flow_style


HELP = """ntkrun: neural-tangent-kernel learning at the cost of a linear model
A run computes features of the data, fits ridge regression to them, and records score, times and model.

usage: ntkrun [key=value ...] [-m] [options]
       ntkrun COMMAND [options]

  ntkrun                                       digits, with the exact kernel beside it: a minute
  ntkrun dataset=csv dataset.path=mine.csv     your table; dataset=folder: your images, a folder per class
  ntkrun -m method=ntk_sketch,rff seed=0,1,2   a sweep: one run per combination, and the best by held-out rows

keys that matter, with their defaults (all: ntkrun help keys)
{keys}
  dataset.n_train: null       # rows to train with; null: all. dataset.path: your file or folder
  method.KEY, solver.KEY, ... # keys of one choice, with their meaning: ntkrun help ntk_nystrom

groups (dataset=mnist takes conf/dataset/mnist.yaml)
{groups}

commands (ID is the id in ntkrun list; options: ntkrun COMMAND --help)
{commands}

options
  -m, --multirun     sweep over comma-separated values, range(0,5), choice(a,b)
  --cfg job          print the composed configuration and stop
  --traceback, --version, --hydra-help
  TAB completion     eval "$(ntkrun -sc install=bash)"

exit codes: 0 ok, 2 configuration, 3 data, 4 integrity, 5 machine, 6 network, 7 a job of a sweep, 130 Ctrl-C
documentation: docs/ in the repository; begin with docs/tutorial.md
"""
