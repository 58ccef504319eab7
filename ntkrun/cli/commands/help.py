"""ntkrun help: explain a choice, a group, a key or a command, from the yaml files."""

from __future__ import annotations

import argparse
import ast
import difflib
import re
import sys
import textwrap
from pathlib import Path
from typing import Any

from ntkrun.cli import help as texts
from ntkrun.cli.commands import COMMANDS, command
from ntkrun.errors import ConfigError, must_be

EXAMPLE = "ntkrun help ntk_nystrom   # also: help method, help method.bias, help depth, help list, help keys"
# packages whose modules are called as the `name` in a group's yaml files
PACKAGES = {"dataset": "datasets", "method": "maths/method", "solver": "solvers", "executor": "executors"}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    about = "a choice, a group, a key, a command, or keys"
    parser.add_argument("topics", nargs="*", metavar="topic", help=about)


def run(options: argparse.Namespace) -> int:
    """Print the explanations; ConfigError for a word that is nothing of these."""
    if not options.topics:
        sys.stdout.write(texts.help_text())
    for topic in options.topics:
        if topic in COMMANDS:
            command(topic)(["--help"])
        else:
            sys.stdout.write(explained(topic) + "\n")
    return 0


def explained(topic: str) -> str:
    """Return the explanation of a choice, a group or a key; of everything that has this name."""
    left, equals, right = topic.partition("=")
    if topic == "keys":
        return "\n".join(texts.top_keys())
    if not equals and topic in texts.GROUPS:
        names = texts.choices(topic)
        wide = max(map(len, names)) + 2
        return "\n".join(_filled(f"  {name:<{wide}}", meaning(topic, name)) for name in names)
    name = right if equals and left in texts.GROUPS else left
    groups = [left] if equals and left in texts.GROUPS else list(texts.GROUPS)
    found = [choice(group, name) for group in groups if name in texts.choices(group)]
    found += [text for text in [key(left)] if text and name == left]
    if found:
        return "\n\n".join(found)
    chosen = [name for group in texts.GROUPS for name in texts.choices(group)]
    near = difflib.get_close_matches(name, [*COMMANDS, *texts.GROUPS, *chosen, *texts.every_key()], 1)
    remedy = f"Did you mean ntkrun help {near[0]}?" if near else "See ntkrun --help."
    raise ConfigError(must_be("topic", "ntkrun help", "a choice, a group, a key or a command", topic, remedy))


def choice(group: str, name: str) -> str:
    """Return the meaning of a choice, its keys with defaults and meaning, and how to type them."""
    lines = inherited(group, name)
    out = [f"{group}={name}", *textwrap.wrap(meaning(group, name), texts.WIDTH), ""]
    if group == "experiment":
        path = texts.conf_dir() / group / f"{name}.yaml"
        return "\n".join([*out[:-1], "", *(f"  {line}" for line in path.read_text("utf-8").splitlines())])
    top = {line.split(":")[0].strip(): line for line in texts.top_keys()}
    for one, text in lines.items():
        linked = re.search(r": \$\{(\w+)\}", text[0])
        if linked and linked[1] in top:  # set by a key at the top
            out.append(top[linked[1]])
        elif one != "name":
            out += [f"  {group}.{text[0].strip()}", *(f"  {line}" for line in text[1:])]
    return "\n".join(out)


def key(name: str) -> str:
    """Return the lines that set a key, at the top or in a choice, with default and meaning; "" for none."""
    found = [line for line in texts.top_keys() if line.split(":")[0].strip() == name]
    group, _, last = name.rpartition(".")
    for one in (group,) if group in texts.GROUPS else texts.GROUPS[:4]:
        users: dict[str, list[str]] = {}
        for chosen in texts.choices(one):
            if text := inherited(one, chosen).get(last):
                users.setdefault("\n".join([text[0].strip(), *text[1:]]), []).append(chosen)
        for shown, names in users.items():
            found += [f"  {one}.{shown}", _filled("      of ", ", ".join(names))]
    return "\n".join(found)


def inherited(group: str, name: str) -> dict[str, list[str]]:
    """Return the lines of a choice's keys, those of the yaml files that it inherits from included."""
    import yaml

    path = texts.conf_dir() / group / f"{name}.yaml"
    out: dict[str, list[str]] = {}
    for parent in (yaml.safe_load(path.read_text("utf-8")) or {}).get("defaults", []):
        if isinstance(parent, str) and parent != "_self_":
            out |= inherited(group, parent)
    for one, (_, lines) in texts.nodes(path).items():
        comment = out.get(one, [""])[0].partition("#")[2]
        if comment and "#" not in lines[0]:  # a new value, with the old meaning
            lines = [f"{lines[0]:<28}#{comment}", *lines[1:]]
        out[one] = lines
    return out


def meaning(group: str, name: str) -> str:
    """Return a sentence about a choice: the comment that begins its yaml file, else that of its module."""
    path = texts.conf_dir() / group / f"{name}.yaml"
    said = []
    for line in path.read_text("utf-8").splitlines():
        if line.startswith("#") and "@package" not in line:
            said.append(line.lstrip("# "))
        elif not line.startswith("#"):
            break
    return " ".join(said) or _docstring(group, inherited(group, name).get("name", []))


def _docstring(group: str, lines: list[Any]) -> str:
    """Return the first line of the module that a choice names, without importing it."""
    name = lines[0].partition(":")[2].partition("#")[0].strip() if lines else ""
    module = Path(__file__).parents[2] / PACKAGES.get(group, "") / f"{name}.py"
    if not module.is_file():
        return ""
    return (ast.get_docstring(ast.parse(module.read_text("utf-8"))) or "").partition("\n")[0]


def _filled(begin: str, text: str) -> str:
    return textwrap.fill(text or "-", texts.WIDTH, initial_indent=begin, subsequent_indent=" " * len(begin))
