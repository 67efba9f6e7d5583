"""IP allow-lists: what they let in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa

from auditframe.reports._base import check
from auditframe.reports._columns import FINDING_COLUMNS, ReportColumn
from auditframe.reports._networks import Widening, widening
from auditframe.reports._specs import Points

if TYPE_CHECKING:
    from collections.abc import Mapping

    from auditframe.catalogue import Severity

_MOST_NAMED = 5
"""How many entries a sentence names; the columns have all of them."""

_WIDENING_COLUMNS = (
    ReportColumn("added", "texts", "The entries that let somebody in who was kept out, sorted; all if before is null."),
    ReportColumn("malformed", "texts", "The new entries that are neither an address nor a range, sorted."),
    ReportColumn("before", "texts", "The list until then; null if the event makes it, or unknown."),
    ReportColumn("after", "texts", "The list from then on."),
    ReportColumn("more_ipv4", "integer", "How many IPv4 addresses more; null if before is unknown.", "addresses"),
    ReportColumn("more_ipv6", "number", "How many IPv6 addresses more; null if before is unknown.", "addresses"),
    ReportColumn("previous_event_id", "text", "Id of the event that set the list before; null if there is none."),
)


def _judged(answer: pa.Table, _: Mapping[str, Any]) -> pa.Table:
    """Compare each list with the one before it, and keep those that let more in."""
    found = [finding for row in answer.to_pylist() for finding in _findings(row)]
    columns = (*FINDING_COLUMNS, *_WIDENING_COLUMNS)
    return pa.Table.from_pylist(found, schema=pa.schema([column.field for column in columns]))


def _findings(row: dict[str, Any]) -> list[dict[str, Any]]:
    seen = widening(row["before"] or (), row["after"])
    known = row["before"] is not None
    if not (seen.everything or seen.wide or seen.malformed or (known and seen.added)):
        return []
    counted = known or row["made"]
    return [
        row
        | {
            "severity": _severity(seen, known=known),
            "why": _why(row, seen),
            "added": seen.added,
            "malformed": seen.malformed,
            "more_ipv4": seen.ipv4 if counted else None,
            "more_ipv6": float(seen.ipv6) if counted else None,
        }
    ]


def _severity(seen: Widening, *, known: bool) -> Severity:
    if seen.everything or seen.wide:
        return "high"
    return "medium" if known and seen.added and seen.reachable else "low"


def _why(row: dict[str, Any], seen: Widening) -> str:
    who = row["actor"] or "Somebody whom the event does not name"
    name = f"the IP allow-list {row['resource_id']}" if row["resource_id"] else "an IP allow-list"
    known = row["before"] is not None
    let_in = [*(f"every IPv{version} address" for version in seen.everything), *seen.wide]
    if known and not let_in:
        let_in = list(seen.added)
    parts = [f"{who} let {_listed(let_in)} through {name}{_compared(row, seen)}" if let_in else f"{who} changed {name}"]
    if known and seen.added and not seen.reachable:
        parts.append("nobody on the internet can come from there")
    if seen.malformed:
        parts.append(f"neither an address nor a range: {_listed([repr(each[:50]) for each in seen.malformed])}")
    return "; ".join(parts) + "."


def _compared(row: dict[str, Any], seen: Widening) -> str:
    if row["made"]:
        return ", which is new"
    if row["before"] is None:
        return "; what it let in before is not known"
    more = [f"{seen.ipv4:,} IPv4 addresses"] if seen.ipv4 else []
    more += [_ipv6(seen.ipv6)] if seen.ipv6 else []
    grown = [f"{narrow} grew to {wide}" for narrow, wide in seen.grown]
    return f", {' and '.join(more)} more than before" + (f", as {_listed(grown)}" if grown else "")


def _ipv6(size: int) -> str:
    """Count IPv6 addresses by the networks of single sites' parts, because nobody reads 25 digits."""
    return f"{size >> 64:,} IPv6 networks (/64)" if size >> 64 else f"{size:,} IPv6 addresses"


def _listed(names: list[str]) -> str:
    more = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


@check(
    severity="high",
    columns=_WIDENING_COLUMNS,
    plot=Points(at="effective_at", label="resource_id"),
    controls=("SOC 2 CC6.6", "SOC 2 CC7.1", "ISO/IEC 27001:2022 A.5.15", "NIST SP 800-53 r5 CM-3"),
    finish=_judged,
)
def allowlist_widening() -> str:
    """Which changes let more addresses through an IP allow-list?

    One row for each event that makes or alters an IP allow-list such that it lets in more than before, in time order.
    The list before is the one that the last earlier event of the source gave the same allow-list since it was made; one
    that was deleted is none. Order, doubles, nulls and how ranges are cut mean nothing: a list that merely narrows, or
    says the same in other words, is no finding. Where the list is new or the one before unknown, it is judged by
    itself. The severity is high if all addresses, or a range with a very short prefix, are let in and were not: IPv4
    shorter than 16 bits, IPv6 shorter than 32, ranges that touch counted as one. It is medium for any other network
    that was added, and low for networks that nobody on the internet can come from (private, shared, loopback,
    link-local, multicast and reserved ones; those kept for documentation count as the internet), and for entries that
    are neither an address nor a range. Whether a list is in force, this does not tell: control_changes does.
    """
    return """
        WITH lists AS (
            SELECT
                events.id AS id,
                effective_at,
                coalesce(actor_email, actor_id, actor_api_key_id) AS actor,
                resource_id,
                CASE WHEN resource_id IS NULL THEN events.id END AS alone,
                effect,
                detail_allowed_ips AS after
            FROM events JOIN catalogue ON catalogue.type = events.type
            WHERE area = 'ip_allowlist' AND effect IN ('create', 'change', 'delete')
        ),
        numbered AS (
            SELECT
                *,
                sum(CASE WHEN effect = 'change' THEN 0 ELSE 1 END) OVER (
                    PARTITION BY resource_id, alone ORDER BY effective_at, id
                    RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
                ) AS life
            FROM lists
        ),
        replayed AS (
            SELECT
                *,
                lag(after) OVER past AS before,
                lag(id) OVER past AS previous_event_id
            FROM numbered
            WHERE effect <> 'delete' AND after IS NOT NULL
            WINDOW past AS (PARTITION BY resource_id, alone, life ORDER BY effective_at, id)
        )
        SELECT
            'allowlist_widening:' || id AS finding,
            effective_at,
            actor,
            resource_id,
            [id] AS event_ids,
            effect = 'create' AS made,
            before,
            after,
            previous_event_id
        FROM replayed
        ORDER BY effective_at, id
    """
