"""Living API keys: the relation that the checks of keys share."""

from __future__ import annotations

import pyarrow as pa

from auditframe.reports._relations import Relation

_INSTANT = pa.timestamp("us", tz="UTC")
_TEXTS = pa.list_(pa.string())

KEY_EVENTS = Relation(
    "key_events",
    {
        "resource_id": pa.string(),
        "id": pa.string(),
        "effective_at": _INSTANT,
        "area": pa.string(),
        "project_id": pa.string(),
        "effect": pa.string(),
        "actor": pa.string(),
        "actor_id": pa.string(),
        "actor_email": pa.string(),
        "scopes": _TEXTS,
    },
    "An event about an API key, an admin API key or a project until a moment.",
    parameters=("as_of",),
    sql="""
        WITH areas(area) AS (
            -- Joined, for a list after IN is compared only when all the columns are read.
            VALUES ('api_key'), ('tenant.admin_api_key'), ('project')
        )
        SELECT
            resource_id,
            events.id AS id,
            effective_at,
            events.area AS area,
            project_id,
            coalesce(effect, 'other') AS effect,
            coalesce(actor_email, actor_id, actor_api_key_id) AS actor,
            actor_id,
            actor_email,
            coalesce(detail_changes_requested_scopes, detail_data_scopes) AS scopes
        FROM events
        JOIN areas ON areas.area = events.area
        LEFT JOIN catalogue ON catalogue.type = events.type
        WHERE resource_id IS NOT NULL
            AND effective_at <= coalesce(CAST($as_of AS TIMESTAMPTZ), CAST('9999-12-31' AS TIMESTAMPTZ))
    """,
)

