"""What API keys did while they lived, and what was done with the keys that manage the organization."""

from __future__ import annotations

from auditframe.reports._base import check
from auditframe.reports._columns import ReportColumn
from auditframe.reports._keys import KEYS
from auditframe.reports._parameters import Moment
from auditframe.reports._specs import Bars, Points


@check(
    severity="medium",
    columns=(
        ReportColumn("deleted_at", "instant", "When the key was deleted, in UTC."),
        ReportColumn("deleted_by", "text", "Who deleted it; null if the event names nobody."),
        ReportColumn("lived_minutes", "number", "How long the key lived.", "min"),
        ReportColumn("events_as_actor", "integer", "How many events the key caused in that time.", "events"),
        ReportColumn("types", "texts", "The different types of these, sorted; empty if there are none."),
        ReportColumn("project_id", "text", "Project that the key was made in; null if the event names none."),
    ),
    plot=Points(at="effective_at", label="actor"),
    controls=("SOC 2 CC7.2", "ISO/IEC 27001:2022 A.5.17", "ISO/IEC 27001:2022 A.8.16", "NIST SP 800-53 r5 IA-5"),
)
def key_bursts(*, within_minutes: int = 60) -> str:
    """Which API keys were made and deleted again within minutes?

    One row for each key, in the order of creation; actor made it. A key whose id is made again after its deletion has a
    row for each such life; where both fall into one instant, it is made before it is deleted. What the key caused
    counts from the instant in which it was made through the one in which it was deleted, and stands among the event
    ids. The log holds no calls to models, so a key that caused no event may have been used for those. Keys of the
    organization's projects only: what is managed through the tenant has no documented payload.

    Args:
        within_minutes: How long a key lives at most that counts; exactly so long counts [min].
    """
    return """
        WITH about AS (
            SELECT
                resource_id AS key_id,
                events.id AS id,
                effective_at,
                effect,
                project_id,
                coalesce(actor_email, actor_id, actor_api_key_id) AS actor
            FROM events JOIN catalogue ON catalogue.type = events.type
            WHERE area = 'api_key' AND effect IN ('create', 'delete') AND resource_id IS NOT NULL
        ),
        turns AS (
            -- Within a second, a key is made before it is deleted.
            SELECT
                *,
                lag(effect) OVER (PARTITION BY key_id ORDER BY effective_at, effect, id) AS effect_before,
                first_value(CASE WHEN effect = 'delete' THEN effective_at END IGNORE NULLS) OVER later AS deleted_at,
                first_value(CASE WHEN effect = 'delete' THEN id END IGNORE NULLS) OVER later AS deleted_id
            FROM about
            WINDOW later AS (
                PARTITION BY key_id ORDER BY effective_at, effect, id
                ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING
            )
        ),
        bursts AS (
            SELECT
                made.key_id AS key_id,
                made.id AS created_id,
                made.effective_at AS created_at,
                made.actor AS actor,
                made.project_id AS project_id,
                made.deleted_id AS deleted_id,
                made.deleted_at AS deleted_at,
                gone.actor AS deleted_by,
                (epoch(made.deleted_at) - epoch(made.effective_at)) / 60 AS lived_minutes
            FROM turns AS made JOIN about AS gone ON gone.id = made.deleted_id
            WHERE made.effect = 'create' AND coalesce(made.effect_before, 'delete') = 'delete'
                AND epoch(made.deleted_at) - epoch(made.effective_at) <= $within_minutes * 60
        ),
        caused AS (
            SELECT created_id, events.id AS id, effective_at, events.type AS type
            FROM events
            JOIN bursts ON key_id = actor_api_key_id AND effective_at BETWEEN created_at AND deleted_at
        ),
        counted AS (
            SELECT
                created_id,
                count(*) AS events,
                array_sort(array_agg(DISTINCT type)) AS types,
                string_agg(DISTINCT type, ', ' ORDER BY type) AS named
            FROM caused
            GROUP BY created_id
        ),
        evidence AS (
            SELECT created_id, created_id AS id, created_at AS effective_at FROM bursts
            UNION
            SELECT created_id, deleted_id, deleted_at FROM bursts
            UNION
            SELECT created_id, id, effective_at FROM caused
        ),
        rested AS (
            SELECT created_id, list(id ORDER BY effective_at, id) AS event_ids FROM evidence GROUP BY created_id
        )
        SELECT
            'key_bursts:' || bursts.created_id AS finding,
            'medium' AS severity,
            created_at AS effective_at,
            actor,
            key_id AS resource_id,
            event_ids,
            'The API key ' || key_id || ' was made by ' || coalesce(actor, 'nobody that is named')
                || ' and deleted ' || CAST(CAST(floor(lived_minutes) AS BIGINT) AS VARCHAR) || ' minutes later by '
                || coalesce(deleted_by, 'nobody that is named')
                || CASE
                    WHEN events IS NULL THEN '. In between it caused no event, and calls to models are not in this log.'
                    ELSE '. In between it caused ' || CAST(events AS VARCHAR) || ' event(s): ' || named || '.'
                END AS why,
            deleted_at,
            deleted_by,
            lived_minutes,
            coalesce(events, 0) AS events_as_actor,
            coalesce(types, CAST([] AS VARCHAR[])) AS types,
            project_id
        FROM bursts
        JOIN rested ON rested.created_id = bursts.created_id
        LEFT JOIN counted ON counted.created_id = bursts.created_id
        ORDER BY created_at, bursts.created_id
    """


