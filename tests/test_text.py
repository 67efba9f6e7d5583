"""Text from events is shown, never obeyed."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditframe.text import inert


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        ("\x1b[2Jgone", r"\x1b[2Jgone"),
        ("a\nb\tc", r"a\nb\tc"),
        ("user\u202egpj.exe", r"user\u202egpj.exe"),
        ("zero\u200bwidth", r"zero\u200bwidth"),
        ("line\u2028break", r"line\u2028break"),
        ("\ud800", r"\ud800"),
        ("\x9b31m", r"\x9b31m"),
    ],
)
def test_what_a_terminal_would_obey_is_spelled_out(hostile: str, shown: str) -> None:
    assert inert(hostile) == shown


@pytest.mark.parametrize("harmless", ["ana@example.com", "Łódź", "東京", "", "a b", "👩"])
def test_letters_of_any_script_stay(harmless: str) -> None:
    assert inert(harmless) == harmless


@given(st.text())
def test_nothing_live_comes_out(text: str) -> None:
    assert not {unicodedata.category(char) for char in inert(text)} & {"Cc", "Cf", "Cs", "Zl", "Zp"}
