"""Text from events, made safe to show: terminals, Markdown and plots get no live control characters."""

from __future__ import annotations

import unicodedata

# Cc control, Cf format (bidi marks, zero width), Cs lone surrogates, Zl and Zp line breaks.
_LIVE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def inert(text: str) -> str:
    r"""Show every character that a terminal or a page would obey, instead of sending it.

    Args:
        text: Any text, hostile or not.

    Returns:
        The text with control, format and line-breaking characters written as ``\x1b`` or
        ``\u202e``; everything else, letters of any script included, stays.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(_shown(char) if unicodedata.category(char) in _LIVE else char for char in text)


def _shown(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")
