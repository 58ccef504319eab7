"""Sphinx: `make docs` writes outputs/docs/index.html."""

project = "ntkrun"
author = "the ntkrun authors"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.mathjax"]
html_theme = "furo"
autodoc_typehints = "none"  # docstrings say it with shapes
autodoc_member_order = "bysource"
napoleon_google_docstring = False
myst_heading_anchors = 2
myst_enable_extensions = ["dollarmath", "amsmath"]
