"""Draw the pictures of the documentation that consist of boxes and arrows, as SVG.

    python -m scripts.drawings docs/pictures

writes choosing.svg and steps.svg. Pages include them as they are: boxes are links, colours follow the theme.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from html import escape
from pathlib import Path

STYLE = """
  .drawn text { font-family: system-ui, sans-serif; font-size: 15px; fill: #1f2328; text-anchor: middle; }
  .drawn .small { font-size: 13px; fill: #57606a; }
  .drawn .code { font-family: ui-monospace, monospace; font-weight: 600; }
  .drawn .title { font-weight: 600; font-size: 17px; text-anchor: start; }
  .drawn .ask { fill: #ffffff; stroke: #6b6f76; stroke-width: 1.2; }
  .drawn .take { fill: #f0f6ff; stroke: #0a4bff; stroke-width: 1.2; }
  .drawn .line { stroke: #6b6f76; stroke-width: 1.5; fill: none; }
  .drawn .head { fill: #6b6f76; }
  .drawn a { text-decoration: none; }
  .drawn a .code { text-decoration: underline; }
"""


@dataclass(frozen=True)
class Rung:
    """A question, and the method and the reason behind its yes."""

    ask: tuple[str, str]
    take: str
    why: str


@dataclass(frozen=True)
class Ladder:
    """Questions one below the other, and the method that is left when each was answered with no."""

    title: str
    place: str  # anchor of the section with the facts
    rungs: tuple[Rung, ...]
    take: str
    why: str


LADDERS = (
    Ladder(
        "Images",
        "images",
        (
            Rung(
                ("Is accuracy all that counts,", "tangent kernel or not?"), "union", "ckn and random_patches"
            ),
            Rung(
                ("Are they few and small, so that", "the exact kernel is quick?"),
                "exact_cntk",
                "the kernel itself",
            ),
            Rung(
                ("Must features be independent", "of your images?"),
                "cntk_sketch",
                "oblivious, as in the paper",
            ),
        ),
        "cntk_nystrom",
        "fitted to patches, pools too",
    ),
    Ladder(
        "Rows of numbers",
        "rows-of-numbers",
        (
            Rung(
                ("Do n x n numbers fit into", "memory? 8,000 rows: 3.1 GiB"),
                "exact_ntk",
                "try a forest beside it",
            ),
            Rung(
                ("Must features be independent", "of your rows?"), "ntk_random_features", "or rff: try both"
            ),
        ),
        "ntk_nystrom",
        "from landmark rows",
    ),
    Ladder(
        "Sparse rows: text, counts",
        "sparse-rows",
        (Rung(("Must features be independent", "of your rows?"), "ntk_sketch", "method.variant=one_shot"),),
        "ntk_nystrom",
        "try a linear model beside it",
    ),
)

WIDTH, ASK, TAKE, HIGH, STEP = 580, 260, 240, 54, 84


def text(x: float, y: float, words: str, kind: str = "") -> str:
    """Return a line of text around x, or from x on for titles."""
    return f'<text x="{x:g}" y="{y:g}" class="{kind}">{escape(words)}</text>'


def box(x: float, y: float, wide: float, kind: str) -> str:
    """Return the frame of a box."""
    return f'<rect x="{x:g}" y="{y:g}" width="{wide:g}" height="{HIGH}" rx="8" class="{kind}"/>'


def right(x: float, y: float, end: float) -> str:
    """Return an arrow to the right."""
    head = f"M{end:g} {y:g}l-9 -5v10z"
    return f'<path d="M{x:g} {y:g}H{end - 8:g}" class="line"/><path d="{head}" class="head"/>'


def down(x: float, y: float, end: float) -> str:
    """Return an arrow downwards."""
    head = f"M{x:g} {end:g}l-5 -9h10z"
    return f'<path d="M{x:g} {y:g}V{end - 8:g}" class="line"/><path d="{head}" class="head"/>'


def method(x: float, y: float, wide: float, take: str, why: str, place: str) -> list[str]:
    """Return a method's box, which is a link to the facts."""
    lines = [box(x, y, wide, "take"), text(x + wide / 2, y + 23, take, "code")]
    return [f'<a href="#{place}">', *lines, text(x + wide / 2, y + 43, why, "small"), "</a>"]


def choosing() -> str:
    """Return the flow chart of docs/choosing.md."""
    out, y, left = [], 24.0, WIDTH - TAKE - 1
    for ladder in LADDERS:
        out.append(text(1, y, ladder.title, "title"))
        y += 14
        for rung in ladder.rungs:
            out += [box(1, y, ASK, "ask")]
            out += [text(1 + ASK / 2, y + 23 + 20 * i, words) for i, words in enumerate(rung.ask)]
            out += [
                right(1 + ASK, y + HIGH / 2, left),
                text((1 + ASK + left) / 2 - 3, y + HIGH / 2 - 7, "yes", "small"),
            ]
            out += method(left, y, TAKE, rung.take, rung.why, ladder.place)
            out += [
                down(1 + ASK / 2, y + HIGH, y + STEP),
                text(1 + ASK / 2 + 16, y + HIGH + 18, "no", "small"),
            ]
            y += STEP
        out += method(1, y, ASK, ladder.take, ladder.why, ladder.place)
        y += HIGH + 52
    about = "Questions for images, rows of numbers and sparse rows. The page says the same in words."
    return drawn(out, WIDTH, y - 48, "Which method?", about)


STEPS = (
    ("rows", "or images"),
    ("features", "⟨z(x), z(y)⟩ ≈ Θ(x, y)"),
    ("ridge", "regression"),
    ("score, model,", "report"),
)
SIZES = (96, 196, 106, 124)


def steps() -> str:
    """Return the picture of a run for the landing page."""
    out, x, gap = [], 1.0, 32
    for i, (words, wide) in enumerate(zip(STEPS, SIZES, strict=True)):
        out.append(box(x, 1, wide, "take" if i == 1 else "ask"))
        out += [text(x + wide / 2, 24 + 20 * k, line) for k, line in enumerate(words)]
        x += wide
        if i + 1 < len(STEPS):
            out.append(right(x, 1 + HIGH / 2, x + gap))
            x += gap
    about = "Rows or images become features, and ridge regression of them leaves score, model and report."
    return drawn(out, x + 1, HIGH + 2, "What a run does", about)


def drawn(parts: list[str], wide: float, high: float, title: str, about: str) -> str:
    """Return an SVG of these parts."""
    size = f'viewBox="0 0 {wide:g} {high:g}" width="{wide:g}" height="{high:g}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" class="drawn" {size}>'
    return "\n".join(
        [head, f"<title>{title}</title>\n<desc>{about}</desc>", f"<style>{STYLE}</style>", *parts, "</svg>\n"]
    )


DRAWINGS = {"choosing.svg": choosing, "steps.svg": steps}


def main(words: list[str]) -> int:
    """Write all drawings and return the exit code."""
    if len(words) != 1:
        print("Type: python -m scripts.drawings docs/pictures", file=sys.stderr)
        return 2
    for name, draw in DRAWINGS.items():
        Path(words[0], name).write_text(draw())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