@check(
    severity="low",
    columns=(
        ReportColumn("created_at", "instant", "When the key was made, in UTC; null if before the first event."),
        ReportColumn("age_days", "integer", "Whole days since it was made, or first seen if that is unknown.", "days"),
        ReportColumn("project_id", "text", "Project of the key; null if unknown or not always the same."),
    ),
    plot=Bars(label=("resource_id",), value="age_days"),
    controls=("SOC 2 CC6.1", "SOC 2 CC6.5", "ISO/IEC 27001:2022 A.5.17", "NIST SP 800-53 r5 IA-5"),
    relations=KEYS,
)
def keys_never_used(*, min_age_days: int = 30, as_of: Moment = None) -> str:
    """Which living API keys never caused an event in this log?

    One row for each key that is alive and older than min_age_days, the oldest first. The audit log holds no calls to
    models: a key that is used for nothing else is a row here although it is in use, so a row is a question to the owner
    and no proof. Nor can an event count that names the actor and not the key. The age of a key that is older than
    the source counts from the first event about it. A key is alive while no event deletes it and none archives or
    deletes its project.

    Args:
        min_age_days: Leave out keys that are younger, or exactly so old [days].
        as_of: When ages are taken; later events are left out. None for the time of the newest event.
    """
    return """
        WITH idle AS (
            SELECT *, CAST(floor((epoch(as_of) - epoch(since)) / 86400) AS BIGINT) AS age_days
            FROM living_keys
            WHERE last_used_at IS NULL AND epoch(as_of) - epoch(since) > $min_age_days * 86400
        )
        SELECT
            'keys_never_used:' || since_id AS finding,
            'low' AS severity,
            since AS effective_at,
            creator AS actor,
            key_id AS resource_id,
            event_ids,
            'The API key ' || key_id || ' is ' || CASE WHEN created_at IS NULL THEN 'at least ' ELSE '' END
                || CAST(age_days AS VARCHAR) || ' days old and caused no event in this log. The log holds no calls to '
                || 'models, so it may still be in use: ask its owner.' AS why,
            created_at,
            age_days,
            project_id
        FROM idle
        ORDER BY since, key_id
    """


