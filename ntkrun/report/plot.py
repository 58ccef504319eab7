"""Use matplotlib without a display."""

from __future__ import annotations

import io
from typing import Any


def pyplot() -> Any:
    """Return pyplot, set to draw into memory."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    return plt


def png(figure: Any) -> bytes:
    """Return a figure as PNG."""
    picture = io.BytesIO()
    figure.savefig(picture, format="png", bbox_inches="tight")
    return picture.getvalue()
