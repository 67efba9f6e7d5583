"""Events to Arrow, column at a time; pure.

An event is cut at its top-level keys. The slices under ``actor``, ``project`` and the detail key stay JSON text until
equal ones have been found: actors repeat, so each distinct slice is parsed once and spread to its rows.
"""

from __future__ import annotations

import itertools
import json
import math
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow as pa

from auditframe.catalogue import lookup
from auditframe.errors import EventError
from auditframe.pages import REFUSALS, parse_page, parse_value, split_members
from auditframe.schema import COLUMNS, Column, arrow_schema

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    import pandas as pd

    _Values = pa.Array[Any] | pa.ChunkedArray[Any]

BODIES_PER_BATCH = 500
"""How many bodies become columns at once: bounds the memory beside the output."""

_YEAR_10000_S = 253_402_300_800
_MICROSECONDS = 1_000_000
_INT64 = range(-(2**63), 2**63)
_MISMATCH = object()


@dataclass(frozen=True, slots=True)
class Quarantined:
    """What arrived but could not be placed.

    Attributes:
        text: What arrived, byte for byte.
        reason: Why it could not be placed, as a sentence.
        event_id: Its id; None when it has no usable one.
        field: The field that is missing or unusable; "" when the whole text is.
    """

    text: bytes
    reason: str
    event_id: str | None
    field: str

    def error(self) -> EventError:
        """Return the error that a strict reader raises for it."""
        return EventError(
            f"Event {self.event_id or 'without an id'}: {self.reason}", event_id=self.event_id, field=self.field
        )


@dataclass(frozen=True, slots=True)
class Flattened:
    """Events as columns, and what could not become a row.

    Attributes:
        events: One row an event, in arrival order, with the columns of `schema.COLUMNS`.
        quarantine: What could not be placed, in arrival order. Rows + quarantined = events received.
        drift: By path, how many values had another type than documented; their column is null and the
            value is in ``detail`` and ``raw``.
    """

    events: pa.Table
    quarantine: tuple[Quarantined, ...] = ()
    drift: Mapping[str, int] = field(default_factory=dict)

    def to_pandas(self) -> pd.DataFrame:
        """Return the events as a DataFrame, in the same order."""
        return self.events.to_pandas()


@dataclass(frozen=True, slots=True)
class _Row:
    """A placeable event, cut at the keys that columns read."""

    id: str
    type: str
    at_us: int
    raw: str
    actor: bytes
    project: bytes
    detail: bytes


def flatten(bodies: Iterable[bytes], *, scope: str | None = None, seen_at: datetime | None = None) -> Flattened:
    """Flatten response bodies, or the contents of files, into columns.

    Args:
        bodies: Each one or more JSON documents: pages, arrays of events, events.
        scope: The pass that brought them; None leaves the column null.
        seen_at: When they arrived, aware; None leaves ``first_seen_at`` null.

    Returns:
        Rows in arrival order; an event that came twice is two rows.

    Raises:
        PageError: A body is not JSON, or no page.
    """
    remaining = iter(bodies)
    batches = iter(lambda: list(itertools.islice(remaining, BODIES_PER_BATCH)), [])
    return join_flattened(
        flatten_texts((event for body in batch for event in parse_page(body).events), scope=scope, seen_at=seen_at)
        for batch in batches
    )


def flatten_events(
    events: Iterable[Mapping[str, Any]], *, scope: str | None = None, seen_at: datetime | None = None
) -> Flattened:
    """Flatten events that are already decoded; ``raw`` is their compact JSON text.

    Args:
        events: Mappings as the endpoint's JSON decodes to.
        scope: The pass that brought them; None leaves the column null.
        seen_at: When they arrived, aware; None leaves ``first_seen_at`` null.

    Returns:
        Rows in the given order.
    """
    return flatten_texts(map(_encoded, events), scope=scope, seen_at=seen_at)


def flatten_texts(events: Iterable[bytes], *, scope: str | None = None, seen_at: datetime | None = None) -> Flattened:
    """Flatten the JSON texts of events, as `pages.parse_page` cuts them, in one batch."""
    rows: list[_Row] = []
    quarantine: list[Quarantined] = []
    for text in events:
        placed = _place(text)
        (rows if isinstance(placed, _Row) else quarantine).append(placed)  # type: ignore[arg-type]
    drift: Counter[str] = Counter()
    columns = _columns(rows, drift)
    columns["scope"] = pa.repeat(pa.scalar(scope, pa.string()), len(rows))
    columns["first_seen_at"] = pa.repeat(pa.scalar(seen_at, pa.timestamp("us", tz="UTC")), len(rows))
    columns["snapshot"] = pa.nulls(len(rows), pa.int64())
    table = pa.table([columns[column.name] for column in COLUMNS], schema=arrow_schema())
    return Flattened(table, tuple(quarantine), dict(drift))