@check(
    severity="high",
    columns=(
        ReportColumn("effect", "text", "What was done: create, change or delete; other if the catalogue does not say."),
        ReportColumn("key_name", "text", "The key's name; null if the payload gives none."),
        ReportColumn("ip_address", "text", "From where; null for API keys and if the session does not say."),
        ReportColumn("used_by", "texts", "Who acted with the key at any time, sorted; empty if nobody is known to."),
        ReportColumn("events_as_actor", "integer", "How many events the key caused at any time.", "events"),
        ReportColumn("last_used_at", "instant", "When the key last caused an event, in UTC; null if it never did."),
    ),
    plot=Points(at="effective_at", label="effect"),
    controls=("SOC 2 CC6.1", "SOC 2 CC6.3", "ISO/IEC 27001:2022 A.8.2", "NIST SP 800-53 r5 AC-6"),
)
def admin_key_events() -> str:
    """What was done to admin API keys, and who acted with them?

    One row for each event about such a key, in time order: to make or alter one is high, because it manages the
    organization; to delete one is low. OpenAI documents no payload for these events: it is assumed that its id is the
    key's, that its name stands under name, and that an actor who uses the key is named with the same id. Where that
    does not hold, nobody is known to have used the key; who used an admin key that no event is about cannot be told.
    These events are in the tenant scope, which not every key may read: see coverage.
    """
    return """
        WITH picked AS (
            SELECT
                events.id AS id,
                effective_at,
                resource_id,
                coalesce(effect, 'other') AS effect,
                coalesce(actor_email, actor_id, actor_api_key_id) AS actor,
                ip_address,
                {payload} AS payload
            FROM events LEFT JOIN catalogue ON catalogue.type = events.type
            WHERE area = 'tenant.admin_api_key'
        ),
        about AS (
            SELECT
                *,
                coalesce(
                    TRY(payload ->> '$.name'),
                    TRY(payload ->> '$.data.name'),
                    TRY(payload ->> '$.changes_requested.name')
                ) AS key_name
            FROM picked
        ),
        used AS (
            SELECT
                actor_api_key_id,
                array_sort(
                    array_agg(DISTINCT coalesce(actor_email, actor_id))
                        FILTER (WHERE coalesce(actor_email, actor_id) IS NOT NULL)
                ) AS used_by,
                count(*) AS events,
                max(effective_at) AS last_used_at
            FROM events
            WHERE actor_api_key_id IN (SELECT resource_id FROM about)
            GROUP BY actor_api_key_id
        ),
        last_uses AS (
            SELECT used.actor_api_key_id AS key_id, max(events.id) AS last_used_id
            FROM events JOIN used
                ON used.actor_api_key_id = events.actor_api_key_id AND last_used_at = effective_at
            GROUP BY used.actor_api_key_id
        )
        SELECT
            'admin_key_events:' || id AS finding,
            CASE effect WHEN 'create' THEN 'high' WHEN 'change' THEN 'high' WHEN 'delete' THEN 'low' ELSE 'medium' END
                AS severity,
            effective_at,
            actor,
            resource_id,
            CASE
                WHEN last_used_id IS NULL OR last_used_id = id THEN [id]
                WHEN last_used_at < effective_at OR (last_used_at = effective_at AND last_used_id < id)
                    THEN [last_used_id, id]
                ELSE [id, last_used_id]
            END AS event_ids,
            'An admin API key, which manages the organization, was '
                || CASE effect WHEN 'create' THEN 'made' WHEN 'change' THEN 'altered' WHEN 'delete' THEN 'deleted'
                    ELSE 'touched' END
                || ' by ' || coalesce(actor, 'nobody that is named') || ': ' || coalesce(resource_id, 'no id is given')
                || CASE
                    WHEN events IS NULL THEN '. No event is known to have been caused with it.'
                    ELSE '. ' || CAST(events AS VARCHAR) || ' event(s) were caused with it, the last on '
                        || strftime(last_used_at, '%Y-%m-%d') || '.'
                END AS why,
            effect,
            key_name,
            ip_address,
            coalesce(used_by, CAST([] AS VARCHAR[])) AS used_by,
            coalesce(events, 0) AS events_as_actor,
            last_used_at
        FROM about
        LEFT JOIN used ON used.actor_api_key_id = resource_id
        LEFT JOIN last_uses ON key_id = resource_id
        ORDER BY effective_at, id
    """
