"""Sphinx settings; `make docs` treats every warning as an error."""

from __future__ import annotations

import tomllib
from pathlib import Path

_PROJECT = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())["project"]

project = "AISA"
author = "The AISA authors"
copyright = "The AISA authors, Apache-2.0"
release = version = _PROJECT["version"]

extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
nitpicky = True

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

html_theme = "furo"
html_title = "AISA"
html_copy_source = False
html_theme_options = {"navigation_with_keys": True}
