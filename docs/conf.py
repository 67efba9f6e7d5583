"""Sphinx's settings: MyST pages, docstrings, no network."""

from __future__ import annotations

from typing import Any

from auditframe import __version__

project = "auditframe"
author = "The auditframe authors"
copyright = "2026, The auditframe authors"  # noqa: A001 - Sphinx's name
release = version = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"auditframe {__version__}"
html_show_sourcelink = False

myst_heading_anchors = 3
default_role = "code"
highlight_language = "text"

autodoc_typehints = "none"
autodoc_member_order = "bysource"
autodoc_class_signature = "mixed"
napoleon_use_ivar = True  # attributes are documented where they are listed, and only there


def setup(app: Any) -> None:
    """Leave out attributes that a class's docstring lists already."""
    app.connect("autodoc-skip-member", _skip_listed)


def _skip_listed(_app: Any, _what: str, _name: str, member: Any, _skip: bool, _options: Any) -> bool | None:  # noqa: FBT001
    return True if type(member).__name__ == "member_descriptor" else None