def join_flattened(parts: Iterable[Flattened]) -> Flattened:
    """Put batches one after the other."""
    parts = list(parts)
    drift: Counter[str] = Counter()
    for part in parts:
        drift.update(part.drift)
    return Flattened(
        pa.concat_tables([arrow_schema().empty_table(), *(part.events for part in parts)]),
        tuple(item for part in parts for item in part.quarantine),
        dict(drift),
    )


def _encoded(event: Mapping[str, Any]) -> bytes:
    try:
        return msgspec.json.encode(event)
    except (msgspec.MsgspecError, UnicodeEncodeError, TypeError, OverflowError):
        return json.dumps(event, separators=(",", ":")).encode()


# Placing: an event becomes a row, or goes to quarantine with a reason.


def _place(text: bytes) -> _Row | Quarantined:
    members = split_members(text)
    if members is None:
        return Quarantined(text, "It is no JSON object.", None, "")
    raw = _utf8(text)
    if raw is None:
        return Quarantined(text, "It is not valid UTF-8.", None, "")
    id_, type_ = _name(members.get("id")), _name(members.get("type"))
    at_us = _at_us(members.get("effective_at"))
    for name, value in (("id", id_), ("type", type_), ("effective_at", at_us)):
        if value is None:
            return Quarantined(text, _reason(name, present=name in members), id_, name)
    assert id_ is not None and type_ is not None and at_us is not None  # noqa: S101, PT018 - for the type checker
    detail = members.get(type_, b"null")
    return _Row(id_, type_, at_us, raw, members.get("actor", b""), members.get("project", b""), detail)


def _reason(name: str, *, present: bool) -> str:
    wanted = "a whole or fractional number of Unix seconds from 1970 to 9999" if name == "effective_at" else "text"
    return f"Its '{name}' is not {wanted}." if present else f"It has no '{name}'."


def _utf8(text: bytes) -> str | None:
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError:
        return None


def _name(value: bytes | None) -> str | None:
    if value is None:
        return None
    decoded = parse_value(value)
    return decoded if _is_text(decoded) and decoded else None


def _at_us(value: bytes | None) -> int | None:
    if value is None:
        return None
    seconds = parse_value(value)
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds < _YEAR_10000_S:
        return None
    return seconds * _MICROSECONDS if isinstance(seconds, int) else round(seconds * _MICROSECONDS)


# Columns: a tree of the paths that columns read, walked once for each distinct slice.


@dataclass(frozen=True, slots=True)
class _Node:
    """A key on the way to columns: those that end here, with the rank of the path, and the keys below."""

    path: str
    readers: list[tuple[int, Column]] = field(default_factory=list)
    below: dict[str, _Node] = field(default_factory=dict)

    def plant(self, steps: Sequence[str], rank: int, column: Column) -> None:
        node = self
        for step in steps:
            node = node.below.setdefault(step, _Node(f"{node.path}/{step}"))
        node.readers.append((rank, column))


def _tree() -> dict[str, _Node]:
    roots: dict[str, _Node] = {}
    for column in COLUMNS:
        for rank, (root, *steps) in enumerate(column.steps):
            if steps:
                roots.setdefault(root, _Node(root)).plant(steps, rank, column)
    return roots


_TREE = _tree()
_DETAIL_ROOTS = [root for root in _TREE if root not in ("actor", "project")]
_Cells = dict[str, dict[int, tuple[int, Any]]]
"""By column and row: the rank of the path that was found, and the value."""


def _columns(rows: Sequence[_Row], drift: Counter[str]) -> dict[str, _Values]:
    types = [row.type for row in rows]
    columns = {
        "id": pa.array([row.id for row in rows], pa.string()),
        "type": pa.array(types, pa.string()),
        "area": _by_distinct(types, lambda type_: lookup(type_).area),
        "verb": _by_distinct(types, lambda type_: lookup(type_).verb),
        "effective_at": pa.array([row.at_us for row in rows], pa.int64()).cast(pa.timestamp("us", tz="UTC")),
        "raw": pa.array([row.raw for row in rows], pa.string()),
        "detail": pa.array([None if row.detail == b"null" else row.detail.decode() for row in rows], pa.string()),
    }
    columns |= _spread([("actor", row.actor) for row in rows], ["actor"], drift, actor_kind=_actor_kind)
    columns |= _spread([("project", row.project) for row in rows], ["project"], drift)
    columns |= _spread([(row.type, row.detail) for row in rows], _DETAIL_ROOTS, drift)
    return columns


def _by_distinct(values: Sequence[str], derive: Callable[[str], str]) -> _Values:
    encoded = pa.array(values, pa.string()).dictionary_encode()
    derived = pa.array([derive(str(value)) for value in encoded.dictionary.to_pylist()], pa.string())
    return _take(derived, encoded.indices)


