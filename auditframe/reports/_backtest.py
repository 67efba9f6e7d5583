"""Backtests: how often a check would have fired, had it been asked every day."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from auditframe.catalogue import SEVERITIES
from auditframe.errors import ParameterError
from auditframe.lake.merge import texts
from auditframe.reports._base import THREAD_MB
from auditframe.reports._source import as_events
from auditframe.window import DAY, Window, midnight, split_days

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    import pandas as pd

    from auditframe.lake import Events
    from auditframe.reports._base import Report
    from auditframe.reports._source import Source

_LAST = "SELECT max(effective_at) AS at FROM events"
_COLUMNS: dict[str, pa.DataType] = {
    "day": pa.date32(),
    "findings": pa.int64(),
    **dict.fromkeys(reversed(SEVERITIES), pa.int64()),
    "finding_ids": pa.list_(pa.string()),
}


def backtest(check: Report[Any], source: Source, /, *, days: int = 90, **params: Any) -> pd.DataFrame:
    """Say how often a check would have fired, had it been asked at the end of every day.

    At the end of each day it is asked of what the log held by then, so that no day knows of a later one. A finding
    counts on the first day on which it is there.

    Args:
        check: The check, such as `auditframe.reports.password_spray`.
        source: The lake, or whatever else a report can be asked of.
        days: How many UTC days to go through, up to the day of the newest event [days].
        params: The check's parameters.

    Returns:
        One row a UTC day, oldest first; none without events. Columns: day, findings, then how many of them are
        critical, high, medium, low and info, and finding_ids, sorted.

    Raises:
        ParameterError: The report is no check, or `days` is less than 1.
    """
    if not check.is_check:
        raise ParameterError(f"{check.name} is no check: nothing in its answer is a finding.", report=check.name)
    if days < 1:
        raise ParameterError(f"days must be at least 1: {days} is not.", report=check.name)
    with as_events(source).kept_open(thread_mb=THREAD_MB) as events:
        last = events.arrow(_LAST)["at"][0].as_py()
        rows = list(_days(check, events, last, days, params)) if last else []
    return pa.Table.from_pylist(rows, schema=pa.schema(_COLUMNS)).to_pandas(date_as_object=False)


def _days(
    check: Report[Any], events: Events, last: datetime, days: int, params: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    end, begins = midnight(last) + DAY, events.span.start
    first = end - days * DAY
    if begins is None or begins < first:
        known = set(_found(check, events.window(end=first), params))
    else:
        first, known = midnight(begins), set()
    for day in split_days(Window(first, end)):
        found = _found(check, events.window(end=day.end), params)
        fresh = {finding: severity for finding, severity in found.items() if finding not in known}
        known |= fresh.keys()
        counted = Counter(fresh.values())
        yield {
            "day": day.start.date() if day.start else None,
            "findings": len(fresh),
            **{severity: counted[severity] for severity in SEVERITIES},
            "finding_ids": sorted(fresh),
        }


def _found(check: Report[Any], events: Events, params: dict[str, Any]) -> dict[str, str]:
    """Return the severity of each finding by its id."""
    answer = check.arrow(events, **params)
    return dict(zip(texts(answer, "finding"), texts(answer, "severity"), strict=True))
