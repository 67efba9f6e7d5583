"""Collection: what was read whole, what came late, what changed after the fact, and what is new at OpenAI."""

from __future__ import annotations

from auditframe.reports._arrivals import COVERED_BEFORE, compare_payloads
from auditframe.reports._base import check, report
from auditframe.reports._columns import ACTOR, EVENT_ID, ReportColumn
from auditframe.reports._drift import find_drift
from auditframe.reports._relations import COVERAGE, QUARANTINE
from auditframe.reports._specs import Bars, Points, Spans


@report(
    columns=(
        ReportColumn("scope", "text", "The scope: organization or tenant; null for events of which nobody said."),
        ReportColumn("kind", "text", "covered, gap, or outside of everything that was asked for or read."),
        ReportColumn("starts_at", "instant", "When the window begins, in UTC; null if it has no beginning."),
        ReportColumn("ends_at", "instant", "The first instant after it, in UTC; null if it has no end."),
        ReportColumn("hours", "number", "How long it is; null if it has no beginning or no end.", "h"),
        ReportColumn("events", "integer", "How many events of the scope the source holds in it.", "events"),
        ReportColumn("first_event_id", "text", "Id of the first of these; null if there is none."),
        ReportColumn("last_event_id", "text", "Id of the last of these; null if there is none."),
    ),
    plot=Spans(label=("scope", "kind"), start="starts_at", end="ends_at", meaning="from the window's start to its end"),
    controls=("SOC 2 CC7.2", "ISO/IEC 27001:2022 A.8.15", "NIST SP 800-53 r5 AU-9", "NIST SP 800-53 r5 AU-12"),
    relations=(COVERAGE,),
)
def coverage() -> str:
    """Which time does the log prove to hold whole, and where are the gaps?

    One row for each window of a scope, in time order: covered if the ledger proves that some snapshot read it whole, a
    gap if nobody did. Windows are half-open and clipped to the window that is asked for; without one they reach from
    the first covered instant to the last. What lies before and after them is a row only if the source holds events of
    it, such as imported ones, so each event of the source is in exactly one row. Events in a gap or outside were
    imported, or met by a pass that did not end: there may be more. A source that is no lake proves nothing: the window
    that is asked for is a gap, and without one everything is outside.
    """
    return """
        WITH tiles AS (
            SELECT scope, kind, starts_at, ends_at FROM coverage
            UNION ALL
            SELECT scope, 'outside', NULL, min(starts_at)
            FROM coverage GROUP BY scope HAVING count(starts_at) = count(*)
            UNION ALL
            SELECT scope, 'outside', max(ends_at), NULL
            FROM coverage GROUP BY scope HAVING count(ends_at) = count(*)
        ),
        windows AS (
            SELECT *, row_number() OVER (ORDER BY scope, starts_at ASC NULLS FIRST) AS number FROM tiles
        ),
        counted AS (
            SELECT
                events.scope AS scope,
                number,
                count(*) AS events,
                min(effective_at) AS first_at,
                max(effective_at) AS last_at
            FROM events LEFT JOIN windows ON windows.scope = events.scope
                AND (starts_at IS NULL OR effective_at >= starts_at)
                AND (ends_at IS NULL OR effective_at < ends_at)
            GROUP BY events.scope, number
        ),
        seconds AS (
            SELECT scope, effective_at, min(id) AS first_id, max(id) AS last_id
            FROM events
            WHERE effective_at IN (SELECT first_at FROM counted UNION ALL SELECT last_at FROM counted)
            GROUP BY scope, effective_at
        )
        SELECT
            coalesce(windows.scope, counted.scope) AS scope,
            coalesce(kind, 'outside') AS kind,
            starts_at,
            ends_at,
            (epoch(ends_at) - epoch(starts_at)) / 3600 AS hours,
            coalesce(events, 0) AS events,
            opening.first_id AS first_event_id,
            closing.last_id AS last_event_id
        FROM windows FULL JOIN counted ON counted.number = windows.number
        LEFT JOIN seconds AS opening
            ON opening.scope IS NOT DISTINCT FROM counted.scope AND opening.effective_at = first_at
        LEFT JOIN seconds AS closing
            ON closing.scope IS NOT DISTINCT FROM counted.scope AND closing.effective_at = last_at
        WHERE coalesce(kind, 'outside') <> 'outside' OR events > 0
        ORDER BY coalesce(windows.scope, counted.scope) ASC NULLS LAST, starts_at ASC NULLS FIRST
    """


