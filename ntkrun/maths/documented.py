"""Link from an estimator's HTML in a notebook to its documentation."""

from __future__ import annotations

from functools import cache
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path


class Documented:
    """Base of the estimators whose HTML links to the page about the API; put it before BaseEstimator."""

    def _get_doc_link(self) -> str:
        """Return the address of the documentation, "" for none; scikit-learn calls this for the HTML."""
        name, module = type(self).__name__, type(self).__module__
        return address(name) if module.split(".")[0] == "ntkrun" else ""


@cache
def address(name: str) -> str:
    """Return where the class `name` is documented.

    It is the address that pyproject.toml names as Documentation under project.urls. Without one it is
    docs/api.md of the checkout, as file://, and without a checkout "".
    """
    try:
        urls = metadata("ntkrun").get_all("Project-URL") or []
    except PackageNotFoundError:
        urls = []
    for entry in urls:
        label, _, url = entry.partition(", ")
        if label.lower() == "documentation":
            return f"{url.rstrip('/')}/api.html#ntkrun.{name}"
    page = Path(__file__).resolve().parents[2] / "docs" / "api.md"
    return page.as_uri() if page.is_file() else ""
