"""Drift: what payloads hold that the catalogue and the columns do not know, read from their counted shapes."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from auditframe.catalogue import catalogue
from auditframe.schema import COLUMNS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from auditframe.schema import Kind


@dataclass(frozen=True, slots=True)
class _Seen:
    """How often something occurred, and its first and last event."""

    events: int
    first: tuple[datetime, str]
    last: tuple[datetime, str]

    def __add__(self, other: _Seen) -> _Seen:
        return _Seen(self.events + other.events, min(self.first, other.first), max(self.last, other.last))


@dataclass(frozen=True, slots=True)
class _Drift:
    """One thing that is not as the catalogue or the columns say."""

    kind: str
    field: str | None = None
    expected: str | None = None
    found: str | None = None


@dataclass(frozen=True, slots=True)
class _Node:
    """A key on the way to columns: the kind of the one that ends here, and the keys below."""

    kind: Kind | None = None
    below: dict[str, _Node] = field(default_factory=dict)


_UNKNOWN = _Node()
_WORDS = {"VARCHAR": "text", "BOOLEAN": "flag", "JSON": "mixed or empty"}
_FITTING: Mapping[Kind, tuple[str, ...]] = {
    "text": ("text",),
    "name": ("text",),
    "address": ("text",),
    "texts": ("list of text", "list"),
    "integer": ("number",),
    "number": ("number", "text"),
    "flag": ("flag",),
}
_TOLD: Mapping[Kind, str] = {"name": "text", "address": "text"}  # any text will do


def find_drift(answer: pa.Table, _: Mapping[str, Any]) -> pa.Table:
    """Turn counted shapes of payloads into what the catalogue and the columns do not know.

    Args:
        answer: One row for each type and shape, as ``json_structure`` writes shapes; types without events too.

    Returns:
        One row for each kind of drift, type and field, in this order.
    """
    found: dict[tuple[str, _Drift], _Seen | None] = {}
    for row in answer.to_pylist():
        if not row["events"]:
            found[row["type"], _Drift("never_seen")] = None
            continue
        seen = _Seen(row["events"], (row["first_at"], row["first_event_id"]), (row["last_at"], row["last_event_id"]))
        for drift in set(_drifts(row)):
            before = found.get((row["type"], drift))
            found[row["type"], drift] = before + seen if before else seen
    order = ("unknown_type", "unknown_field", "other_type", "unreadable", "never_seen")
    ranked = sorted(found, key=lambda key: (order.index(key[1].kind), key[0], key[1].field or "", key[1].found or ""))
    return pa.Table.from_pylist([_row(*key, found[key]) for key in ranked], schema=_drift_schema(answer))


def _drift_schema(answer: pa.Table) -> pa.Schema:
    schema = pa.schema([(name, pa.string()) for name in ("kind", "type", "field", "expected", "found")])
    for name in ("events", "first_at", "last_at", "first_event_id", "last_event_id"):
        schema = schema.append(answer.schema.field(name))
    return schema


def _row(type_: str, drift: _Drift, seen: _Seen | None) -> dict[str, Any]:
    first_at, first_id = seen.first if seen else (None, None)
    last_at, last_id = seen.last if seen else (None, None)
    return {
        "kind": drift.kind,
        "type": type_,
        "field": drift.field,
        "expected": drift.expected,
        "found": drift.found,
        "events": seen.events if seen else 0,
        "first_at": first_at,
        "last_at": last_at,
        "first_event_id": first_id,
        "last_event_id": last_id,
    }


def _drifts(row: Mapping[str, Any]) -> Iterator[_Drift]:
    if row["type"] not in catalogue():
        yield _Drift("unknown_type")
    if row["has_detail"] and row["shape"] is None:
        yield _Drift("unreadable")
    elif row["has_detail"]:
        yield from _below(json.loads(row["shape"]), _tree(row["type"]), "")


def _below(shape: Any, node: _Node, path: str, *, in_list: bool = False) -> Iterator[_Drift]:
    """Walk the shape of a payload along the columns' paths, and yield what no column reads or fits."""
    if shape == "NULL" or node.kind == "json":
        return
    if node.kind is not None:
        found = _word([shape] if in_list else shape)
        if found not in _FITTING[node.kind]:
            yield _Drift("other_type", path, _TOLD.get(node.kind, node.kind), found)
    elif isinstance(shape, dict):
        for key, inner in shape.items():
            where = f"{path}/{key}" if path else key
            yield from _below(inner, node.below.get(key, _UNKNOWN), where, in_list=in_list)
    elif isinstance(shape, list) and isinstance(shape[0], dict):
        yield from _below(shape[0], node, path, in_list=True)
    elif not node.below:
        yield _Drift("unknown_field", path, found=_word(shape))
    elif shape not in (["NULL"], "JSON"):
        yield _Drift("other_type", path, "object", _word(shape))


def _word(shape: Any) -> str:
    """Name a shape; a list of nothing is any list."""
    if isinstance(shape, list):
        inner = shape[0]
        return "list" if inner == "NULL" else f"list of {_word(inner)}"
    if isinstance(shape, dict):
        return "object"
    return _WORDS.get(shape, "number")


@cache
def _tree(type_: str) -> _Node:
    """Return the paths below the payload of a type that columns read."""
    root = _Node()
    for column in COLUMNS:
        for first, *steps in column.steps:
            # A type that is named like a key of the event, such as "actor", has no payload of its own there.
            if first == "*" or (first == type_ and first in catalogue()):
                root = _planted(root, steps, column.kind)
    return root


def _planted(node: _Node, steps: Sequence[str], kind: Kind) -> _Node:
    if not steps:
        return replace(node, kind=kind)
    first, *rest = steps
    return replace(node, below={**node.below, first: _planted(node.below.get(first, _Node()), rest, kind)})