@report(
    columns=(
        EVENT_ID,
        ReportColumn("type", "text", "The event type."),
        ReportColumn("scope", "text", "The pass over the endpoint that brought it: organization or tenant."),
        ReportColumn("effective_at", "instant", "When it took effect, in UTC."),
        ReportColumn("first_seen_at", "instant", "When it was collected, in UTC."),
        ReportColumn("lag_hours", "number", "The time between these.", "h"),
        ReportColumn("snapshot", "integer", "Number of the ledger entry that brought it.", "entry"),
        ACTOR,
        ReportColumn("resource_id", "text", "Id of what it was done to; null if the detail has none."),
    ),
    plot=Bars(label=("event_id",), value="lag_hours"),
    controls=("SOC 2 CC7.2", "ISO/IEC 27001:2022 A.8.15", "NIST SP 800-53 r5 AU-9", "NIST SP 800-53 r5 AU-12"),
    relations=(COVERED_BEFORE,),
)
def late_arrivals(*, min_lag_hours: float = 1.0) -> str:
    """Which events came after their time had already been read whole?

    One row for each such event, the latest first: so the first row says how long the overlap of a snapshot must be at
    least, and every answer that was given before the entry in snapshot lacks the event. An event is late if the ledger
    proves that an earlier snapshot had read a window around it whole, and the endpoint did not return it then. What a
    first snapshot brings of old times is not late, and neither are imports nor what is placed out of quarantine. The
    lag is until the snapshot came by, so the endpoint itself may have been quicker. A source that is no lake has no
    ledger, so nothing in it is known to be late.

    Args:
        min_lag_hours: Leave out events that came sooner; exactly so late is late enough [h].
    """
    return """
        SELECT
            events.id AS event_id,
            type,
            events.scope AS scope,
            effective_at,
            first_seen_at,
            (epoch(first_seen_at) - epoch(effective_at)) / 3600 AS lag_hours,
            events.snapshot AS snapshot,
            coalesce(actor_email, actor_id, actor_api_key_id) AS actor,
            resource_id
        FROM events JOIN covered_before
            ON covered_before.snapshot = events.snapshot AND covered_before.scope = events.scope
                AND (starts_at IS NULL OR effective_at >= starts_at) AND (ends_at IS NULL OR effective_at < ends_at)
        WHERE epoch(first_seen_at) - epoch(effective_at) >= $min_lag_hours * 3600
        ORDER BY lag_hours DESC, effective_at, events.id
    """


@check(
    severity="high",
    columns=(
        ReportColumn("type", "text", "The event type, after the first payload."),
        ReportColumn("changed", "texts", "Paths of the keys that differ, sorted; empty if that cannot be counted."),
        ReportColumn("first_seen_at", "instant", "When the first payload arrived, in UTC."),
        ReportColumn("seen_again_at", "instant", "When the other payload arrived, in UTC."),
        ReportColumn("other_sha256", "text", "SHA-256 of the other payload, as it stands in quarantine."),
    ),
    plot=Points(at="seen_again_at", label="type"),
    controls=("SOC 2 CC7.2", "SOC 2 CC7.3", "ISO/IEC 27001:2022 A.8.15", "NIST SP 800-53 r5 AU-9"),
    finish=compare_payloads,
    relations=(QUARANTINE,),
)
def mutations() -> str:
    """Which events came back with another payload?

    One row for each other payload of an event, in the order of the events; actor, resource and time are those of the
    first payload, which the lake keeps. A log must not change after the fact, so this is high; where keys were only
    added, as when OpenAI begins to deliver a field, it is medium. Keys are named by their path in the event, values
    never: both payloads are in the lake, the other one in quarantine. White space and the order of keys are no change.
    A source that is no lake has no quarantine, so nothing in it is known to have changed.
    """
    return """
        SELECT
            'mutations:' || events.id || ':' || left(sha256, 16) AS finding,
            'high' AS severity,
            effective_at,
            coalesce(actor_email, actor_id, actor_api_key_id) AS actor,
            resource_id,
            [events.id] AS event_ids,
            'The event ' || events.id || ' (' || type || ') came again on ' || strftime(quarantined_at, '%Y-%m-%d')
                || ' with another payload: ' AS why,
            type,
            CAST([] AS VARCHAR[]) AS changed,
            first_seen_at,
            quarantined_at AS seen_again_at,
            sha256 AS other_sha256,
            raw,
            text
        FROM quarantine JOIN events ON events.id = event_id
        WHERE kind = 'mutation'
        ORDER BY effective_at, events.id, quarantined_at, sha256
    """


