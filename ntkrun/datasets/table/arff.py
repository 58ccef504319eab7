"""Read the header of an ARFF file (Weka) or a KEEL .dat file."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

ATTRIBUTE = re.compile(r"@attribute\s+('(?:\\.|[^'])*'|\"(?:\\.|[^\"])*\"|[^\s{]+)\s*(.*)", re.IGNORECASE)


@dataclass(frozen=True)
class Header:
    """Attributes of an ARFF or KEEL file.

    Attributes
    ----------
    names : list of str
    categorical : list of str
        Those with a list of values.
    target : str or None
        The one in @outputs, if there is one.
    lines : int
        Lines before the first row.
    """

    names: list[str]
    categorical: list[str]
    target: str | None
    lines: int


def header(lines: Sequence[str]) -> Header | None:
    """Return the header; None if the first line that is no comment does not begin one.

    Raises ValueError for a header without attributes or @data, and for sparse rows.
    """
    content = (line.strip() for line in lines)
    if not next((line for line in content if line and line[0] != "%"), "").startswith("@"):
        return None
    names, categorical, target = [], [], None
    for number, line in enumerate(lines, 1):
        word = line.strip()
        if found := ATTRIBUTE.match(word):
            name = re.sub(r"\\(.)", r"\1", found[1][1:-1]) if found[1][0] in "'\"" else found[1]
            names.append(name)
            categorical += [name] if found[2].lstrip().startswith("{") else []
        elif word.lower().startswith(("@output", "@outputs")):
            target = word.split(None, 1)[-1].split(",")[0].strip()
        elif word.lower().startswith("@data"):
            after = next((row.strip() for row in lines[number:] if row.strip()), "")
            if after.startswith("{"):
                raise ValueError("sparse ARFF rows are not read. Write every value.")
            if names:
                return Header(names, categorical, target if target in names else None, number)
    raise ValueError("its ARFF header has no @attribute or no @data")
