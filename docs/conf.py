"""Sphinx's settings: MyST pages, docstrings, no network."""

from __future__ import annotations

from auditframe import __version__

project = "auditframe"
author = "The auditframe authors"
copyright = "2026, The auditframe authors"
release = version = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"auditframe {__version__}"
html_show_sourcelink = False

myst_heading_anchors = 3
default_role = "code"
highlight_language = "text"
suppress_warnings = ["misc.highlighting_failure"]  # the lexer of SQL does not know $name

autodoc_typehints = "none"
autodoc_member_order = "bysource"
autodoc_class_signature = "mixed"
napoleon_use_ivar = True  # attributes are documented where they are listed, and only there
