"""What becomes of arriving events: new ones join, known ones change nothing, other payloads are kept aside."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from auditframe.flatten import Quarantined
from auditframe.pages import REFUSALS
from auditframe.window import EPOCH

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from auditframe.window import Window

ORDER: list[tuple[str, Literal["ascending", "descending"]]] = [("effective_at", "ascending"), ("id", "ascending")]
"""The order of rows in a partition."""

_OF_MUTATIONS = ["id", "raw", "scope", "first_seen_at"]


@dataclass(frozen=True, slots=True)
class Sorted:
    """Arriving events, held against those already there.

    Attributes:
        new: The rows whose id was not there, one row an id, in arrival order.
        known: How many rows said what was already there.
        mutations: The rows that have the id of an event that is there and another payload.
    """

    new: pa.Table
    known: int
    mutations: tuple[Quarantined, ...]


def sort_arrivals(arriving: pa.Table, there: Mapping[str, str]) -> Sorted:
    """Tell new events from known ones and from mutations; the first payload seen for an id stays.

    Args:
        arriving: Rows with the columns of `schema.COLUMNS`.
        there: The ``raw`` of each arriving id that is already there, by id.
    """
    ids = texts(arriving, "id")
    if not there and len(set(ids)) == len(ids):
        return Sorted(arriving, 0, ())
    first = dict(there)
    new: list[int] = []
    mutated: list[int] = []
    raws = texts(arriving, "raw")
    for row, (id_, raw) in enumerate(zip(ids, raws, strict=True)):
        if id_ not in first:
            first[id_] = raw
            new.append(row)
        elif not _same_payload(first[id_], raw):
            mutated.append(row)
    known = len(arriving) - len(new) - len(mutated)
    others = _rows(arriving.select(_OF_MUTATIONS), mutated).to_pylist()
    return Sorted(_rows(arriving, new), known, tuple(map(_mutation, others)))


def texts(events: pa.Table, column: str) -> list[str]:
    """Return a text column that has no nulls as a list, in row order."""
    return [str(value) for value in events[column].to_pylist()]


def instants(events: pa.Table, column: str) -> list[datetime]:
    """Return a column of instants that has no nulls as a list, in row order.

    Raises:
        OverflowError: A value lies outside of the years 1 to 9999, as none that a lake wrote does.
    """
    # Arrow's own way to datetimes looks the zone up for each value.
    microseconds = events[column].cast(pa.timestamp("us")).cast(pa.int64()).to_pylist()
    return [EPOCH + timedelta(microseconds=value) for value in microseconds if value is not None]


def inside(events: pa.Table, window: Window) -> pa.Table:
    """Return the rows of a window, in their order."""
    for end, compare in ((window.start, pc.greater_equal), (window.end, pc.less)):
        if end is not None:
            at = events["effective_at"]
            events = events.filter(compare(at, pa.scalar(end, at.type)))
    return events


def merge(partition: pa.Table, new: pa.Table) -> pa.Table:
    """Put new events among those of a partition, in the partition's order."""
    return in_order(pa.concat_tables([partition, new])).combine_chunks()


def in_order(events: pa.Table) -> pa.Table:
    """Put rows in the order of a partition; moving them is most of the work, and often they are in it already."""
    places = pc.sort_indices(events, sort_keys=ORDER)
    is_sorted = bool(np.array_equal(places.to_numpy(), np.arange(len(events))))
    return events if is_sorted else events.take(places)


def _rows(events: pa.Table, places: Sequence[int]) -> pa.Table:
    return events.take(pa.array(places, pa.int64()))


def _mutation(row: Mapping[str, Any]) -> Quarantined:
    reason = "The same id arrived before with another payload; the first one stays."
    return Quarantined(row["raw"].encode(), reason, row["id"], "id", scope=row["scope"], seen_at=row["first_seen_at"])


def _same_payload(one: str, other: str) -> bool:
    """Whether two texts are the same JSON value; only white space and key order are no change."""
    if one == other:
        return True
    try:
        if msgspec.json.decode(one) != msgspec.json.decode(other):
            return False  # as nearly always; what is equal here may still differ in how a number is written
    except REFUSALS:
        pass
    try:
        return bool(_exact.decode(one) == _exact.decode(other))
    except (ValueError, RecursionError):
        return False


def _number(text: str) -> tuple[str, str]:
    """Keep a number as it is written: to Python, 1 and 1.0 and true are equal."""
    return ("number", text)


def _members(pairs: list[tuple[str, object]]) -> tuple[str, list[tuple[str, object]]]:
    """Keep doubled keys, in the order of keys."""
    return ("object", sorted(pairs, key=itemgetter(0)))


_exact = json.JSONDecoder(parse_int=_number, parse_float=_number, parse_constant=_number, object_pairs_hook=_members)
