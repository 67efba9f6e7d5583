"""Findings: what every check finds, in one answer."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from auditframe.catalogue import SEVERITIES
from auditframe.reports._base import THREAD_MB, report
from auditframe.reports._columns import FINDING_COLUMNS, ReportColumn
from auditframe.reports._parameters import Moment
from auditframe.reports._relations import Relation
from auditframe.reports._specs import Points
from auditframe.reports._suppressions import read_suppressions

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from auditframe.lake import Events
    from auditframe.reports._base import Report
    from auditframe.reports._suppressions import Suppression

_CHECK = ReportColumn("check", "text", "The check that found it.")
_SUPPRESSED = ReportColumn(
    "suppressed", "text", "Who answers for it, why and until when; null unless a suppression covers it."
)
_FOUND_COLUMNS = (*FINDING_COLUMNS, _CHECK, _SUPPRESSED)


def checks() -> Mapping[str, Report[Any]]:
    """Return every check by name, in the order of the registry."""
    from auditframe.reports import REGISTRY  # the registry holds this module's report, too

    return {name: each for name, each in REGISTRY.items() if each.is_check}


def _read_found(events: Events, values: Mapping[str, Any]) -> pa.Table:
    known = checks()
    now = values["as_of"] or datetime.now(UTC)
    path = values["suppressions"]
    suppressions = read_suppressions(Path(path), checks=known) if path else ()
    names = [column.name for column in FINDING_COLUMNS]
    with events.kept_open(thread_mb=THREAD_MB) as kept:
        found = [
            {**row, "check": name} for name, each in known.items() for row in each.arrow(kept).select(names).to_pylist()
        ]
    rows = [{**row, "suppressed": _suppressed(row, suppressions, now=now)} for row in found]
    rows += _expired(suppressions, now=now)
    ranked = [{**row, "rank": SEVERITIES.index(row["severity"])} for row in rows]
    return pa.Table.from_pylist(ranked, schema=pa.schema(list(FOUND.columns.items())))


def _suppressed(finding: Mapping[str, Any], suppressions: tuple[Suppression, ...], *, now: datetime) -> str | None:
    """Say who answers for a finding; None when nobody does any more."""
    for each in suppressions:
        if now < each.ends_at and each.covers(finding):
            return f"{each.owner}: {each.reason} (until {each.expires})"
    return None


def _expired(suppressions: tuple[Suppression, ...], *, now: datetime) -> Iterator[dict[str, Any]]:
    for number, each in enumerate(suppressions, start=1):
        if each.ends_at <= now:
            yield {
                "finding": f"suppressions:{number}:{each.check}",
                "severity": "medium",
                "effective_at": each.ends_at,
                "actor": each.owner,
                "resource_id": each.resource_id,
                "event_ids": [],
                "why": f"Expired on {each.expires}: {each}. Renew it or act on what it covered.",
                "check": "suppressions",
            }


FOUND = Relation(
    "found",
    {column.name: column.type for column in _FOUND_COLUMNS} | {"rank": pa.int64()},
    "A finding of a check, asked with its defaults, or a suppression that has expired.",
    _read_found,
    parameters=("suppressions", "as_of"),
)


@report(
    columns=_FOUND_COLUMNS,
    plot=Points(at="effective_at", label="check"),
    controls=("SOC 2 CC7.2", "SOC 2 CC7.3", "ISO/IEC 27001:2022 A.8.16", "NIST SP 800-53 r5 AU-6"),
    relations=(FOUND,),
)
def findings(*, suppressions: str | None = None, as_of: Moment = None) -> str:
    """What do all checks find?

    One row a finding, the most severe first, then the newest; what is suppressed stands last. Every check is asked with
    its defaults, so unapproved_changes, which needs a file of what was approved, finds nothing here: ask it by itself.
    A finding that a suppression covers stays in the answer and says who answers for it; a suppression that has expired
    is itself a finding, of the check named suppressions.

    Args:
        suppressions: The path of a TOML file of suppressions; None for none.
        as_of: When suppressions are judged; None for now.
    """
    return """
        SELECT finding, severity, effective_at, actor, resource_id, event_ids, why, "check", suppressed
        FROM found
        ORDER BY suppressed IS NOT NULL, rank DESC, effective_at DESC, finding
    """
