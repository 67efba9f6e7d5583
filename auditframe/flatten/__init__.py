"""Events to Arrow, column at a time; pure.

An event is cut at its top-level keys. The slices under ``actor``, ``project`` and the detail key stay JSON text until
equal ones have been found: actors repeat, so each distinct slice is parsed once and spread to its rows.
"""

from __future__ import annotations

import contextlib
import gc
import itertools
import json
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
import numpy as np
import pyarrow as pa

from auditframe.flatten._columns import columns_of
from auditframe.flatten._place import MOST_BYTES, Placed, Quarantined, place
from auditframe.pages import parse_page
from auditframe.schema import COLUMNS, arrow_schema

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    import pandas as pd

__all__ = [
    "Flattened",
    "Placed",
    "Quarantined",
    "flatten",
    "flatten_events",
    "flatten_texts",
    "in_columns",
    "join_flattened",
    "place",
]

T = TypeVar("T")

BODIES_PER_BATCH = 500
"""How many bodies become columns at once: bounds the memory beside the output."""


@dataclass(frozen=True, slots=True)
class Flattened:
    """Events as columns, and what could not become a row.

    Attributes:
        events: One row an event, in arrival order, with the columns of `schema.COLUMNS`.
        quarantine: What could not be placed, in arrival order. Rows + quarantined = events received.
        drift: By path, how many values had another type than documented; their column is null and the
            value is in ``detail`` and ``raw``.
    """

    events: pa.Table = field(repr=False)
    quarantine: tuple[Quarantined, ...] = ()
    drift: Mapping[str, int] = field(default_factory=dict)

    def to_pandas(self) -> pd.DataFrame:
        """Return the events as a DataFrame, in the same order."""
        return self.events.to_pandas()


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
    with _without_collector():
        return in_columns([place(events, scope=scope, seen_at=seen_at)])


def in_columns(arrived: Sequence[Placed]) -> Flattened:
    """Flatten what was placed, in one batch: columns of few events cost little less than those of many.

    What one Arrow array of texts cannot hold becomes several batches.
    """
    if sum(len(raw) for placed in arrived for raw in placed.raws) > MOST_BYTES:
        return join_flattened(map(in_columns, _halves(arrived)))
    drift: Counter[str] = Counter()
    with _without_collector():
        rows, raws = _all(placed.rows for placed in arrived), _all(placed.raws for placed in arrived)
        columns = columns_of(rows, raws, drift)
    places = pa.array(np.repeat(np.arange(len(arrived)), [len(placed.rows) for placed in arrived]), pa.int64())
    columns["scope"] = pa.array([placed.scope for placed in arrived], pa.string()).take(places)
    seen_at = pa.array([placed.seen_at for placed in arrived], pa.timestamp("us", tz="UTC"))
    columns["first_seen_at"] = seen_at.take(places)
    columns["snapshot"] = pa.nulls(len(rows), pa.int64())
    table = pa.table([columns[column.name] for column in COLUMNS], schema=arrow_schema())
    return Flattened(table, tuple(_all(placed.quarantine for placed in arrived)), dict(drift))


def _halves(arrived: Sequence[Placed]) -> tuple[Sequence[Placed], Sequence[Placed]]:
    if len(arrived) > 1:
        return arrived[: len(arrived) // 2], arrived[len(arrived) // 2 :]
    (placed,) = arrived
    middle = len(placed.rows) // 2
    first = replace(placed, rows=placed.rows[:middle], raws=placed.raws[:middle])
    return [first], [replace(placed, rows=placed.rows[middle:], raws=placed.raws[middle:], quarantine=[])]


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


def _all(parts: Iterable[Iterable[T]]) -> list[T]:
    return list(itertools.chain.from_iterable(parts))


@contextlib.contextmanager
def _without_collector() -> Iterator[None]:
    """Pause the garbage collector: a batch makes many objects, none of which stand in a circle."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _encoded(event: Mapping[str, Any]) -> bytes:
    try:
        return msgspec.json.encode(event)
    except (msgspec.MsgspecError, UnicodeEncodeError, TypeError, OverflowError):
        return json.dumps(event, separators=(",", ":")).encode()
