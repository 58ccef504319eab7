"""Turn errors of Hydra and OmegaConf into one line, with the nearest valid name."""

from __future__ import annotations

import difflib
import re
import shlex

from ntkrun.cli.help import choices, every_key
from ntkrun.cli.words import quoted
from ntkrun.errors import NtkrunError

# plugins of Hydra 1.3, and the package to install for each
PLUGINS = {
    "hydra/launcher=joblib": "ntkrun[sweeps]",
    "hydra/launcher=submitit_local": "ntkrun[sweeps]",
    "hydra/launcher=submitit_slurm": "ntkrun[sweeps]",
    "hydra/launcher=ray": "hydra-ray-launcher",
    "hydra/launcher=rq": "hydra-rq-launcher",
    "hydra/sweeper=optuna": "ntkrun[sweeps]",
    "hydra/sweeper=ax": "hydra-ax-sweeper",
    "hydra/sweeper=nevergrad": "hydra-nevergrad-sweeper",
    "hydra/job_logging=colorlog": "hydra-colorlog",
    "hydra/hydra_logging=colorlog": "hydra-colorlog",
}


def nearest_key(name: str) -> str | None:
    """Return the key that somebody who typed `name` may have meant: misspelt, or without its group."""
    group, _, last = name.rpartition(".")
    known = sorted(every_key(), key=lambda key: key.rpartition(".")[0] != group)  # of its group first
    ends = [key.rpartition(".")[2] for key in known]
    near = difflib.get_close_matches(last, ends, 1, 0.65)
    return known[ends.index(near[0])] if near else None


# values of keys without a default, as one may type them
EXAMPLES = {"dataset.path": "FILE, such as mine.csv, mine.npz or a folder of images"}


def hydra_message(error: Exception) -> str:
    """Return one line for a Hydra or OmegaConf error."""
    if isinstance(error.__cause__, NtkrunError):
        return str(error.__cause__)
    text = " ".join(str(error).split())
    if several := re.search(r"Ambiguous value for argument '(.*?)'(?= 1\.|$)", text):
        key, _, value = several[1].partition("=")
        one = shlex.quote(f"{key}={quoted(value)}")
        return f"{several[1]} holds several values. Add -m for a sweep over them, or type {one} for one text."
    if unset := re.search(r"Missing mandatory value: .*full_key: (\S+)", text):
        example = EXAMPLES.get(unset[1], "VALUE")
        return f"{unset[1]} has no value. Type {unset[1]}={example}."
    if type(error).__module__.startswith("yaml"):
        return f"a configuration file cannot be read: {text}"
    missing = re.search(r"Could not (?:find|load) '?([\w/]+)/([^' /]+)'?", text)
    if missing:
        group, name = missing.groups()
        options = getattr(error, "options", None) or choices(group)
        names = sorted(option for option in options if not option.startswith("_"))
        near = difflib.get_close_matches(name, names, 1)
        hint = f" Did you mean {group}={near[0]}?" if near else ""
        if plugin := PLUGINS.get(f"{group}={name}"):
            hint = f' Install its plugin first: pip install "{plugin}".'
        return f"{group} of ntkrun must be one of {', '.join(names)}. Got {name!r} instead.{hint}"
    key = re.search(r"(?:Could not override '([^']+)'|Key '([^']+)' is not in struct)", text)
    if key:
        name = key.group(1) or key.group(2)
        shown = "hydra" if name.startswith("hydra.") else "job"
        hint = f" Did you mean {meant}?" if (meant := nearest_key(name)) else ""
        return f"{name!r} is not a key of the configuration.{hint} All keys: ntkrun --cfg {shown}."
    if "does not support sweep type" in text:
        return (
            "interval(...) of ntkrun must be beside an optimiser. Add hydra/sweeper=optuna, or list values."
        )
    return text[:400]
