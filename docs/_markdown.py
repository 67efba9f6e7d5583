"""Markdown for generated pages: pages, blocks and tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

NOTICE = "<!-- Written by docs/generate.py; change what it describes, then run: make reference -->"


def page(title: str, lead: str, *parts: str) -> str:
    """Put a page together, its parts apart by blank lines."""
    return "\n\n".join([NOTICE, f"# {title}", lead, *parts]) + "\n"


def block(content: str, language: str = "text") -> str:
    """Fence a text that is there to be read."""
    return f"```{language}\n{content.strip()}\n```"


def code(content: str) -> str:
    """Mark a text as code inside a line."""
    return f"`{content}`"


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """Lay out a table."""
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
