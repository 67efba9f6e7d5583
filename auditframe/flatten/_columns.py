"""Columns: a tree of the paths that columns read, walked once for each distinct slice."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from auditframe.catalogue import lookup
from auditframe.flatten._convert import CONVERT, MISMATCH
from auditframe.pages import parse_value
from auditframe.schema import COLUMNS, Column, arrow_schema

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from auditframe.flatten._place import Row

    _Values = pa.Array[Any] | pa.ChunkedArray[Any]


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


def columns_of(rows: Sequence[Row], drift: Counter[str]) -> dict[str, _Values]:
    """Return every column that an event itself decides, by name; mismatches are counted in `drift` by path."""
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
        found: Counter[str] = Counter()
        value = _decoded(key, text, found)
        for root in roots:
            if root in ("*", key):
                _read(_TREE[root], value, cells, row=code, drift=found)
        for name, derive in computed.items():
            cells[name][code] = (0, derive(value))
        drift.update({path: count * times[code] for path, count in found.items()})
    indices = pa.array(of_row, pa.int64())
    return {name: _column(name, by_code, len(codes), indices) for name, by_code in cells.items()}


def _decoded(key: str, text: bytes, drift: Counter[str]) -> Any:
    """Decode a slice; one that cannot be decoded, nested too deeply, counts as drift and fills no column."""
    try:
        return parse_value(text) if text else None
    except ValueError:
        drift[key] += 1
        return None


def _take(values: _Values, indices: _Values) -> _Values:
    spread: _Values = values.take(indices)
    return spread


def _readers(node: _Node) -> Iterator[Column]:
    yield from (column for _, column in node.readers)
    for child in node.below.values():
        yield from _readers(child)


def _column(name: str, cells: dict[int, tuple[int, Any]], length: int, indices: _Values) -> _Values:
    """Build a column's distinct values and take the one of each row."""
    type_ = arrow_schema().field(name).type
    if not cells:
        missing: _Values = pa.nulls(len(indices), type_)
        return missing
    values: list[Any] = [None] * length
    for code, (_, value) in cells.items():
        values[code] = value
    return _take(pa.array(values, type_), indices)


def _read(node: _Node, value: Any, cells: _Cells, *, row: int, drift: Counter[str]) -> None:
    """Walk a decoded value along the tree and put what the columns ask for into their cells."""
    if value is None:
        return
    for rank, column in node.readers:
        converted = CONVERT[column.kind](value)
        if converted is MISMATCH:
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
