"""Who did how much, when, where and of what kind."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from auditframe.reports._base import report
from auditframe.reports._columns import ReportColumn
from auditframe.reports._parameters import Zone
from auditframe.reports._specs import Bars, DailyBars, Heatmap

if TYPE_CHECKING:
    from collections.abc import Mapping

_ONE_DAY = timedelta(days=1)

_FIRST_AT = ReportColumn("first_at", "instant", "When the first of these events took effect, in UTC.")
_LAST_AT = ReportColumn("last_at", "instant", "When the last of these events took effect, in UTC.")
_FIRST_ID = ReportColumn("first_event_id", "text", "Id of the first of these events; null where there is none.")
_LAST_ID = ReportColumn("last_event_id", "text", "Id of the last of these events; null where there is none.")
_ACTORS = ReportColumn(
    "actors", "integer", "How many different actors they name, e-mail addresses in lower case.", "actors"
)

# The ids of first and last events come from a second look at the few seconds that hold one. Aggregating
# (effective_at, id) beside the counts doubles or trebles the time; this adds half of it or less.


@report(
    columns=(
        ReportColumn("actor", "text", "E-mail address in lower case, else id, else API key; null where none is named."),
        ReportColumn(
            "actor_kind", "text", "user or service_account; null if no event tells, if two differ, and for nobody."
        ),
        ReportColumn(
            "actor_id", "text", "Id of the user or service account; null if no event tells, or if two differ."
        ),
        ReportColumn("events", "integer", "How many events the actor caused.", "events"),
        ReportColumn("types", "integer", "How many different event types these are.", "types"),
        ReportColumn("addresses", "integer", "From how many different known IP addresses.", "addresses"),
        _FIRST_AT,
        _LAST_AT,
        _FIRST_ID,
        _LAST_ID,
    ),
    plot=Bars(label=("actor",), value="events"),
    controls=("SOC 2 CC7.2", "ISO/IEC 27001:2022 A.8.15", "NIST SP 800-53 r5 AU-6"),
    is_roomy=True,
)
def events_per_actor() -> str:
    """Who did something, and how much?

    One row an actor, the busiest first. An actor is named by e-mail address in lower case, else by the id of the user
    or service account, else by the id of the API key; events that name no actor at all are one row whose actor is null.
    An event that does not tell kind or id leaves them to the actor's other events. Events that an API key causes carry
    no IP address, so a service account usually has 0 addresses.
    """
    return """
        WITH parts AS (
            SELECT
                coalesce(lower(actor_email), actor_id, actor_api_key_id) AS actor,
                actor_kind, actor_id, type, ip_address,
                count(*) AS events, min(effective_at) AS first_at, max(effective_at) AS last_at
            FROM events
            GROUP BY coalesce(lower(actor_email), actor_id, actor_api_key_id), actor_kind, actor_id, type, ip_address
        ),
        counted AS (
            SELECT
                actor,
                CASE
                    WHEN actor IS NOT NULL AND min(actor_kind) = max(actor_kind) THEN min(actor_kind)
                END AS actor_kind,
                CASE WHEN min(actor_id) = max(actor_id) THEN min(actor_id) END AS actor_id,
                sum(events) AS events,
                count(DISTINCT type) AS types,
                count(DISTINCT ip_address) AS addresses,
                min(first_at) AS first_at,
                max(last_at) AS last_at
            FROM parts
            GROUP BY actor
        ),
        seconds AS (
            SELECT
                coalesce(lower(actor_email), actor_id, actor_api_key_id) AS actor,
                effective_at,
                min(id) AS first_id,
                max(id) AS last_id
            FROM events
            WHERE effective_at IN (SELECT first_at FROM counted UNION ALL SELECT last_at FROM counted)
            GROUP BY coalesce(lower(actor_email), actor_id, actor_api_key_id), effective_at
        )
        SELECT
            counted.actor AS actor,
            actor_kind,
            actor_id,
            events,
            types,
            addresses,
            first_at,
            last_at,
            opening.first_id AS first_event_id,
            closing.last_id AS last_event_id
        FROM counted
        JOIN seconds AS opening
            ON opening.actor IS NOT DISTINCT FROM counted.actor AND opening.effective_at = first_at
        JOIN seconds AS closing
            ON closing.actor IS NOT DISTINCT FROM counted.actor AND closing.effective_at = last_at
        ORDER BY events DESC, counted.actor ASC NULLS LAST
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
        _ACTORS,
        _FIRST_ID,
        _LAST_ID,
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
        WITH counted AS (
            SELECT
                count(*) AS events,
                count(DISTINCT coalesce(lower(actor_email), actor_id, actor_api_key_id)) AS actors,
                min(effective_at) AS first_at,
                max(effective_at) AS last_at
            FROM events
            GROUP BY floor(epoch(effective_at) / 86400)
        ),
        seconds AS (
            SELECT effective_at, min(id) AS first_id, max(id) AS last_id
            FROM events
            WHERE effective_at IN (SELECT first_at FROM counted UNION ALL SELECT last_at FROM counted)
            GROUP BY effective_at
        )
        SELECT
            CAST(first_at AS DATE) AS day, events, actors,
            opening.first_id AS first_event_id, closing.last_id AS last_event_id
        FROM counted
        JOIN seconds AS opening ON opening.effective_at = first_at
        JOIN seconds AS closing ON closing.effective_at = last_at
        ORDER BY day
    """


@report(
    columns=(
        ReportColumn("type", "text", "The event type."),
        ReportColumn("effect", "text", "What such an event does, after the catalogue; other if it does not say."),
        ReportColumn("severity", "text", "How much attention one such event deserves; null for an unlisted type."),
        ReportColumn("documented", "flag", "Whether OpenAI's published specification lists the type."),
        ReportColumn("events", "integer", "How many events are of this type.", "events"),
        _ACTORS,
        _FIRST_AT,
        _LAST_AT,
        _FIRST_ID,
        _LAST_ID,
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
        WITH counted AS (
            SELECT
                type,
                count(*) AS events,
                count(DISTINCT coalesce(lower(actor_email), actor_id, actor_api_key_id)) AS actors,
                min(effective_at) AS first_at,
                max(effective_at) AS last_at
            FROM events
            GROUP BY type
        ),
        seconds AS (
            SELECT type, effective_at, min(id) AS first_id, max(id) AS last_id
            FROM events
            WHERE effective_at IN (SELECT first_at FROM counted UNION ALL SELECT last_at FROM counted)
            GROUP BY type, effective_at
        )
        SELECT
            counted.type AS type,
            coalesce(catalogue.effect, 'other') AS effect,
            catalogue.severity AS severity,
            coalesce(catalogue.documented, false) AS documented,
            events,
            actors,
            first_at,
            last_at,
            opening.first_id AS first_event_id,
            closing.last_id AS last_event_id
        FROM counted
        JOIN seconds AS opening ON opening.type = counted.type AND opening.effective_at = first_at
        JOIN seconds AS closing ON closing.type = counted.type AND closing.effective_at = last_at
        LEFT JOIN catalogue ON catalogue.type = counted.type
        ORDER BY events DESC, counted.type
    """


