"""Who did how much, when, and of what kind."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from auditframe.reports._base import report
from auditframe.reports._columns import ReportColumn
from auditframe.reports._specs import Bars, DailyBars

if TYPE_CHECKING:
    from collections.abc import Mapping

_ONE_DAY = timedelta(days=1)


@report(
    columns=(
        ReportColumn("actor", "text", "E-mail address, else id, else API key of the actor; null for events without."),
        ReportColumn("actor_kind", "text", "user or service_account; null if unknown or not always the same."),
        ReportColumn("actor_id", "text", "Id of the user or service account; null if unknown or not always the same."),
        ReportColumn("events", "integer", "How many events the actor caused.", "events"),
        ReportColumn("types", "integer", "How many different event types these are.", "types"),
        ReportColumn("addresses", "integer", "From how many different known IP addresses.", "addresses"),
        ReportColumn("first_at", "instant", "When the first of these events took effect, in UTC."),
        ReportColumn("last_at", "instant", "When the last of these events took effect, in UTC."),
    ),
    plot=Bars(label=("actor",), value="events"),
    controls=("SOC 2 CC7.2", "ISO/IEC 27001:2022 A.8.15", "NIST SP 800-53 r5 AU-6"),
)
def events_per_actor() -> str:
    """Who did something, and how much?

    One row an actor, the busiest first. An actor is named by e-mail address, else by the id of the user or service
    account, else by the id of the API key; events that name no actor at all are one row whose actor is null. Events
    that an API key causes carry no IP address, so a service account usually has 0 addresses.
    """
    return """
        SELECT
            coalesce(actor_email, actor_id, actor_api_key_id) AS actor,
            CASE WHEN min(actor_kind) = max(actor_kind) THEN min(actor_kind) END AS actor_kind,
            CASE WHEN min(actor_id) = max(actor_id) THEN min(actor_id) END AS actor_id,
            count(*) AS events,
            count(DISTINCT type) AS types,
            count(DISTINCT ip_address) AS addresses,
            min(effective_at) AS first_at,
            max(effective_at) AS last_at
        FROM events
        GROUP BY coalesce(actor_email, actor_id, actor_api_key_id)
        ORDER BY count(*) DESC, actor ASC NULLS LAST
    """


def _with_quiet_days(answer: pa.Table, _: Mapping[str, Any]) -> pa.Table:
    """Put a row of zeros on every day without an event between the first and the last."""
    rows = {row["day"]: row for row in answer.to_pylist()}
    if not rows:
        return answer
    first, last = min(rows), max(rows)
    days = [first + _ONE_DAY * number for number in range((last - first).days + 1)]
    return pa.Table.from_pylist([rows.get(day, {"day": day, "events": 0, "actors": 0}) for day in days], answer.schema)


@report(
    columns=(
        ReportColumn("day", "day", "The day, in UTC."),
        ReportColumn("events", "integer", "How many events took effect on that day.", "events"),
        ReportColumn("actors", "integer", "How many different actors they name.", "actors"),
    ),
    plot=DailyBars(day="day", value="events"),
    controls=("SOC 2 CC7.2", "ISO/IEC 27001:2022 A.8.15", "NIST SP 800-53 r5 AU-6"),
    finish=_with_quiet_days,
)
def events_per_day() -> str:
    """How much happened on each day?

    One row for every UTC day from the first event to the last, in order; a day without an event has zeros. Zeros say
    that the source holds nothing of that day: whether the day was collected at all, the coverage of the lake tells.
    Events that name no actor count as events and not as actors.
    """
    return """
        SELECT
            CAST(effective_at AS DATE) AS day,
            count(*) AS events,
            count(DISTINCT coalesce(actor_email, actor_id, actor_api_key_id)) AS actors
        FROM events
        GROUP BY CAST(effective_at AS DATE)
        ORDER BY day
    """


@report(
    columns=(
        ReportColumn("type", "text", "The event type."),
        ReportColumn("effect", "text", "What such an event does, after the catalogue; other if it does not say."),
        ReportColumn("severity", "text", "How much attention one such event deserves; null for an unlisted type."),
        ReportColumn("documented", "flag", "Whether OpenAI's published specification lists the type."),
        ReportColumn("events", "integer", "How many events are of this type.", "events"),
        ReportColumn("actors", "integer", "How many different actors they name.", "actors"),
        ReportColumn("first_at", "instant", "When the first of these events took effect, in UTC."),
        ReportColumn("last_at", "instant", "When the last of these events took effect, in UTC."),
    ),
    plot=Bars(label=("type",), value="events"),
    controls=("SOC 2 CC7.2", "ISO/IEC 27001:2022 A.8.15", "NIST SP 800-53 r5 AU-2"),
)
def events_per_type() -> str:
    """What happened, and how often?

    One row an event type, the most frequent first. A type that the catalogue does not list has the effect other, no
    severity, and is not documented: it is new at OpenAI, and no report that goes by effects sees it yet.
    """
    return """
        SELECT
            events.type AS type,
            coalesce(catalogue.effect, 'other') AS effect,
            catalogue.severity AS severity,
            coalesce(catalogue.documented, false) AS documented,
            count(*) AS events,
            count(DISTINCT coalesce(actor_email, actor_id, actor_api_key_id)) AS actors,
            min(effective_at) AS first_at,
            max(effective_at) AS last_at
        FROM events LEFT JOIN catalogue ON catalogue.type = events.type
        GROUP BY events.type, catalogue.effect, catalogue.severity, catalogue.documented
        ORDER BY count(*) DESC, events.type
    """