@report(
    columns=(
        ReportColumn("kind", "text", "unknown_type, unknown_field, other_type, unreadable or never_seen."),
        ReportColumn("type", "text", "The event type."),
        ReportColumn("field", "text", "Path of the field in the payload, keys joined by /; null if it is about none."),
        ReportColumn("expected", "text", "What the field holds after the columns; null unless it holds another type."),
        ReportColumn(
            "found",
            "text",
            "What the field holds here: text, number, flag, object, list, list of one of these, or mixed or empty; "
            "null if it is not about a field.",
        ),
        ReportColumn("events", "integer", "How many events show it.", "events"),
        ReportColumn("first_at", "instant", "When the first of these took effect, in UTC; null if there is none."),
        ReportColumn("last_at", "instant", "When the last of these took effect, in UTC; null if there is none."),
        ReportColumn("first_event_id", "text", "Id of the first of these; null if there is none."),
        ReportColumn("last_event_id", "text", "Id of the last of these; null if there is none."),
    ),
    controls=("SOC 2 CC7.2", "ISO/IEC 27001:2022 A.8.15", "NIST SP 800-53 r5 AU-2", "NIST SP 800-53 r5 AU-12"),
    finish=find_drift,
)
def catalogue_drift(*, area: str | None = None) -> str:
    """Which types and fields do the catalogue and the columns not know?

    One row for each kind of drift, type and field. An unknown_type is not in the catalogue, so no report that goes by
    effects sees it. An unknown_field is a value in a payload that no column holds; it is in detail, and of the tenant's
    types OpenAI documents no field at all. An other_type is a value that does not fit its column, which is null
    there; a number with a fraction where a whole one belongs is not noticed. Payloads that the engine cannot read as
    JSON are unreadable. A type that is never_seen has no event: it did not happen, was not collected (see coverage) or
    has another name by now. Fields of the actor and of the project are not looked at.

    Args:
        area: Only types of this area and of those below it, such as tenant or api_key; None for all.
    """
    # To find the shape of a payload costs ten times as much as to read it, and most payloads repeat: where they do,
    # the texts are counted first, and each is looked into once. Where they do not, so many texts would fill the memory.
    return """
        WITH varieties AS (
            SELECT type, approx_count_distinct(detail) < 50000 AS repeats
            FROM events
            WHERE CAST($area AS VARCHAR) IS NULL OR starts_with(type, CAST($area AS VARCHAR) || '.')
            GROUP BY type
        ),
        texts AS (
            SELECT
                events.type AS type,
                detail IS NOT NULL AS has_detail,
                CASE WHEN repeats THEN detail END AS text,
                CASE WHEN NOT repeats THEN TRY(json_structure(detail)) END AS shape,
                count(*) AS events,
                min(effective_at) AS first_at,
                max(effective_at) AS last_at
            FROM events JOIN varieties ON varieties.type = events.type
            GROUP BY
                events.type, detail IS NOT NULL, CASE WHEN repeats THEN detail END,
                CASE WHEN NOT repeats THEN TRY(json_structure(detail)) END
        ),
        shaped AS (
            SELECT
                type,
                has_detail,
                coalesce(shape, TRY(json_structure(text))) AS shape,
                CAST(sum(events) AS BIGINT) AS events,
                min(first_at) AS first_at,
                max(last_at) AS last_at
            FROM texts
            GROUP BY type, has_detail, coalesce(shape, TRY(json_structure(text)))
        ),
        seconds AS (
            SELECT
                type,
                detail IS NOT NULL AS has_detail,
                TRY(json_structure(detail)) AS shape,
                effective_at,
                min(id) AS first_id,
                max(id) AS last_id
            FROM events
            WHERE effective_at IN (SELECT first_at FROM shaped UNION ALL SELECT last_at FROM shaped)
            GROUP BY type, detail IS NOT NULL, TRY(json_structure(detail)), effective_at
        )
        SELECT
            shaped.type AS type,
            shaped.has_detail AS has_detail,
            shaped.shape AS shape,
            events,
            first_at,
            last_at,
            opening.first_id AS first_event_id,
            closing.last_id AS last_event_id
        FROM shaped
        JOIN seconds AS opening
            ON opening.type = shaped.type
            AND opening.has_detail = shaped.has_detail
            AND opening.shape IS NOT DISTINCT FROM shaped.shape
            AND opening.effective_at = first_at
        JOIN seconds AS closing
            ON closing.type = shaped.type
            AND closing.has_detail = shaped.has_detail
            AND closing.shape IS NOT DISTINCT FROM shaped.shape
            AND closing.effective_at = last_at
        UNION ALL
        SELECT type, false, NULL, 0, NULL, NULL, NULL, NULL
        FROM catalogue
        WHERE (CAST($area AS VARCHAR) IS NULL OR starts_with(type, CAST($area AS VARCHAR) || '.'))
            AND type NOT IN (SELECT type FROM shaped) AND EXISTS (SELECT 1 FROM events)
        ORDER BY type, shape
    """
