"""Links from names in backquotes: paths go to pages or sources, classes and methods to the API page.

Sources are shown as pages below source/, and the API page links to the line where each name is defined.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx

import ntkrun
from ntkrun.maths.method import METHODS

ROOT = Path(ntkrun.__file__).resolve().parent.parent
FOLDERS = ("", "ntkrun/", "ntkrun/maths/", "docs/")  # where a path in the text may begin
LEXERS = {".py": "python", ".yaml": "yaml", ".toml": "toml", ".md": "markdown"}
RUN_FOLDER = re.compile(r"(?:/[\w.-]+)*/tmp\w+/")  # where a page of the gallery was run


def classes() -> dict[str, str]:
    """Return where names of classes and of methods are described: their full names on the API page."""
    out = {name: f"ntkrun.{name}" for name in ntkrun.__all__}
    for name in METHODS.names:
        made = METHODS.get(name)
        out[name] = out.get(made.__name__, f"{made.__module__}.{made.__name__}")
    return out


def found(text: str) -> str | None:
    """Return the path from the root of the file that a text names; None if it names none."""
    if Path(text).suffix in LEXERS and not text.startswith("/") and ".." not in text:
        for folder in FOLDERS:
            if (ROOT / folder / text).is_file():
                return folder + text
    return None


class Links:
    """The handlers of Sphinx's events, with the names that have links."""

    def __init__(self) -> None:
        self.classes = classes()

    def read(self, app: Sphinx, doctree: nodes.document) -> None:
        """Put links into a page that was read, and note the sources that they show."""
        page = app.env.docname
        shown: set[str] = set()
        for literal in list(doctree.findall(nodes.literal)):
            if not isinstance(literal.parent, nodes.reference | addnodes.pending_xref) and not in_title(
                literal
            ):
                self.link(app, page, literal, shown)
        for signature in doctree.findall(addnodes.desc_signature):
            if place := defined(signature.get("module"), signature.get("fullname", "")):
                path, line = place
                label = nodes.inline("", "source", classes=["source-link"])
                signature += nodes.reference("", "", label, refuri=f"{self.uri(app, page, path)}#L-{line}")
                shown.add(path)
        joined(doctree)
        sources(app)[page] = shown

    def link(self, app: Sphinx, page: str, literal: nodes.literal, shown: set[str]) -> None:
        """Replace a literal by a link, if there is something to link to."""
        text = literal.astext()
        known = {"refdoc": page, "refexplicit": True, "refwarn": True}
        if path := found(text):
            if path.startswith("docs/") and path.endswith(".md"):
                target = "/" + path.removeprefix("docs/").removesuffix(".md")
                new: nodes.Element = addnodes.pending_xref(
                    "", refdomain="std", reftype="doc", reftarget=target, **known
                )
            else:
                new = nodes.reference("", "", refuri=self.uri(app, page, path))
                shown.add(path)
        elif text in self.classes and page != "api":
            new = addnodes.pending_xref(
                "", refdomain="py", reftype="class", reftarget=self.classes[text], **known
            )
        else:
            return
        literal.replace_self(new)
        new += literal

    @staticmethod
    def uri(app: Sphinx, page: str, path: str) -> str:
        """Return the address of a source, relative to a page."""
        return app.builder.get_relative_uri(page, f"source/{path}")


def joined(doctree: nodes.document) -> None:
    """Join what a page of the gallery printed in pieces, without the folder in which it ran."""
    streams = [
        block for block in doctree.findall(nodes.literal_block) if "stream" in block.get("classes", [])
    ]
    for block in reversed(streams):
        before = block.parent.index(block) - 1
        if before >= 0 and block.parent[before] in streams:
            first = block.parent[before]
            text = first.astext() + block.astext()
            block.parent.remove(block)
        else:
            first, text = block, block.astext().strip("\r\n")
        text = RUN_FOLDER.sub("", text.replace("\r\n", "\n"))
        first.rawsource, first.children = text, [nodes.Text(text)]


def in_title(node: nodes.Node) -> bool:
    """Return whether a node is part of a heading."""
    return isinstance(node.parent, nodes.title)


def defined(module: str | None, name: str) -> tuple[str, int] | None:
    """Return file and line where an object of ntkrun is defined; None if Python cannot tell."""
    try:
        here = import_module(module or "")
        for part in name.split("."):
            here = getattr(here, part)
        here = inspect.unwrap(getattr(here, "fget", here))
        path = Path(inspect.getsourcefile(here) or "").resolve()
        return str(path.relative_to(ROOT)), inspect.getsourcelines(here)[1]
    except (ValueError, TypeError, AttributeError, OSError):
        return None


def sources(app: Sphinx) -> dict[str, set[str]]:
    """Return the sources that each page links to, which are kept between builds."""
    if not hasattr(app.env, "ntkrun_sources"):
        app.env.ntkrun_sources = {}  # type: ignore[attr-defined]
    return app.env.ntkrun_sources  # type: ignore[attr-defined]


def forget(app: Sphinx, env: Any, page: str) -> None:
    """Drop what is known of a page that is read again or is gone."""
    sources(app).pop(page, None)


def pages(app: Sphinx) -> Iterator[tuple[str, dict[str, Any], str]]:
    """Return the pages of all sources that are linked to."""
    for path in sorted(set().union(*sources(app).values())):
        text = (ROOT / path).read_text()
        code = app.builder.highlighter.highlight_block(  # type: ignore[attr-defined]
            text, LEXERS[Path(path).suffix], linenos="inline", lineanchors="L"
        )
        yield f"source/{path}", {"title": path, "body": f"<h1>{path}</h1>{code}"}, "page.html"


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect the handlers."""
    links = Links()
    app.connect("env-purge-doc", forget)
    app.connect("doctree-read", links.read)
    app.connect("html-collect-pages", pages)
    return {"version": "1", "parallel_read_safe": False, "parallel_write_safe": True}
