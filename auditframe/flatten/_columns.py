"""Columns: a tree of the paths that columns read, walked once for all distinct values under a key."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from auditframe.catalogue import lookup
from auditframe.flatten._convert import CONVERT, MISMATCH, are_plain
from auditframe.pages import REFUSALS, parse_value
from auditframe.schema import COLUMNS, Column

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Collection, Iterator, Sequence

    from msgspec import Raw

    from auditframe.flatten._place import Row
    from auditframe.schema import Kind

    _Numbers = np.ndarray[Any, np.dtype[np.signedinteger[Any]]]
    _Values = pa.Array[Any] | pa.ChunkedArray[Any]
    _Found = dict[str, list[tuple[int, list[Any]]]]
    """By column: the rank of each path that was walked, and where it leads from each distinct value."""
    _Parts = dict[str, list[tuple["_Slices", list[Any]]]]
    """By column: what it is for the distinct values of some rows."""

_MICROSECONDS = 1_000_000
_PLAIN = frozenset({dict, type(None)})
_WALKED = frozenset({*_PLAIN, list})


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


_OF_ONE_TYPE = _tree()
_OF_ANY_TYPE = _OF_ONE_TYPE.pop("*")
_ACTOR, _PROJECT = _OF_ONE_TYPE.pop("actor"), _OF_ONE_TYPE.pop("project")
_EXPLODED = ["actor_kind", *(column.name for column in COLUMNS if any(len(steps) > 1 for steps in column.steps))]
_TYPES: dict[str, Any] = {column.name: column.type for column in COLUMNS}
_as_values = msgspec.json.Decoder(list[Any])


@dataclass(frozen=True, slots=True)
class _Slices:
    """What stands under one key, each distinct value once.

    Attributes:
        values: The distinct values, decoded; None where there is none.
        rows: The rows that have one.
        codes: The place in `values` of what each of these rows has.
        is_strict: Whether msgspec decoded them, so that every text is one that UTF-8 can hold.
        drift: Where values of another type than documented are counted, by path.
    """

    values: list[Any]
    rows: _Numbers
    codes: _Numbers
    is_strict: bool
    drift: Counter[str]

    def count(self, path: str, wrong: Collection[int]) -> None:
        """Count values of another type, given by their places, as often as rows have them."""
        if wrong:
            self.drift[path] += int(np.isin(self.codes, list(wrong)).sum())


def columns_of(rows: Sequence[Row], raws: Sequence[bytes], drift: Counter[str]) -> dict[str, _Values]:
    """Return every column that an event itself decides, by name; mismatches are counted in `drift` by path."""
    types = pa.array([row.type for row in rows], pa.string()).dictionary_encode()
    details = _joined([row.detail for row in rows])
    parts: _Parts = {name: [] for name in _EXPLODED}
    actors = _distinct("actor", np.arange(len(rows)), _joined([row.actor for row in rows]), drift)
    parts["actor_kind"].append((actors, list(map(_actor_kind, actors.values))))
    _explode(actors, [_ACTOR], parts)
    projects = _distinct("project", np.arange(len(rows)), _joined([row.project for row in rows]), drift)
    _explode(projects, [_PROJECT], parts)
    for type_, numbers, texts in _details_by_type(details, types):
        slices = _distinct(type_, numbers, texts, drift)
        _explode(slices, [_OF_ANY_TYPE, _OF_ONE_TYPE.get(type_, _Node(type_))], parts)
    return {
        "id": pa.array([row.id for row in rows], pa.string()),
        "type": _by_type(types, str),
        "area": _by_type(types, lambda type_: lookup(type_).area),
        "verb": _by_type(types, lambda type_: lookup(type_).verb),
        "effective_at": pa.array(_microseconds(rows), pa.timestamp("us", tz="UTC")),
        "raw": _joined(raws).cast(pa.string()),
        "detail": pc.if_else(pc.equal(details, pa.scalar(b"null", pa.binary())), None, details).cast(pa.string()),
        **_exploded(parts, len(rows)),
    }


def _joined(texts: Sequence[Raw] | Sequence[bytes]) -> _Values:
    """Put texts into one array; joined, none of them has to become an object of its own."""
    lengths = np.fromiter(map(len, texts), np.int64, len(texts))
    offsets = np.zeros(len(texts) + 1, np.int32)
    np.cumsum(lengths, out=offsets[1:])
    buffers = [None, pa.py_buffer(offsets.data), pa.py_buffer(b"".join(texts))]
    return pa.Array.from_buffers(pa.binary(), len(texts), buffers)


def _microseconds(rows: Sequence[Row]) -> list[int] | _Numbers:
    seconds = [row.effective_at for row in rows]
    if float in set(map(type, seconds)):
        return [at * _MICROSECONDS if isinstance(at, int) else round(at * _MICROSECONDS) for at in seconds]
    return np.array(seconds, np.int64) * _MICROSECONDS


def _by_type(types: pa.DictionaryArray[Any, Any], derive: Callable[[str], str]) -> _Values:
    derived = pa.array([derive(str(type_)) for type_ in types.dictionary.to_pylist()], pa.string())
    return _take(derived, types.indices)


def _take(values: _Values, places: _Values) -> _Values:
    taken: _Values = values.take(places)
    return taken


def _details_by_type(details: _Values, types: pa.DictionaryArray[Any, Any]) -> Iterator[tuple[str, _Numbers, _Values]]:
    """Yield each type with its rows, and what stands under the detail key in them."""
    codes = types.indices.to_numpy()
    rows = np.argsort(codes, kind="stable")
    sorted_details, start = _take(details, pa.array(rows)), 0
    for type_, count in zip(types.dictionary.to_pylist(), np.bincount(codes).tolist(), strict=True):
        yield str(type_), rows[start : start + count], sorted_details.slice(start, count)
        start += count


def _distinct(key: str, rows: _Numbers, texts: _Values, drift: Counter[str]) -> _Slices:
    """Decode each distinct text of some rows; one that cannot be decoded counts as drift and fills no column."""
    encoded: Any = texts.dictionary_encode()
    distinct, codes = encoded.dictionary.to_pylist(), encoded.indices.to_numpy()
    try:
        values = _as_values.decode(b"[%b]" % b",".join(text or b"null" for text in distinct))
    except REFUSALS:
        values = [_decoded(text) for text in distinct]
        slices = _Slices(_cleared(values), rows, codes, is_strict=False, drift=drift)
        slices.count(key, _places(values, MISMATCH))
        return slices
    return _Slices(values, rows, codes, is_strict=True, drift=drift)


def _decoded(text: bytes) -> Any:
    try:
        return parse_value(text) if text else None
    except ValueError:
        return MISMATCH  # nested too deeply


def _explode(slices: _Slices, nodes: Sequence[_Node], parts: _Parts) -> None:
    """Add to the columns below some roots what they are for each distinct value."""
    found: _Found = {}
    for node in nodes:
        _walk(node, slices.values, slices, found)
    for name, ways in found.items():
        parts[name].append((slices, _first(ways)))


def _walk(node: _Node, values: list[Any], slices: _Slices, found: _Found) -> None:
    """Follow the tree from a node, with the value that each distinct one has there; from None nothing leads on."""
    for rank, column in node.readers:
        found.setdefault(column.name, []).append((rank, _converted(column.kind, values, node.path, slices)))
    if not node.below:
        return
    kinds = set(map(type, values))
    if others := kinds - _WALKED:
        slices.count(node.path, [place for place, value in enumerate(values) if type(value) in others])
    for key in _keys_below(node, values, kinds):
        _walk(node.below[key], _under(key, values, kinds), slices, found)


def _keys_below(node: _Node, values: Sequence[Any], kinds: Collection[type]) -> Collection[str]:
    """Return the keys below a node that lead on from any value."""
    if list in kinds:
        return node.below
    keys: set[str] = set().union(*(value for value in values if type(value) is dict))
    return node.below.keys() & keys


def _under(key: str, values: list[Any], kinds: Collection[type]) -> list[Any]:
    """Return what each value has under a key; a list has a list, with None where an element has nothing."""
    if kinds == {dict}:
        return [value.get(key) for value in values]
    if _PLAIN.issuperset(kinds):
        return [None if value is None else value.get(key) for value in values]
    return [
        [_member(element, key) for element in value] if type(value) is list else _member(value, key) for value in values
    ]


def _member(value: Any, key: str) -> Any:
    return value.get(key) if type(value) is dict else None


def _converted(kind: Kind, values: list[Any], path: str, slices: _Slices) -> list[Any]:
    """Convert to a column's kind; a value of another type is counted as drift and becomes None."""
    if slices.is_strict and are_plain(values, kind):
        return values
    convert = CONVERT[kind]
    converted = [None if value is None else convert(value) for value in values]
    slices.count(path, _places(converted, MISMATCH))
    return _cleared(converted)


