"""A lake of any size, fast: a made-up organization, copied over time and over people, written as a lake writes it.

Its partitions are those of a real lake; its ledger is not: reports need none, and `verify` would name every partition.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import duckdb
import msgspec

from auditframe.flatten import flatten_events
from auditframe.lake.layout import Description, Layout
from auditframe.lake.merge import ORDER
from auditframe.lake.parquet import encode_partition
from auditframe.sample import sample
from auditframe.schema import arrow_schema

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa

PERIOD_DAYS = 90
PERIODS = 4
END = datetime(2026, 11, 1, tzinfo=UTC)

# A copy is another organization's people at the same time: what names somebody or something gets the copy's number.
_OWN = (
    "id",
    "project_id",
    "actor_id",
    "actor_api_key_id",
    "resource_id",
    "detail_principal_id",
    "detail_data_project_id",
)


def make(path: Path, *, events: int, periods: int = PERIODS) -> int:
    """Write a lake of about so many events.

    Args:
        path: Where; a folder that does not exist yet.
        events: How many.
        periods: Over how many times 90 days.

    Returns:
        How many events it has.
    """
    layout = Layout(path)
    path.mkdir(parents=True)
    layout.description.write_bytes(msgspec.json.encode(Description()))
    base_events = min(events // periods, 200_000)
    base = _base(base_events)
    copies = max(events // (periods * base_events), 1)
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.register("base", base)
        connection.execute("CREATE TABLE held AS SELECT *, CAST(effective_at AS DATE) AS day FROM base")
        return sum(
            _write_day(connection, layout, END - timedelta(days=back), copies)
            for back in range(PERIOD_DAYS * periods, 0, -1)
        )


def _base(events: int) -> pa.Table:
    made = sample(seed=11, events=events, days=PERIOD_DAYS, end=END)
    return flatten_events(made.events, seen_at=END).events


def _write_day(connection: duckdb.DuckDBPyConnection, layout: Layout, day: datetime, copies: int) -> int:
    """Write one partition: the base's day that many periods later, once for each copy."""
    period = -((day.date() - END.date()).days + 1) // PERIOD_DAYS
    source = day.date() + timedelta(days=PERIOD_DAYS * period)
    named = ", ".join(f"{name} || '-' || copy AS {name}" for name in _OWN)
    replaced = (
        f"{named}, 'c' || copy || '.' || actor_email AS actor_email, "
        f"effective_at - INTERVAL {PERIOD_DAYS * period} DAY AS effective_at"
    ).replace("id || '-' || copy AS id", f"id || '-' || copy || '-{period}' AS id", 1)
    query = (
        f"SELECT * EXCLUDE (day, copy) REPLACE ({replaced}) "  # noqa: S608 - our own names and numbers
        f"FROM held, (SELECT unnest(range({copies})) AS copy) WHERE day = DATE '{source}'"
    )
    rows = connection.sql(query).to_arrow_table().select(arrow_schema().names).cast(arrow_schema())
    if rows.num_rows:
        file = layout.partition_file(day.date().isoformat())
        file.parent.mkdir(parents=True)
        file.write_bytes(encode_partition(rows.sort_by(ORDER)))
    return int(rows.num_rows)
