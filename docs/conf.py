"""Sphinx: `make docs` writes outputs/docs/index.html."""

import hashlib
import logging
import os
import sys
from importlib.util import find_spec
from pathlib import Path

from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "docs" / "_ext")]

project = "ntkrun"
author = "The ntkrun developers"
extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_design",
    "mathml",
    "sources",
    "docstrings",
]
exclude_patterns = ["screenshots"]
html_theme = "furo"
html_title = "ntkrun"
font = Path(find_spec("ziamath").origin).parent / "fonts" / "STIXTwoMath-Regular.ttf"  # SIL Open Font License
html_static_path = ["_static", str(font)]
html_css_files = ["site.css"]
html_math_renderer = "mathml"
html_show_copyright = False
html_copy_source = False
html_show_sourcelink = False

default_role = "py:obj"  # names in docstrings are links where there is something to link to
autodoc_typehints = "none"  # docstrings say it with shapes
autodoc_member_order = "bysource"
napoleon_google_docstring = False
myst_heading_anchors = 3
myst_enable_extensions = ["dollarmath", "amsmath", "colon_fence"]
myst_update_mathjax = False

# Pages of gallery/ are run, each in an empty folder. Their output is kept until page or program changes.
nb_execution_mode = "cache"
nb_execution_raise_on_error = True
nb_execution_in_temp = True
nb_execution_timeout = 300
nb_merge_streams = False  # it breaks lines that came in pieces; sources.py joins them


def program() -> str:
    """Return a hash of all code and yaml that a page of the gallery may run."""
    files = [path for root in ("ntkrun", "conf") for path in sorted((ROOT / root).rglob("*.[py]*"))]
    digest = hashlib.sha256()
    for path in files:
        if path.suffix in (".py", ".yaml"):
            digest.update(f"{path.relative_to(ROOT)}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:12]


nb_execution_cache_path = str(ROOT / "outputs" / "docs_cache" / program())
# pages call `ntkrun` as a reader does, who has activated the environment
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
for name in ("NTKRUN_OUTPUT_DIR", "MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME"):
    os.environ.pop(name, None)
os.environ["NTKRUN_DATA_DIR"] = "data"  # below the page's own folder, not in the system's cache

NotebookClient.extra_arguments.default_args = (["--log-level=ERROR"],)
logging.getLogger("traitlets").setLevel(logging.WARNING)
