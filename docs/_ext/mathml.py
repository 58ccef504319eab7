"""Formulas as MathML, which browsers show without scripts and without a network."""

from __future__ import annotations

from typing import Any

from docutils import nodes
from math_core import LatexError, LatexToMathML
from sphinx.application import Sphinx
from sphinx.util import logging

log = logging.getLogger(__name__)
converter = LatexToMathML(fancy_error=False)


def converted(node: nodes.Element, as_block: bool) -> str:
    """Return the MathML of a formula; warn about one that cannot be converted, which fails `make docs`."""
    try:
        return converter.convert_with_local_state(node.astext(), displaystyle=as_block)
    except LatexError as error:
        log.warning("formula %s: %s", node.astext(), error, location=node)
        return ""


def inline(self: Any, node: nodes.Element) -> None:
    """Write a formula within a line."""
    self.body.append(converted(node, False))
    raise nodes.SkipNode


def block(self: Any, node: nodes.Element) -> None:
    """Write a formula on lines of its own."""
    self.body.append(self.starttag(node, "div", CLASS="math") + converted(node, True) + "</div>\n")
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the renderer `mathml`."""
    app.add_html_math_renderer("mathml", (inline, None), (block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
