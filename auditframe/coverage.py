"""Coverage: what the ledger proves was read whole, scope by scope, and what that leaves open."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from auditframe.catalogue import SCOPES
from auditframe.lake import Events
from auditframe.lake.ledger import coverage as covered_windows
from auditframe.lake.ledger import current_partitions, gaps, vanished

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pandas as pd

    from auditframe.lake import Lake
    from auditframe.lake.records import Entry
    from auditframe.window import Window

_INSTANT = pa.timestamp("us", tz="UTC")

COLUMNS: dict[str, tuple[pa.DataType, str]] = {
    "scope": (pa.string(), "The scope."),
    "status": (
        pa.string(),
        "How the last pass over it ended: complete, interrupted or not_permitted; null when there was none.",
    ),
    "covered_from": (_INSTANT, "The first covered instant; null since the log began, or without coverage."),
    "covered_until": (_INSTANT, "The end of coverage; null without any."),
    "gaps": (pa.list_(pa.string()), "The windows between covered ones that nobody has read whole, oldest first."),
    "lag_s": (pa.float64(), "The time from the end of coverage to now [s]; null without coverage."),
    "events": (pa.int64(), "Events in the lake."),
    "first_at": (_INSTANT, "The oldest event's effective_at; null without events."),
    "last_at": (_INSTANT, "The newest event's effective_at; null without events."),
    "last_event_age_s": (pa.float64(), "The time from the newest event to now [s]; null without events."),
    "cut_short": (pa.int64(), "Windows that were begun and not read to their end; the next snapshot does that."),
    "vanished": (pa.int64(), "Events that the endpoint does not return any more; they are in the lake."),
    "mutations": (pa.int64(), "Other payloads of known events, in quarantine."),
    "quarantined": (pa.int64(), "What could not be placed, in quarantine."),
    "order": (pa.string(), "In which order the endpoint listed events last; null when no page showed it."),
}
"""What `coverage` returns: each column's Arrow type and meaning."""

_COUNTS = """
    SELECT scope, count(*) AS events, min(effective_at) AS first_at, max(effective_at) AS last_at
    FROM events
    GROUP BY scope
"""
_NOTHING = {"events": 0, "first_at": None, "last_at": None}
_SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Span:
    """What the ledger says of one scope.

    Attributes:
        scope: The scope.
        status: How the last pass over it ended; None when there was none.
        covered: The windows that were read whole; disjoint, oldest first.
        gaps: The windows between them that nobody has read whole, oldest first, as far as nothing has expired there.
        order: In which order the endpoint listed events last; None when no page showed it.
    """

    scope: str
    status: str | None
    covered: tuple[Window, ...]
    gaps: tuple[Window, ...]
    order: str | None

    @property
    def until(self) -> datetime | None:
        """The end of coverage."""
        return self.covered[-1].end if self.covered else None


def coverage(lake: Lake) -> pd.DataFrame:
    """Say of each scope what was read whole, and what that leaves open.

    Args:
        lake: The lake.

    Returns:
        One row a scope, the organization's first, with the columns of `COLUMNS`.

    Raises:
        LakeNotFoundError: There is no lake.
        LakeCorruptError: The ledger or the quarantine cannot be read; see `verify`.
    """
    return to_arrow(lake, now=datetime.now(UTC)).to_pandas()


def to_arrow(lake: Lake, *, now: datetime) -> pa.Table:
    """Return the same as `coverage` at an instant, as an Arrow table."""
    entries = lake.ledger()
    there = Events(files=tuple(lake.partitions().values()))  # also of a lake that lacks one: `missing` tells that
    counted = {row.pop("scope"): row for row in there.arrow(_COUNTS).to_pylist()}
    held = lake.quarantine()
    kinds = Counter(zip(held["scope"], held["kind"], strict=True))
    gone = Counter(vanished(entries).values())
    cut_short = Counter(walk.scope for walk in lake.walks())
    rows = [
        {
            **_read(span, now=now),
            **_aged(counted.get(span.scope, _NOTHING), now=now),
            "cut_short": cut_short[span.scope],
            "vanished": gone[span.scope],
            "mutations": kinds[span.scope, "mutation"],
            "quarantined": kinds[span.scope, "unplaced"],
        }
        for span in spans(entries)
    ]
    return pa.Table.from_pylist(rows, schema=pa.schema([(name, type_) for name, (type_, _) in COLUMNS.items()]))


def spans(entries: Sequence[Entry]) -> tuple[Span, ...]:
    """Return what a ledger says of each scope."""
    last = {each.scope: each for entry in entries for each in entry.collected}
    orders = {each.scope: each.order for entry in entries for each in entry.collected if each.order}
    return tuple(
        Span(
            scope,
            last[scope].status if scope in last else None,
            covered_windows(entries, scope),
            gaps(entries, scope),
            orders.get(scope),
        )
        for scope in SCOPES
    )


def shortcomings(entries: Sequence[Entry], *, now: datetime, max_age: timedelta | None = None) -> tuple[str, ...]:
    """Say in a sentence each what is wrong with a lake's coverage.

    Args:
        entries: The ledger.
        now: The present.
        max_age: How far behind the present coverage may end; None for any length of time.

    Returns:
        A sentence for each gap and for each scope that is stale; a scope that the key could never read is neither.
    """
    return tuple(what for span in spans(entries) for what in _shortcomings(span, now=now, max_age=max_age))


def missing(lake: Lake, entries: Sequence[Entry]) -> tuple[str, ...]:
    """Say in a sentence each which partitions have no file though a lake's ledger says that they hold events."""
    there = lake.partitions()
    return tuple(
        f"The partition {day} is missing with its {state.rows} event(s). See: auditframe verify"
        for day, state in current_partitions(entries).items()
        if day not in there
    )


def _shortcomings(span: Span, *, now: datetime, max_age: timedelta | None) -> Iterator[str]:
    for gap in span.gaps:
        yield f"The scope {span.scope} has a gap: nobody has read {gap} whole."
    if max_age is None or (span.status == "not_permitted" and not span.covered):
        return
    if span.until is None:
        yield f"The scope {span.scope} was never read whole."
    elif now - span.until > max_age:
        refused = " The key may not read it any more." if span.status == "not_permitted" else ""
        yield f"The scope {span.scope} is stale: it is covered until {span.until:%F %T}Z.{refused}"


def _read(span: Span, *, now: datetime) -> dict[str, Any]:
    return {
        "scope": span.scope,
        "status": span.status,
        "covered_from": span.covered[0].start if span.covered else None,
        "covered_until": span.until,
        "gaps": [str(gap) for gap in span.gaps],
        "lag_s": (now - span.until) / _SECOND if span.until else None,
        "order": span.order,
    }


def _aged(counted: dict[str, Any], *, now: datetime) -> dict[str, Any]:
    last_at = counted["last_at"]
    return {**counted, "last_event_age_s": (now - last_at) / _SECOND if last_at else None}