def _spread(
    slices: Sequence[tuple[str, bytes]],
    roots: Sequence[str],
    drift: Counter[str],
    **computed: Callable[[Any], Any],
) -> dict[str, _Values]:
    """Read the columns under some roots from each distinct slice, then spread them to the rows.

    Args:
        slices: For each row the key that it stands under and its JSON text, empty when absent.
        roots: The roots of the tree to read; ``*`` reads under any key, another only under its own.
        drift: Where mismatches are counted.
        computed: Columns that a function derives from the whole decoded slice.
    """
    codes: dict[tuple[str, bytes], int] = {}
    of_row = [codes.setdefault(slice_, len(codes)) for slice_ in slices]
    times = Counter(of_row)
    cells: _Cells = {column.name: {} for root in roots for column in _readers(_TREE[root])}
    cells |= {name: {} for name in computed}
    for (key, text), code in codes.items():
        value = parse_value(text) if text else None
        found: Counter[str] = Counter()
        for root in roots:
            if root in ("*", key):
                _read(_TREE[root], value, cells, row=code, drift=found)
        for name, derive in computed.items():
            cells[name][code] = (0, derive(value))
        drift.update({path: count * times[code] for path, count in found.items()})
    indices = pa.array(of_row, pa.int64())
    return {name: _take(_array(name, by_code, len(codes)), indices) for name, by_code in cells.items()}


def _take(values: _Values, indices: _Values) -> _Values:
    spread: _Values = values.take(indices)
    return spread


def _readers(node: _Node) -> Iterator[Column]:
    yield from (column for _, column in node.readers)
    for child in node.below.values():
        yield from _readers(child)


def _array(name: str, cells: dict[int, tuple[int, Any]], length: int) -> _Values:
    type_ = arrow_schema().field(name).type
    if not cells:
        missing: _Values = pa.nulls(length, type_)
        return missing
    values: list[Any] = [None] * length
    for row, (_, value) in cells.items():
        values[row] = value
    array: _Values = pa.array(values, type_)
    return array


def _read(node: _Node, value: Any, cells: _Cells, *, row: int, drift: Counter[str]) -> None:
    """Walk a decoded value along the tree and put what the columns ask for into their cells."""
    if value is None:
        return
    for rank, column in node.readers:
        converted = _CONVERT[column.kind](value)
        if converted is _MISMATCH:
            drift[node.path] += 1
        elif row not in cells[column.name] or cells[column.name][row][0] > rank:
            cells[column.name][row] = (rank, converted)
    if not node.below:
        return
    if isinstance(value, dict):
        for key in node.below.keys() & value.keys():
            _read(node.below[key], value[key], cells, row=row, drift=drift)
    elif isinstance(value, list):
        for key, child in node.below.items():
            gathered = [element.get(key) if isinstance(element, dict) else None for element in value]
            _read(child, gathered, cells, row=row, drift=drift)
    else:
        drift[node.path] += 1


def _actor_kind(actor: Any) -> str | None:
    """Say whether a person or a service account acted: by the key's own type, else by who is named."""
    if not isinstance(actor, dict):
        return None
    session, api_key = (
        value if isinstance(value, dict) else {} for value in (actor.get("session"), actor.get("api_key"))
    )
    if api_key.get("type") in ("user", "service_account"):
        return str(api_key["type"])
    if isinstance(api_key.get("service_account"), dict):
        return "service_account"
    return "user" if isinstance(session.get("user") or api_key.get("user"), dict) else None


def _is_text(value: object) -> bool:
    """Whether a value is text that UTF-8 can hold; a lone surrogate escape is legal JSON, but no such text."""
    if not isinstance(value, str):
        return False
    return value.isascii() or not any("\ud800" <= char <= "\udfff" for char in value)


def _to_text(value: Any) -> Any:
    return value if _is_text(value) else _MISMATCH


def _to_texts(value: Any) -> Any:
    whole = isinstance(value, list) and all(element is None or _is_text(element) for element in value)
    return value if whole else _MISMATCH


def _to_integer(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if type(value) is int and value in _INT64 else _MISMATCH


def _to_number(value: Any) -> Any:
    """Take numbers, and text that is one: the endpoint sends latitudes as strings."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return _MISMATCH
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return _MISMATCH
    return number if math.isfinite(number) else _MISMATCH


def _to_flag(value: Any) -> Any:
    return value if isinstance(value, bool) else _MISMATCH


def _to_json(value: Any) -> Any:
    try:
        return msgspec.json.encode(value).decode()
    except (*REFUSALS, UnicodeEncodeError):
        return json.dumps(value, separators=(",", ":"))


_CONVERT: dict[str, Callable[[Any], Any]] = {
    "text": _to_text,
    "texts": _to_texts,
    "integer": _to_integer,
    "number": _to_number,
    "flag": _to_flag,
    "json": _to_json,
}