_SQL = """
    WITH moment AS (
        SELECT coalesce(CAST($as_of AS TIMESTAMPTZ), max(effective_at)) AS as_of FROM events
    ),
    ended AS (
        SELECT DISTINCT resource_id FROM key_events WHERE effect = 'delete'
    ),
    ranked AS (
        SELECT
            *,
            row_number() OVER (PARTITION BY resource_id ORDER BY effective_at, id) AS nth,
            row_number() OVER (PARTITION BY resource_id, effect ORDER BY effective_at, id) AS nth_of_effect,
            row_number() OVER (PARTITION BY resource_id, scopes IS NULL ORDER BY effective_at DESC, id DESC) AS nth_last
        FROM key_events
        WHERE area = 'api_key'
    ),
    managed AS (
        SELECT
            resource_id AS key_id,
            CASE WHEN min(project_id) = max(project_id) THEN min(project_id) END AS project_id,
            max(CASE WHEN effect = 'create' AND nth_of_effect = 1 THEN actor END) AS creator,
            max(CASE WHEN effect = 'create' AND nth_of_effect = 1 THEN actor_id END) AS creator_id,
            max(CASE WHEN effect = 'create' AND nth_of_effect = 1 THEN lower(actor_email) END) AS creator_email,
            max(CASE WHEN effect = 'create' AND nth_of_effect = 1 THEN id END) AS created_id,
            min(CASE WHEN effect = 'create' THEN effective_at END) AS created_at,
            max(CASE WHEN effect = 'change' THEN effective_at END) AS last_change_at,
            max(CASE WHEN nth = 1 THEN id END) AS first_id,
            min(effective_at) AS first_at,
            max(CASE WHEN scopes IS NOT NULL AND nth_last = 1 THEN scopes END) AS scopes,
            max(CASE WHEN scopes IS NOT NULL AND nth_last = 1 THEN id END) AS scopes_id,
            max(CASE WHEN scopes IS NOT NULL AND nth_last = 1 THEN effective_at END) AS scopes_at,
            max(CASE WHEN scopes IS NOT NULL AND nth_last = 1 THEN actor END) AS scopes_by
        FROM ranked
        GROUP BY resource_id
    ),
    acting AS (
        SELECT
            actor_api_key_id AS key_id,
            min(effective_at) AS first_used_at,
            max(effective_at) AS last_used_at,
            CASE WHEN min(actor_id) = max(actor_id) THEN min(actor_id) END AS owner_id,
            CASE
                WHEN min(actor_id) = max(actor_id)
                    THEN max(CASE WHEN actor_id IS NOT NULL THEN coalesce(actor_email, actor_id) END)
            END AS owner
        FROM events
        WHERE actor_api_key_id IS NOT NULL
            AND effective_at <= coalesce(CAST($as_of AS TIMESTAMPTZ), CAST('9999-12-31' AS TIMESTAMPTZ))
        GROUP BY actor_api_key_id
    ),
    living AS (
        SELECT managed.*, acting.*, coalesce(managed.key_id, acting.key_id) AS living_id, as_of
        FROM managed
        FULL JOIN acting ON managed.key_id = acting.key_id
        LEFT JOIN ended AS gone ON gone.resource_id = coalesce(managed.key_id, acting.key_id)
        LEFT JOIN ended AS closed ON closed.resource_id = project_id
        CROSS JOIN moment
        WHERE gone.resource_id IS NULL AND closed.resource_id IS NULL
    ),
    used AS (
        SELECT
            living_id,
            min(CASE WHEN effective_at = first_used_at THEN id END) AS first_used_id,
            max(CASE WHEN effective_at = last_used_at THEN id END) AS last_used_id
        FROM events JOIN living ON actor_api_key_id = living_id AND effective_at IN (first_used_at, last_used_at)
        WHERE effective_at IN (SELECT first_used_at FROM living UNION ALL SELECT last_used_at FROM living)
        GROUP BY living_id
    ),
    evidence AS (
        SELECT living_id, id, effective_at FROM ranked JOIN living ON living_id = resource_id
        UNION
        SELECT living.living_id, last_used_id, last_used_at FROM living JOIN used ON used.living_id = living.living_id
        UNION
        SELECT living.living_id, first_used_id, first_used_at
        FROM living JOIN used ON used.living_id = living.living_id
        WHERE created_at IS NULL
    ),
    rested AS (
        SELECT living_id, list(id ORDER BY effective_at, id) AS event_ids FROM evidence GROUP BY living_id
    )
    SELECT
        living.living_id AS key_id,
        project_id,
        creator,
        creator_id,
        creator_email,
        owner,
        owner_id,
        created_at,
        created_id,
        coalesce(created_at, least(first_at, first_used_at)) AS since,
        CASE
            WHEN created_at IS NOT NULL THEN created_id
            WHEN first_used_at < first_at OR first_at IS NULL THEN first_used_id
            WHEN first_used_at = first_at THEN least(first_id, first_used_id)
            ELSE first_id
        END AS since_id,
        last_change_at,
        scopes,
        scopes_at,
        scopes_id,
        scopes_by,
        last_used_at,
        last_used_id,
        event_ids,
        as_of
    FROM living
    JOIN rested ON rested.living_id = living.living_id
    LEFT JOIN used ON used.living_id = living.living_id
"""


LIVING_KEYS = Relation(
    "living_keys",
    {
        "key_id": pa.string(),
        "project_id": pa.string(),
        "creator": pa.string(),
        "creator_id": pa.string(),
        "creator_email": pa.string(),
        "owner": pa.string(),
        "owner_id": pa.string(),
        "created_at": _INSTANT,
        "created_id": pa.string(),
        "since": _INSTANT,
        "since_id": pa.string(),
        "last_change_at": _INSTANT,
        "scopes": _TEXTS,
        "scopes_at": _INSTANT,
        "scopes_id": pa.string(),
        "scopes_by": pa.string(),
        "last_used_at": _INSTANT,
        "last_used_id": pa.string(),
        "event_ids": _TEXTS,
        "as_of": _INSTANT,
    },
    "An API key that no event deletes and whose project none archives or deletes, as of a moment. Its owner is in "
    "whose name it acts; since is when it was made, or when an event first names it if that is unknown.",
    parameters=("as_of",),
    sql=_SQL,
)

KEYS = (KEY_EVENTS, LIVING_KEYS)
"""The relations that tell which keys live, each of which names those before it."""
