"""Model of the report on types and fields that the catalogue and the columns do not know."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

from tests.models.reading import CATALOGUE, Event, Row, instant

_PAGE = Path(__file__).parents[2] / "docs" / "reference" / "columns.md"
_ROW = re.compile(r"^\| `(detail_\w+|resource_id)` \| `([^`]+)` \| [^|]* \| ([^|]+) \|", re.MULTILINE)
_HOLDS = {"string": "text", "list<element: string>": "texts", "int64": "integer", "bool": "flag"}
_FITS = {"texts": ("list", "list of text"), "integer": ("number",)}
_ANYTHING = ("detail_data", "detail_changes_requested", "detail_changes_requested_metadata")
"""Columns that hold whatever stands there, as JSON."""
_KINDS = ("unknown_type", "unknown_field", "other_type", "unreadable", "never_seen")

Drift = tuple[str, str, str | None, str | None, str | None]
"""The kind of drift, type, field, and what it should hold and does."""
Shape = Any
"""Null, text, flag, number, mixed or empty; shapes by name, of an object; a list of the one shape of its values."""


def catalogue_drift(log: list[Event], *, area: str | None = None) -> list[Row]:
    """Return what the catalogue and the columns do not know, and what is in the catalogue and was never seen."""
    seen = [event for event in log if _is_within(event.type, area)]
    found: dict[Drift, list[Event]] = {}
    for event in seen:
        if event.type not in CATALOGUE:
            found.setdefault(("unknown_type", event.type, None, None, None), []).append(event)
        for drift in _drifts(event.type, "", _shape(event.detail)):
            found.setdefault(drift, []).append(event)
    for type_ in CATALOGUE.keys() - {event.type for event in seen}:
        if _is_within(type_, area):
            found["never_seen", type_, None, None, None] = []
    return [_row(drift, found[drift]) for drift in sorted(found, key=_order)]


def _order(drift: Drift) -> tuple[int, str, str, str]:
    kind, type_, field, _, holds = drift
    return _KINDS.index(kind), type_, field or "", holds or ""


def _is_within(type_: str, area: str | None) -> bool:
    return area is None or type_.startswith(f"{area}.")


def _row(drift: Drift, events: list[Event]) -> Row:
    kind, type_, field, expected, found = drift
    return {
        "kind": kind,
        "type": type_,
        "field": field,
        "expected": expected,
        "found": found,
        "events": len(events),
        "first_at": instant(events[0].at) if events else None,
        "last_at": instant(events[-1].at) if events else None,
        "first_event_id": events[0].id if events else None,
        "last_event_id": events[-1].id if events else None,
    }


@cache
def _columns(type_: str) -> dict[str, str]:
    """Return what the columns hold of a type's payload, by path."""
    held = {}
    for name, arrow, paths in _ROW.findall(_PAGE.read_text(encoding="utf-8")):
        for place, path in re.findall(r"`([^`/]+)/([^`]+)`", paths):
            if place in ("*", type_):
                held[path] = "anything" if name in _ANYTHING else _HOLDS[arrow]
    return held


def _shape(value: Any) -> Shape:
    if isinstance(value, dict):
        return {name: _shape(each) for name, each in value.items()} or "mixed or empty"
    if isinstance(value, list):
        merged: Shape = "null"
        for each in value:
            merged = _merged(merged, _shape(each))
        return [merged]
    words = {type(None): "null", bool: "flag", str: "text"}
    return words.get(type(value), "number")


def _merged(one: Shape, other: Shape) -> Shape:
    """Return the shape of what has either of two."""
    if "null" in (one, other):
        return other if one == "null" else one
    if isinstance(one, dict) and isinstance(other, dict):
        return {name: _merged(one.get(name, "null"), other.get(name, "null")) for name in one | other}
    if isinstance(one, list) and isinstance(other, list):
        return [_merged(one[0], other[0])]
    return one if one == other else "mixed or empty"


def _word(shape: Shape) -> str:
    if isinstance(shape, dict):
        return "object"
    if isinstance(shape, list):
        return "list" if shape == ["null"] else f"list of {_word(shape[0])}"
    return str(shape)


def _drifts(type_: str, path: str, shape: Shape, *, is_listed: bool = False) -> set[Drift]:
    """Return what is not as the columns expect it, at a path of a payload and below."""
    held = _columns(type_)
    expected, found = held.get(path), _word(shape)
    if shape == "null" or expected == "anything":
        return set()
    if expected is not None:
        # A column of texts holds what the same field of several objects is, too.
        found = f"list of {found}" if is_listed else found
        fits = found == expected or found in _FITS.get(expected, ())
        return set() if fits else {("other_type", type_, path, expected, found)}
    if isinstance(shape, dict):
        parts = (
            _drifts(type_, f"{path}/{name}".lstrip("/"), each, is_listed=is_listed) for name, each in shape.items()
        )
        return set[Drift]().union(*parts)
    if isinstance(shape, list) and isinstance(shape[0], dict):
        return _drifts(type_, path, shape[0], is_listed=True)
    if path and not any(each.startswith(f"{path}/") for each in held):
        return {("unknown_field", type_, path, None, found)}
    is_empty = shape in (["null"], "mixed or empty")
    return set() if is_empty else {("other_type", type_, path, "object", found)}