def _places(values: Sequence[Any], wanted: object) -> list[int]:
    return [place for place, value in enumerate(values) if value is wanted]


def _cleared(values: Sequence[Any]) -> list[Any]:
    return [None if value is MISMATCH else value for value in values]


def _first(ways: list[tuple[int, list[Any]]]) -> list[Any]:
    """Return what the path of the lowest rank leads to that leads to anything."""
    best, *others = (values for _, values in sorted(ways, key=lambda way: way[0]))
    for values in others:
        best = [value if first is None else first for first, value in zip(best, values, strict=True)]
    return best


def _exploded(parts: _Parts, length: int) -> dict[str, _Values]:
    """Give each row its values; columns of the same distinct values are taken together."""
    alike: dict[tuple[int, ...], list[str]] = {}
    for name, of_some in parts.items():
        alike.setdefault(tuple(id(slices) for slices, _ in of_some), []).append(name)
    missing = {name: pa.nulls(length, _TYPES[name]) for name in alike.pop((), ())}
    return missing | {
        name: column
        for names in alike.values()
        for name, column in zip(names, _taken(names, parts, length), strict=True)
    }


def _taken(names: Sequence[str], parts: _Parts, length: int) -> Sequence[_Values]:
    """Put the distinct values of all parts one after the other, null last, and take the one of each row."""
    sources = [slices for slices, _ in parts[names[0]]]
    starts = list(itertools.accumulate((len(slices.values) for slices in sources), initial=0))
    place_of_row = np.full(length, starts[-1], np.int32)
    for slices, start in zip(sources, starts, strict=False):
        place_of_row[slices.rows] = slices.codes + start
    values = [
        pa.array([*itertools.chain.from_iterable(of_some for _, of_some in parts[name]), None], _TYPES[name])
        for name in names
    ]
    return pa.table(values, names=list(names)).take(place_of_row).columns


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
