"""Docstrings as a page shows them: formulas in their own signs, pages as links, no unreadable defaults."""

from __future__ import annotations

import re
from typing import Any

from sphinx.application import Sphinx

SIGNS = (
    (re.compile(r"docs/(\w+(?:/\w+)*)\.md"), r":doc:`\1.md </\1>`"),
    (re.compile(r"<((?:grad )?[a-z](?:\(x\))?, [^<>]*?)>(?!`)"), r"⟨\1⟩"),
    (re.compile(r"\bsqrt\b"), "√"),
    (re.compile(r"\bgrad f\b"), "∇f"),
    (re.compile(r"\bkappa([01])"), lambda found: "κ" + "₀₁"[int(found[1])]),
    (re.compile(r"\bTheta\b"), "Θ"),
    (re.compile(r"\bphi\b"), "φ"),
    (re.compile(r"\bpsi\b"), "ψ"),
    (re.compile(r"\^2\b"), "²"),
    (re.compile(r"\^T\b"), "ᵀ"),
    (re.compile(r"\^-T\b"), "⁻ᵀ"),
    (re.compile(r"\^-1\b"), "⁻¹"),
    (re.compile(r"\^\(-1/2\)"), "⁻¹ᐟ²"),
    (re.compile(r" >= "), " ≥ "),
    (re.compile(r"⟩ ~ "), "⟩ ≈ "),
    (re.compile(r"\(\+\)"), "⊕"),
)


def typeset(app: Sphinx, what: str, name: str, found: Any, options: Any, lines: list[str]) -> None:
    """Put signs into the lines of a docstring, except into examples."""
    for i, line in enumerate(lines):
        if not line.lstrip().startswith(">>>"):
            for pattern, sign in SIGNS:
                line = pattern.sub(sign, line)
            lines[i] = line


def signature(
    app: Sphinx, what: str, name: str, found: Any, options: Any, arguments: str | None, returns: str | None
) -> tuple[str | None, str | None]:
    """Return the arguments with the default that a dataclass makes for each object: an empty dict."""
    return arguments and arguments.replace("<factory>", "{}"), returns


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect the handlers."""
    app.connect("autodoc-process-docstring", typeset, priority=400)  # before napoleon
    app.connect("autodoc-process-signature", signature)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
