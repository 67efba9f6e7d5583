"""Safeguards: what was turned on and off, and what happened meanwhile."""

from __future__ import annotations

from auditframe.reports._base import check, report
from auditframe.reports._columns import ACTOR, EVENT_ID, ReportColumn
from auditframe.reports._parameters import Moment
from auditframe.reports._safeguards import SAFEGUARDS
from auditframe.reports._specs import Points, Spans

_TARGET = ReportColumn(
    "target_id",
    "text",
    "What it applied to, for policies that are attached, and the project for certificates; null if the event does not "
    "say.",
)


@report(
    columns=(
        ReportColumn("effective_at", "instant", "When it took effect, in UTC."),
        ReportColumn("safeguard", "text", "What kind of protection it is."),
        ReportColumn("what", "text", "turned on, turned off, created, changed or deleted."),
        ReportColumn("resource_id", "text", "Id of the list, certificate, policy or other thing; null if not given."),
        _TARGET,
        ReportColumn("field", "text", "The setting of the organization; null for anything else."),
        ReportColumn("after", "text", "What the setting was to be from then on; null for anything else."),
        ReportColumn("type", "text", "The event type."),
        ReportColumn("severity", "text", "How much attention one such event deserves, after the catalogue."),
        ACTOR,
        ReportColumn("ip_address", "text", "From where; null for API keys and if the session does not say."),
        EVENT_ID,
    ),
    plot=Points(at="effective_at", label="safeguard"),
    controls=(
        "SOC 2 CC6.6",
        "SOC 2 CC6.7",
        "SOC 2 CC7.1",
        "SOC 2 CC8.1",
        "ISO/IEC 27001:2022 A.8.32",
        "NIST SP 800-53 r5 CM-3",
    ),
    relations=(SAFEGUARDS,),
)
def control_changes() -> str:
    """Who turned which safeguard on or off, or altered it?

    One row for each safeguard that an event touches, in time order: IP allow-lists, client certificates, external keys
    and storage, directory provisioning, single sign-on, session and other policies, and the settings of the
    organization that say what is logged and who sees it. An event about several lists or certificates is a row each,
    and so is each setting. A setting is turned off where its value says so and otherwise changed; what it was before,
    change_log tells. Deletion of a certificate that was replaced, or of a policy that applied to nothing, is a row,
    too. Payloads of the tenant are not documented: what a policy applies to is read from target_id, target.id,
    resource_id or principal_id.
    """
    return """
        WITH touched AS (
            SELECT
                events.id AS id,
                effective_at,
                safeguard,
                field,
                events.type AS type,
                severity,
                coalesce(actor_email, actor_id, actor_api_key_id) AS actor,
                ip_address,
                resource_id,
                CASE WHEN field IS NULL THEN coalesce(detail_configs_id, detail_certificates_id) END AS several,
                CASE
                    WHEN verb IN ('attached', 'detached')
                        THEN {payload}
                END AS attachment,
                CASE
                    WHEN verb IN ('attached', 'detached') THEN coalesce(detail_resource_id, detail_principal_id)
                    WHEN events.area = 'certificates' THEN project_id
                END AS place,
                effect,
                off_value,
                CASE field
                    WHEN 'api_call_logging' THEN detail_changes_requested_api_call_logging
                    WHEN 'api_call_logging_project_ids' THEN detail_changes_requested_api_call_logging_project_ids
                    WHEN 'threads_ui_visibility' THEN detail_changes_requested_threads_ui_visibility
                    WHEN 'usage_dashboard_visibility' THEN detail_changes_requested_usage_dashboard_visibility
                END AS value
            FROM events
            JOIN safeguards ON safeguards.area = events.area
            JOIN catalogue ON catalogue.type = events.type
        ),
        told AS (
            SELECT
                *,
                coalesce(TRY(attachment ->> '$.target_id'), TRY(attachment ->> '$.target.id'), place) AS target_id,
                CASE
                    WHEN field IS NOT NULL THEN CASE WHEN value = off_value THEN 'turned off' ELSE 'changed' END
                    WHEN effect = 'control_on' THEN 'turned on'
                    WHEN effect = 'control_off' THEN 'turned off'
                    WHEN effect = 'create' THEN 'created'
                    WHEN effect = 'delete' THEN 'deleted'
                    ELSE 'changed'
                END AS what
            FROM touched
            WHERE value IS NOT NULL
                OR (field IS NULL AND effect IN ('create', 'change', 'delete', 'control_on', 'control_off'))
        ),
        listed AS (
            SELECT
                id, effective_at, safeguard, what, resource_id, target_id, field, value, type, severity, actor,
                ip_address
            FROM told
            WHERE NOT coalesce(cardinality(several) > 0, false)
            UNION ALL
            SELECT DISTINCT
                id, effective_at, safeguard, what, named.one, target_id, field, value, type, severity, actor,
                ip_address
            FROM (SELECT * FROM told WHERE cardinality(several) > 0) AS lists
            CROSS JOIN unnest(several) AS named(one)
        )
        SELECT
            effective_at,
            safeguard,
            what,
            resource_id,
            target_id,
            field,
            value AS after,
            type,
            severity,
            actor,
            ip_address,
            id AS event_id
        FROM listed
        ORDER BY effective_at, id, safeguard, resource_id, field
    """


