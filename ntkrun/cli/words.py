"""Order and quote the words of a command line before Hydra reads them."""

from __future__ import annotations

import difflib
import os
import re
import shlex
import unicodedata
from typing import Any

from ntkrun.cli.commands import COMMANDS
from ntkrun.cli.help import GROUPS
from ntkrun.errors import ConfigError
from ntkrun.store.paths import PATHS, home

# Hydra's options that take a value, which moves to the front with them
VALUED = {
    "--cfg",
    "-c",
    "--config-name",
    "-cn",
    "--config-path",
    "-cp",
    "--config-dir",
    "-cd",
    "--package",
    "-p",
}
VALUED |= {"--shell-completion", "-sc"}
# keys whose value is always text: Hydra would read a folder called 2024.10 as 2024.1
TEXTS = {*PATHS, "device", "tracking.uri", "tracking.experiment", "dataset.target", "dataset.file"}
TEXTS |= {"dataset.labels", "dataset.test_folder"}
TEXTS |= {"dataset.title", "dataset.source", "method.name", "executor.address", "hydra.sweep.dir"}
LISTS = {"dataset.target"}  # may also be a list of texts
# interpolations for OmegaConf; any other ${ belongs to a name
INTERPOLATION = r"oc\.|now:|hydra:|(?:data_dir|output_dir|seed|feature_dim)\}|(?:dataset|method|tracking)\."
LONGEST = 4000  # characters of the longest line worth typing again


def split(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Return options, each followed by its value, and overrides; +experiment=x becomes experiment=x."""
    options, overrides = [], []
    queue = list(arguments)
    while queue:
        word = queue.pop(0)
        if word.startswith("-"):
            options.append(word)
            if word in VALUED and queue:
                options.append(queue.pop(0))
        else:
            overrides.append(word.removeprefix("+") if word.startswith("+experiment=") else word)
    return options, overrides


def prepared(arguments: list[str]) -> list[str]:
    """Return the words for Hydra 1.3: options first, and text that looks like a number in quotes.

    Raises ConfigError, with the line to type, for words that Hydra cannot read or would misread.
    """
    options, overrides = split(arguments)
    several = bool({"-m", "--multirun"} & set(options))
    ready: list[str] = []
    bad: list[str] = []
    for word, cut in _joined(overrides):
        key, equals, value = word.partition("=")
        if _parsed(f"{key}=x" if equals else word) is None:
            raise ConfigError(f"{word!r} is not key=value{_command(word)} All keys: ntkrun --cfg job.")
        new, good = _override(key, value, several) if equals else (word, True)
        ready.append(f"{key}={quoted(value)}" if cut else new)
        if cut or not good:
            bad.append(word)
    if bad:
        line = shlex.join(["ntkrun", *options, *ready])
        remedy = (
            f"Type: {line}" if len(line) <= LONGEST and _printable(line) else "Rename the file or folder."
        )
        shown = ", ".join(word if len(word) <= 200 else f"{word[:197]}..." for word in bad)
        raise ConfigError(f"{shown} cannot be read by Hydra. {remedy}")
    return [*options, *ready]


def _command(word: str) -> str:
    """Return a hint if the word looks like a command."""
    near = difflib.get_close_matches(word, COMMANDS, 1)
    return f" and not a command. Did you mean ntkrun {near[0]}?" if near else "."


def _joined(overrides: list[str]) -> list[tuple[str, bool]]:
    """Join words that the shell has cut at spaces; return (override, whether it was cut)."""
    out: list[tuple[str, bool]] = []
    for word in overrides:
        if out and "=" not in word and _parsed(word) is None and _key(out[-1][0]) in TEXTS:
            out[-1] = (f"{out[-1][0]} {word}", True)
        else:
            out.append((word, False))
    return out


def _key(word: str) -> str:
    return word.partition("=")[0].lstrip("+~")


def _override(key: str, text: str, several: bool) -> tuple[str, bool]:
    """Return the override for Hydra, and whether Hydra could read it as typed."""
    name = _key(key)
    # Hydra reads choice(a,b) as a,b but drops the quotes in it
    if several and name in TEXTS and (choice := re.fullmatch(r"choice\((.*)\)", text)):
        text = choice[1]
    parts = [_value(name, part) for part in (_elements(text) if several else [text])]
    good = all(fine for _, fine in parts)
    new = f"{key}={','.join(value for value, _ in parts)}"
    if _parsed(new) is None or (not good and os.path.lexists(text)):  # a file with a comma in its name
        return f"{key}={quoted(text)}", False
    return new, good


def _value(key: str, text: str) -> tuple[str, bool]:
    """Return one value for Hydra, and whether Hydra could read it as typed."""
    meant = home(text) if key in PATHS else text
    found = _parsed(f"x={meant}")
    if found is None:
        return quoted(text), False
    if key not in (*TEXTS, *GROUPS) or found.is_sweep_override():
        return meant, True
    value = found.value()
    if isinstance(value, str):
        return (quoted(home(value)) if key in PATHS and value != home(value) else meant), True
    if isinstance(value, list) and key in LISTS:
        return meant, True
    if isinstance(value, list | dict):
        return quoted(text), False
    # null unsets a key, except a group that needs a choice
    unset = value is None and (key not in GROUPS or key == "experiment")
    return (meant if unset else quoted(text.strip())), True


def _elements(text: str) -> list[str]:
    """Split the values of a sweep at commas, except those in quotes and brackets."""
    return re.findall(r"""(?:'(?:\\.|[^'])*'|"(?:\\.|[^"])*"|[\[({][^])}]*[])}]|[^,])+|(?<=,)|^$""", text)


def _parsed(word: str) -> Any:
    """Return an override as Hydra parses it; None if it cannot."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        return OverridesParser.create().parse_override(word)
    except (HydraException, RecursionError):
        return None


def quoted(text: str) -> str:
    """Return text in quotes and without interpolation, so that Hydra reads it literally."""
    text = re.sub(rf"(\\*)\$\{{(?!{INTERPOLATION})", r"\1\1\\${", text)
    return '"' + re.sub(r'(\\*)("|$)', lambda m: m[1] * 2 + ('\\"' if m[2] else ""), text) + '"'


def _printable(text: str) -> bool:
    """Return whether text has no line breaks or control characters."""
    return not any(unicodedata.category(sign) in ("Cc", "Cs", "Zl", "Zp") for sign in text)
