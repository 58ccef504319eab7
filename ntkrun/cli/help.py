"""Build the text of --help from the yaml files and the table of commands."""

from __future__ import annotations

from pathlib import Path

from ntkrun.cli.commands import COMMANDS

GROUPS = ("dataset", "method", "solver", "executor", "experiment")


def conf_dir() -> Path:
    """Return the folder of the yaml files, inside an installed package or at the top of the checkout."""
    package = Path(__file__).parent.parent
    inside = package / "conf"
    return inside if inside.is_dir() else package.parent / "conf"


def help_text() -> str:
    """Return what --help prints."""
    groups = [f"  {group + '=':<13}{' | '.join(choices(group))}" for group in GROUPS]
    commands = "\n".join(f"  {name:<12}{about}" for name, (_, about) in COMMANDS.items())
    return HELP.format(groups="\n".join(groups), keys="\n".join(keys()), commands=commands)


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


def keys() -> list[str]:
    """Return the lines of config.yaml that set a key, with their comments."""
    import yaml

    text = (conf_dir() / "config.yaml").read_text("utf-8")
    lines, out = text.splitlines(), []
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    for key, value in root.value:
        if key.value in ("defaults", "hydra"):
            continue
        nested = isinstance(value, yaml.MappingNode) and not value.flow_style
        for name, _ in value.value if nested else [(key, value)]:
            prefix = f"{key.value}." if nested else ""
            out.append(f"  {prefix}{lines[name.start_mark.line].strip()}")
    return out


HELP = """ntkrun: neural-tangent-kernel learning at the cost of a linear model
A run computes features of the data, fits ridge regression to them, and records score, times and model.

usage: ntkrun [key=value ...] [-m] [options]
       ntkrun COMMAND [options]

  ntkrun                                              digits with cntk_sketch and the exact kernel: a minute
  ntkrun dataset=cifar10 dataset.n_train=5000 feature_dim=4096
  ntkrun dataset=csv dataset.path=mine.csv            your table: numbers, words, dates, missing values
  ntkrun dataset=folder dataset.path=pictures         your images: one folder per class
  ntkrun dataset=npz dataset.path=mine.npz            your arrays: x_train y_train x_test y_test
  ntkrun predict latest new.csv                       labels, probabilities or intervals for new rows
  ntkrun dataset=folder dataset.path=photos           your images: a folder per class, see docs/images.md
  ntkrun -m feature_dim=512,1024 seed=0,1             sweep: one run per combination
  ntkrun method=exact_cntk baseline=none              the exact kernel instead of features
  ntkrun experiment=theorem_2                         compare a theorem with measurements

commands (for their options: ntkrun COMMAND --help):
{commands}

groups (dataset=mnist takes conf/dataset/mnist.yaml; set its keys as dataset.n_train=5000):
{groups}

keys with their defaults (set as key=value):
{keys}

options:
  -m, --multirun     sweep over comma-separated values, range(0,5), choice(a,b)
  --cfg job          print the composed configuration and stop
  --traceback        show the traceback of an error
  --version          print the version
  --hydra-help       Hydra's own options

TAB completion: eval "$(ntkrun -sc install=bash)"
exit codes: 0 ok, 2 configuration, 3 data, 4 integrity, 5 machine, 6 network,
            7 some jobs of a sweep failed, 130 Ctrl-C
"""