@report(
    columns=(
        ReportColumn("project_id", "text", "Id of the project; null for events of the organization or the tenant."),
        ReportColumn("project_name", "text", "Name that the last event to name it gave; null if none did."),
        ReportColumn("events", "integer", "How many events took place in the project.", "events"),
        _ACTORS,
        ReportColumn("types", "integer", "How many different event types these are.", "types"),
        _FIRST_AT,
        _LAST_AT,
        _FIRST_ID,
        _LAST_ID,
    ),
    plot=Bars(label=("project_name", "project_id"), value="events"),
    controls=("SOC 2 CC7.2", "ISO/IEC 27001:2022 A.8.15", "NIST SP 800-53 r5 AU-6"),
)
def events_per_project() -> str:
    """Where did something happen, and how much?

    One row a project, the busiest first. The project is the one that the event names as the place where it happened:
    an event about a project, such as its creation, need not name it so. Events that name none are one row whose
    project is null; they are about the whole organization or tenant. A project that was renamed has its last name.
    """
    return """
        WITH counted AS (
            SELECT
                project_id,
                count(*) AS events,
                count(DISTINCT coalesce(lower(actor_email), actor_id, actor_api_key_id)) AS actors,
                count(DISTINCT type) AS types,
                min(effective_at) AS first_at,
                max(effective_at) AS last_at,
                max(CASE WHEN project_name IS NOT NULL THEN effective_at END) AS named_at
            FROM events
            GROUP BY project_id
        ),
        seconds AS (
            SELECT
                project_id,
                effective_at,
                min(id) AS first_id,
                max(id) AS last_id,
                max(CASE WHEN project_name IS NOT NULL THEN id END) AS naming_id
            FROM events
            WHERE effective_at IN (
                SELECT first_at FROM counted
                UNION ALL SELECT last_at FROM counted
                UNION ALL SELECT named_at FROM counted WHERE named_at IS NOT NULL
            )
            GROUP BY project_id, effective_at
        ),
        names AS (
            SELECT counted.project_id AS project_id, project_name
            FROM counted
            JOIN seconds ON seconds.project_id = counted.project_id AND seconds.effective_at = named_at
            JOIN events ON events.id = naming_id AND events.effective_at = named_at
        )
        SELECT
            counted.project_id AS project_id,
            project_name,
            events,
            actors,
            types,
            first_at,
            last_at,
            opening.first_id AS first_event_id,
            closing.last_id AS last_event_id
        FROM counted
        JOIN seconds AS opening
            ON opening.project_id IS NOT DISTINCT FROM counted.project_id AND opening.effective_at = first_at
        JOIN seconds AS closing
            ON closing.project_id IS NOT DISTINCT FROM counted.project_id AND closing.effective_at = last_at
        LEFT JOIN names ON names.project_id = counted.project_id
        ORDER BY events DESC, counted.project_id ASC NULLS LAST
    """