@check(
    severity="high",
    columns=(
        ReportColumn("safeguard", "text", "What kind of protection was off."),
        _TARGET,
        ReportColumn("was_on", "flag", "Whether it was on before; null if the source does not tell."),
        ReportColumn("turned_on_at", "instant", "When it was turned on again, in UTC; null if it was still off."),
        ReportColumn("turned_on_by", "text", "Who did that; null if it was still off or the event names nobody."),
        ReportColumn("off_hours", "number", "How long it was off, or had been by then.", "hours"),
        ReportColumn("events_inside", "integer", "How many events of any kind fell between the two.", "events"),
        ReportColumn("others_on", "integer", "How many of its kind were known to stay on then.", "safeguards"),
    ),
    plot=Spans(
        label=("safeguard", "resource_id"), start="effective_at", end="turned_on_at", meaning="while it was off"
    ),
    controls=("SOC 2 CC6.6", "SOC 2 CC6.7", "SOC 2 CC7.1", "ISO/IEC 27001:2022 A.8.32", "NIST SP 800-53 r5 CM-3"),
    relations=(SAFEGUARDS,),
)
def control_off_intervals(*, as_of: Moment = None) -> str:
    """When was a safeguard off, for how long, and what happened meanwhile?

    One row for each time that a safeguard was turned off, in time order; it ends when the same list, certificate, key,
    policy or setting is turned on again, and is open if that never happened. Turning off what was off already begins no
    new interval. Session policies, single sign-on connections and directories are on as long as they exist; deleting
    anything else counts only where the source knows that it was on. What was off before its first event here was so
    since nobody knows when, and is no row. Each list, certificate and so on is a safeguard of its own, and so is each
    target of a policy, and a certificate in the organization and in each project: while another of its kind is known to
    be on, which is how certificates are replaced, the severity is low; not so for a policy, which no other replaces.
    Otherwise it is that of the event in the catalogue, and at most high. Logging of API calls is off when its setting
    is disabled. An event that does not say what it turned off can have no end, and may be about any of its kind: from
    then on one fewer is known to be on.

    Args:
        as_of: The state at this moment, to the microsecond: later events do not count; None for the newest event's.
    """
    return """
        WITH bounds AS (
            SELECT coalesce(CAST($as_of AS TIMESTAMPTZ), max(effective_at)) AS as_of FROM events
        ),
        turned AS (
            SELECT
                events.id AS id,
                effective_at AS at_time,
                coalesce(actor_email, actor_id, actor_api_key_id) AS actor,
                effect,
                severity,
                safeguard,
                replaceable,
                resource_id,
                CASE WHEN field IS NULL THEN coalesce(detail_configs_id, detail_certificates_id) END AS several,
                CASE
                    WHEN verb IN ('attached', 'detached')
                        THEN {payload}
                END AS attachment,
                CASE
                    WHEN verb IN ('attached', 'detached') THEN coalesce(detail_resource_id, detail_principal_id)
                    WHEN events.area = 'certificates' THEN project_id
                END AS place,
                CASE
                    WHEN field IS NOT NULL
                        THEN CASE WHEN detail_changes_requested_api_call_logging = off_value THEN 'off' ELSE 'on' END
                    WHEN effect = 'control_on' OR (effect = 'create' AND holds_when_made) THEN 'on'
                    WHEN effect = 'control_off' OR (effect = 'delete' AND holds_when_made) THEN 'off'
                    ELSE 'gone'
                END AS state
            FROM events
            JOIN safeguards ON safeguards.area = events.area
            JOIN catalogue ON catalogue.type = events.type
            CROSS JOIN bounds
            WHERE effective_at <= as_of
                AND CASE
                    WHEN field IS NULL
                        THEN effect IN ('delete', 'control_on', 'control_off')
                            OR (effect = 'create' AND holds_when_made)
                    ELSE field = 'api_call_logging' AND detail_changes_requested_api_call_logging IS NOT NULL
                END
        ),
        applied AS (
            SELECT
                *,
                coalesce(TRY(attachment ->> '$.target_id'), TRY(attachment ->> '$.target.id'), place) AS target_id
            FROM turned
        ),
        switched AS (
            SELECT id, at_time, actor, effect, severity, safeguard, replaceable, resource_id, target_id, state
            FROM applied
            WHERE NOT coalesce(cardinality(several) > 0, false)
            UNION ALL
            SELECT DISTINCT
                id, at_time, actor, effect, severity, safeguard, replaceable, listed.one, target_id, state
            FROM (SELECT * FROM applied WHERE cardinality(several) > 0) AS lists
            CROSS JOIN unnest(several) AS listed(one)
        ),
        aimed AS (
            SELECT *, CASE WHEN resource_id IS NULL THEN id END AS alone FROM switched
        ),
        spread AS (
            SELECT
                aimed.id AS id, at_time, actor, effect, severity, aimed.safeguard AS safeguard, replaceable,
                aimed.resource_id AS resource_id, alone, state,
                coalesce(aimed.target_id, known.target_id) AS target_id
            FROM aimed
            LEFT JOIN (
                SELECT DISTINCT safeguard, resource_id, target_id FROM aimed WHERE state <> 'gone'
            ) AS known
                ON state = 'gone' AND known.safeguard = aimed.safeguard AND known.resource_id = aimed.resource_id
        ),
        ordered AS (
            SELECT
                *,
                lag(state) OVER life AS previous,
                first_value(CASE WHEN state = 'on' THEN at_time END IGNORE NULLS) OVER later AS turned_on_at,
                first_value(CASE WHEN state = 'on' THEN id END IGNORE NULLS) OVER later AS turned_on_id
            FROM spread
            WINDOW
                life AS (PARTITION BY safeguard, resource_id, target_id, alone ORDER BY at_time, id),
                later AS (
                    PARTITION BY safeguard, resource_id, target_id, alone ORDER BY at_time, id
                    ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING
                )
        ),
        counted AS (
            SELECT
                *,
                -- What is not named may be any that was on; where none was, it takes nothing from what comes on later.
                so_far - least(min(so_far) OVER since_the_first, 0) AS others_on
            FROM (
                SELECT
                    *,
                    sum(
                        CASE
                            WHEN alone IS NOT NULL THEN CASE WHEN state = 'on' THEN 0 ELSE -1 END
                            WHEN state = 'on' AND previous IS DISTINCT FROM 'on' THEN 1
                            WHEN state <> 'on' AND previous = 'on' THEN -1
                            ELSE 0
                        END
                    ) OVER since_the_first AS so_far
                FROM ordered
                WINDOW since_the_first AS (
                    PARTITION BY safeguard ORDER BY at_time, id RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
                )
            ) AS summed
            WINDOW since_the_first AS (
                PARTITION BY safeguard ORDER BY at_time, id RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
            )
        ),
        intervals AS (
            SELECT * FROM counted
            WHERE state <> 'on' AND (previous = 'on' OR (previous IS NULL AND state = 'off'))
        ),
        edges AS (
            SELECT id, at_time FROM intervals
            UNION
            SELECT turned_on_id, turned_on_at FROM intervals WHERE turned_on_id IS NOT NULL
        ),
        slots AS (
            -- Events are counted by ten minutes; those of an edge's own ten minutes are then told apart by time and id.
            SELECT
                slot,
                events,
                coalesce(
                    sum(events) OVER (ORDER BY slot ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0
                ) AS events_before
            FROM (
                SELECT floor(epoch(effective_at) / 600) AS slot, count(*) AS events
                FROM events CROSS JOIN bounds
                WHERE effective_at <= as_of
                GROUP BY floor(epoch(effective_at) / 600)
            ) AS counts
        ),
        same_slot AS (
            SELECT edges.id AS id, count(*) AS events
            FROM edges JOIN events ON floor(epoch(effective_at) / 600) = floor(epoch(at_time) / 600)
            WHERE effective_at < at_time OR (effective_at = at_time AND events.id < edges.id)
            GROUP BY edges.id
        ),
        ranks AS (
            SELECT edges.id AS id, slots.events_before + coalesce(same_slot.events, 0) AS events_before
            FROM edges
            JOIN slots ON slot = floor(epoch(at_time) / 600)
            LEFT JOIN same_slot ON same_slot.id = edges.id
        ),
        measured AS (
            SELECT
                intervals.*,
                turned_on_by,
                as_of,
                (epoch(coalesce(turned_on_at, as_of)) - epoch(at_time)) / 3600.0 AS off_hours,
                coalesce(last_one.events_before, (SELECT sum(events) FROM slots)) - first_one.events_before - 1
                    AS events_inside
            FROM intervals
            CROSS JOIN bounds
            JOIN ranks AS first_one ON first_one.id = intervals.id
            LEFT JOIN ranks AS last_one ON last_one.id = turned_on_id
            LEFT JOIN (SELECT DISTINCT id, actor AS turned_on_by FROM switched) AS returned
                ON returned.id = turned_on_id
        )
        SELECT
            'control_off_intervals:' || id || coalesce(':' || resource_id, '') || coalesce(':' || target_id, '')
                AS finding,
            CASE
                WHEN replaceable AND others_on > 0 THEN 'low'
                WHEN severity = 'critical' THEN 'high'
                ELSE severity
            END AS severity,
            at_time AS effective_at,
            actor,
            resource_id,
            CASE WHEN turned_on_id IS NULL THEN [id] ELSE [id, turned_on_id] END AS event_ids,
            safeguard || coalesce(' ' || resource_id, '') || coalesce(' on ' || target_id, '')
                || CASE WHEN effect = 'delete' THEN ' was deleted by ' ELSE ' was turned off by ' END
                || coalesce(actor, 'somebody whom the event does not name') || ' at '
                || strftime(at_time, '%Y-%m-%d %H:%M:%S') || ' UTC and '
                || CASE
                    WHEN alone IS NOT NULL THEN 'the event does not say which, so that nobody can tell when it was on '
                        || 'again'
                    WHEN turned_on_id IS NULL THEN 'was still off '
                        || CAST(CAST(off_hours AS DECIMAL(18, 1)) AS VARCHAR) || ' hours later, at '
                        || strftime(as_of, '%Y-%m-%d %H:%M:%S') || ' UTC'
                    ELSE 'turned on again by ' || coalesce(turned_on_by, 'somebody whom the event does not name')
                        || ' ' || CAST(CAST(off_hours AS DECIMAL(18, 1)) AS VARCHAR) || ' hours later'
                END
                || '; events in between: ' || CAST(CAST(events_inside AS BIGINT) AS VARCHAR)
                || CASE WHEN previous IS NULL THEN '; whether it was on before is not known' ELSE '' END
                || CASE
                    WHEN replaceable AND others_on > 0
                        THEN '; others of its kind that stayed on: ' || CAST(CAST(others_on AS BIGINT) AS VARCHAR)
                    ELSE ''
                END || '.' AS why,
            safeguard,
            target_id,
            CASE WHEN previous = 'on' THEN true END AS was_on,
            turned_on_at,
            turned_on_by,
            off_hours,
            events_inside,
            others_on
        FROM measured
        ORDER BY at_time, id, resource_id, target_id
    """
