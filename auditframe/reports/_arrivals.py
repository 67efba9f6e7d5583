"""How events arrived: the windows that should have held late ones, and what other payloads of known ones change."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from auditframe.catalogue import SCOPES
from auditframe.lake import Lake
from auditframe.reports._relations import Relation
from auditframe.window import Window, union

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from auditframe.lake import Events
    from auditframe.lake.records import Entry

_INSTANT = pa.timestamp("us", tz="UTC")
_NAMED = 8
"""How many differing keys a sentence names."""


def _read_covered_before(events: Events, _: Mapping[str, Any]) -> pa.Table:
    rows = list(_covered_before(Lake(events.lake).ledger())) if events.lake else []
    return pa.Table.from_pylist(rows, schema=pa.schema(list(COVERED_BEFORE.columns.items())))


def _covered_before(entries: Sequence[Entry]) -> Iterator[dict[str, Any]]:
    covered: dict[str, tuple[Window, ...]] = dict.fromkeys(SCOPES, ())
    for entry in entries:
        if entry.collected and entry.counts.late:
            for scope, windows in covered.items():
                for window in windows:
                    yield {
                        "snapshot": entry.number,
                        "scope": scope,
                        "starts_at": window.start,
                        "ends_at": window.end,
                    }
        for each in entry.collected:
            read = [Window(span.start, span.end) for span in each.windows]
            covered[each.scope] = union([*covered.get(each.scope, ()), *read])


COVERED_BEFORE = Relation(
    "covered_before",
    {"snapshot": pa.int64(), "scope": pa.string(), "starts_at": _INSTANT, "ends_at": _INSTANT},
    "A window that had been read whole before a snapshot that brought late events began.",
    _read_covered_before,
)


def compare_payloads(answer: pa.Table, _: Mapping[str, Any]) -> pa.Table:
    """Say of each mutation which keys differ between ``raw``, the first payload, and ``text``, the other one.

    Returns:
        The same rows without both payloads; ``changed`` and ``severity`` are filled, ``why`` is ended.
    """
    rows = answer.to_pylist()
    found = [_differences(row["raw"], row["text"]) for row in rows]
    filled = {
        "severity": ["medium" if set(each.values()) == {"added"} else "high" for each in found],
        "why": [row["why"] + _told(each) for row, each in zip(rows, found, strict=True)],
        "changed": [[_written(path) for path in sorted(each)] for each in found],
    }
    for name, values in filled.items():
        at = answer.schema.get_field_index(name)
        answer = answer.set_column(at, name, pa.array(values, answer.schema.field(name).type))
    return answer.drop_columns(["raw", "text"])


def _differences(one: str, other: str | None) -> dict[str, str]:
    """Return by path what became of each leaf that differs: added, removed or altered."""
    try:
        before, after = dict(_leaves(_exact.decode(one))), dict(_leaves(_exact.decode(other or "null")))
    except (ValueError, RecursionError):
        return {}
    gone = dict.fromkeys(before.keys() - after.keys(), "removed")
    come = dict.fromkeys(after.keys() - before.keys(), "added")
    return gone | come | {path: "altered" for path in before.keys() & after.keys() if before[path] != after[path]}


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _leaves(inner, f"{path}/{key}" if path else key)
    else:
        yield path, value


def _told(differences: Mapping[str, str]) -> str:
    if not differences:
        return "which keys differ cannot be told."
    told = [f"{_written(path) or 'the whole'} was {what}" for path, what in sorted(differences.items())]
    more = f" and {len(told) - _NAMED} more" if len(told) > _NAMED else ""
    return f"{', '.join(told[:_NAMED])}{more}."


def _written(path: str) -> str:
    """Write half a surrogate pair, which JSON allows in a key and UTF-8 does not, as JSON does."""
    return path.encode("utf-8", "backslashreplace").decode()


def _number(text: str) -> tuple[str, str]:
    """Keep a number as it is written: to Python, 1 and 1.0 and true are equal."""
    return ("number", text)


_exact = json.JSONDecoder(parse_int=_number, parse_float=_number, parse_constant=_number)