@report(
    columns=(
        ReportColumn("day_of_week", "text", "The day of the week in the zone, in English."),
        ReportColumn("hour", "integer", "The hour in the zone; 9 is from 09:00 to 10:00.", "hour of the day"),
        ReportColumn("events", "integer", "How many events took effect in that hour of such days.", "events"),
        _FIRST_ID,
        _LAST_ID,
    ),
    plot=Heatmap(row="day_of_week", column="hour", value="events", zone="zone"),
    controls=("SOC 2 CC7.2", "ISO/IEC 27001:2022 A.8.16", "NIST SP 800-53 r5 AU-6"),
)
def activity_heatmap(*, zone: Zone = "UTC") -> str:
    """At which hours of the week do things happen?

    One row for each hour of each day of the week, 168 in all, from Monday at midnight on; an hour without an event
    has zero. Days and hours are those of the zone, daylight saving time included: the hour that is skipped in spring
    is empty on that day, the hour that autumn repeats counts twice. Of no events at all there is no row.

    Args:
        zone: The time zone whose days and hours are meant.
    """
    # Quarters of an hour are counted first: no zone's clock differs from UTC by a part of one, and so only a few
    # thousand instants have to be moved to the zone.
    return """
        WITH quarters AS (
            SELECT count(*) AS events, min(effective_at) AS first_at, max(effective_at) AS last_at
            FROM events
            GROUP BY floor(epoch(effective_at) / 900)
        ),
        moved AS (
            SELECT *, first_at AT TIME ZONE $zone AS local_at FROM quarters
        ),
        counted AS (
            SELECT
                (CAST(floor(epoch(local_at) / 86400) AS BIGINT) % 7 + 10) % 7 AS day_number,
                extract(hour FROM local_at) AS hour,
                sum(events) AS events,
                min(first_at) AS first_at,
                max(last_at) AS last_at
            FROM moved
            GROUP BY (CAST(floor(epoch(local_at) / 86400) AS BIGINT) % 7 + 10) % 7, extract(hour FROM local_at)
        ),
        seconds AS (
            SELECT effective_at, min(id) AS first_id, max(id) AS last_id
            FROM events
            WHERE effective_at IN (SELECT first_at FROM counted UNION ALL SELECT last_at FROM counted)
            GROUP BY effective_at
        ),
        days(day_number, day_of_week) AS (
            VALUES (0, 'Monday'), (1, 'Tuesday'), (2, 'Wednesday'), (3, 'Thursday'), (4, 'Friday'), (5, 'Saturday'),
                (6, 'Sunday')
        ),
        hours(hour) AS (
            VALUES (0), (1), (2), (3), (4), (5), (6), (7), (8), (9), (10), (11), (12), (13), (14), (15), (16), (17),
                (18), (19), (20), (21), (22), (23)
        )
        SELECT
            day_of_week,
            hours.hour AS hour,
            coalesce(events, 0) AS events,
            opening.first_id AS first_event_id,
            closing.last_id AS last_event_id
        FROM days CROSS JOIN hours
        LEFT JOIN counted ON counted.day_number = days.day_number AND counted.hour = hours.hour
        LEFT JOIN seconds AS opening ON opening.effective_at = first_at
        LEFT JOIN seconds AS closing ON closing.effective_at = last_at
        WHERE EXISTS (SELECT 1 FROM counted)
        ORDER BY days.day_number, hours.hour
    """
