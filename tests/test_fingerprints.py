"""Fingerprints: what was added is held, in whatever portions it came; what was not is not."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from auditframe.fingerprints import Fingerprints

_TEXTS = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=3), max_size=30)


@given(st.lists(_TEXTS, max_size=8), _TEXTS)
def test_what_was_added_is_held_and_nothing_else(portions: list[list[str]], asked: list[str]) -> None:
    held = Fingerprints()
    for portion in portions:
        held.add(portion)
    added = {text for portion in portions for text in portion}

    assert held.may_hold(asked) == [text for text in asked if text in added]


def test_a_text_and_its_bytes_are_the_same() -> None:
    held = Fingerprints()
    held.add(["audit_log-ü"])

    assert held.may_hold(["audit_log-ü".encode()]) == ["audit_log-ü".encode()]
