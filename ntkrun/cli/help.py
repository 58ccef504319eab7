"""What --help prints: groups and keys read off the yaml files, commands off their table."""

from __future__ import annotations

from pathlib import Path

from ntkrun.cli.commands import COMMANDS


def conf_dir() -> Path:
    """Return the folder of the yaml files: inside an installed package, else at the top of the checkout."""
    package = Path(__file__).parent.parent
    inside = package / "conf"
    return inside if inside.is_dir() else package.parent / "conf"


def help_text() -> str:
    """Return what --help prints; groups and keys are read off the yaml files."""
    conf = conf_dir()
    groups = []
    for group in ("dataset", "method", "solver", "executor", "experiment"):
        names = sorted(p.stem for p in (conf / group).glob("*.yaml"))
        groups.append(f"  {group + '=':<13}{' | '.join(names)}")
    keys = [
        "  " + line.rstrip()
        for line in (conf / "config.yaml").read_text("utf-8").splitlines()
        if line and not line.startswith((" ", "defaults", "hydra", "#", "tracking"))
    ]
    commands = "\n".join(f"  {name:<12}{about}" for name, (_, about) in COMMANDS.items())
    return HELP.format(groups="\n".join(groups), keys="\n".join(keys), commands=commands)


HELP = """ntkrun: neural-tangent-kernel learning at the cost of a linear model

usage: ntkrun [key=value ...] [-m] [options]
       ntkrun COMMAND [options]

  ntkrun                                              digits, cntk_sketch, exact kernel: a minute
  ntkrun dataset=cifar10 dataset.n_train=5000 feature_dim=4096
  ntkrun dataset=npz dataset.path=mine.npz            your arrays: x_train y_train x_test y_test
  ntkrun -m feature_dim=512,1024 seed=0,1             sweep: one run for each combination
  ntkrun method=exact_cntk baseline=none              the exact kernel itself
  ntkrun experiment=theorem_2                         what a theorem promises, measured

commands (ntkrun COMMAND --help says more):
{commands}

groups (a yaml file each in conf/; its keys are set as group.key=value):
{groups}

keys:
{keys}
  tracking.uri: null          # MLflow store; null is $MLFLOW_TRACKING_URI, else <output_dir>/mlflow.db

options:
  -m, --multirun     sweep over comma-separated values, range(0,5), choice(a,b)
  --cfg job          print the composed configuration and stop
  --traceback        show where an error came from
  --version          print the version
  --hydra-help       Hydra's own options

TAB completion: eval "$(ntkrun -sc install=bash)"
exit codes: 0 ok, 2 configuration, 3 data, 4 integrity, 5 machine, 6 network,
            7 some jobs of a sweep failed, 130 Ctrl-C
"""
