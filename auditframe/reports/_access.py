"""Who may do what: the relations that reports on members and on grants share."""

from __future__ import annotations

import csv
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from auditframe.reports._relations import Relation

if TYPE_CHECKING:
    from collections.abc import Mapping

    from auditframe.lake import Events

_INSTANT = pa.timestamp("us", tz="UTC")


@cache
def privileges() -> pa.Table:
    """Return what makes a role or a permission privileged, from ``privileges.csv``.

    Returns:
        One row a pattern: ``kind`` (role, role_id or permission), ``pattern`` for lower-case text, and ``about``.
    """
    text = resources.files("auditframe.reports").joinpath("privileges.csv").read_text(encoding="utf-8")
    return pa.Table.from_pylist(list(csv.DictReader(text.splitlines())))


def _read_privileges(_: Events, __: Mapping[str, Any]) -> pa.Table:
    return privileges()


PRIVILEGES = Relation(
    "privileges",
    {"kind": pa.string(), "pattern": pa.string(), "about": pa.string()},
    "A name of a role, an id of one or a permission that is privileged, as a pattern for lower-case text.",
    _read_privileges,
)

NAMES = Relation(
    "names",
    {"user_id": pa.string(), "email": pa.string(), "first_at": _INSTANT, "last_at": _INSTANT},
    "A user and an e-mail address that the user acted with, or null for without one, and when first and last.",
    sql="""
        SELECT actor_id AS user_id, actor_email AS email, min(effective_at) AS first_at, max(effective_at) AS last_at
        FROM events
        WHERE actor_kind = 'user' AND actor_id IS NOT NULL
        GROUP BY actor_id, actor_email
    """,
)

PEOPLE = Relation(
    "people",
    {"user_id": pa.string(), "email": pa.string()},
    "A user that acted, with the e-mail address last seen.",
    needs=(NAMES,),
    sql="""
        SELECT user_id, email
        FROM (
            SELECT
                user_id,
                email,
                row_number() OVER (PARTITION BY user_id ORDER BY email IS NULL, last_at DESC, email) AS nth
            FROM names
        ) AS ranked
        WHERE nth = 1
    """,
)

FIRST_ACTS = Relation(
    "first_acts",
    {"user_id": pa.string(), "first_id": pa.string()},
    "The first event of a user that is more than a failure to sign in.",
    sql="""
        WITH firsts AS (
            SELECT actor_id AS user_id, min(effective_at) AS first_at
            FROM events LEFT JOIN catalogue ON catalogue.type = events.type
            WHERE actor_kind = 'user' AND actor_id IS NOT NULL AND coalesce(effect, 'other') <> 'login_failed'
            GROUP BY actor_id
        )
        SELECT user_id, min(events.id) AS first_id
        FROM events
        JOIN firsts ON user_id = actor_id AND first_at = effective_at
        LEFT JOIN catalogue ON catalogue.type = events.type
        WHERE actor_kind = 'user' AND coalesce(effect, 'other') <> 'login_failed'
        GROUP BY user_id
    """,
)

MEMBERSHIP_EVENTS = Relation(
    "membership_events",
    {
        "id": pa.string(),
        "effective_at": _INSTANT,
        "area": pa.string(),
        "effect": pa.string(),
        "project_id": pa.string(),
        "resource_id": pa.string(),
        "actor_kind": pa.string(),
        "actor_id": pa.string(),
        "actor_email": pa.string(),
        "actor": pa.string(),
        "detail_data_email": pa.string(),
        "detail_data_role": pa.string(),
        "detail_changes_requested_role": pa.string(),
        "payload": pa.string(),
    },
    "An event about a user, an invite or a membership of the tenant's, with the payload of the tenant's.",
    sql="""
        WITH areas(area) AS (
            -- Joined, for a list after IN is compared only when all the columns are read.
            VALUES ('user'), ('invite'), ('tenant.user'), ('tenant.membership')
        )
        SELECT
            events.id AS id,
            effective_at,
            events.area AS area,
            effect,
            project_id,
            resource_id,
            actor_kind,
            actor_id,
            actor_email,
            coalesce(actor_email, actor_id, actor_api_key_id) AS actor,
            detail_data_email,
            detail_data_role,
            detail_changes_requested_role,
            CASE
                WHEN left(events.area, 7) = 'tenant.'
                    THEN {payload}
            END AS payload
        FROM events
        JOIN areas ON areas.area = events.area
        JOIN catalogue ON catalogue.type = events.type
        WHERE effect IN ('create', 'grant', 'change', 'revoke')
    """,
)

MEMBERSHIPS = Relation(
    "memberships",
    {
        "id": pa.string(),
        "effective_at": _INSTANT,
        "scope": pa.string(),
        "project_id": pa.string(),
        "user_id": pa.string(),
        "effect": pa.string(),
        "role": pa.string(),
        "actor": pa.string(),
        "invited": pa.bool_(),
    },
    "An event by which a user became a member (grant), got another role (change) or left (revoke): the organization or "
    "tenant itself, or a project. A removal from the organization is one from each project that the user was in, too.",
    sql="""
        WITH offers AS (
            -- What an invite offered at last, until each event about it: it may be sent again with another role.
            SELECT
                id,
                last_value(CASE WHEN effect = 'create' THEN lower(detail_data_email) END IGNORE NULLS) OVER so_far
                    AS email,
                last_value(CASE WHEN effect = 'create' THEN detail_data_role END IGNORE NULLS) OVER so_far AS role
            FROM membership_events
            WHERE area = 'invite' AND resource_id IS NOT NULL
            WINDOW so_far AS (PARTITION BY resource_id ORDER BY effective_at, id)
        ),
        told AS (
            SELECT
                membership_events.id AS id,
                effective_at,
                CASE WHEN left(area, 7) = 'tenant.' THEN 'tenant' ELSE 'organization' END AS scope,
                CASE WHEN area = 'user' THEN project_id END AS project_id,
                CASE area
                    WHEN 'user' THEN resource_id
                    WHEN 'tenant.user'
                        THEN coalesce(TRY(payload ->> '$.user_id'), TRY(payload ->> '$.user.id'), resource_id)
                    WHEN 'tenant.membership' THEN TRY(payload ->> '$.user_id')
                    ELSE CASE
                        WHEN actor_kind = 'user'
                            AND coalesce(lower(actor_email) = offers.email, true) THEN actor_id
                    END
                END AS user_id,
                effect,
                coalesce(
                    detail_changes_requested_role, detail_data_role, offers.role, TRY(payload ->> '$.role')
                ) AS role,
                actor,
                area = 'invite' AS invited
            FROM membership_events LEFT JOIN offers ON offers.id = membership_events.id
            WHERE effect IN ('grant', 'change', 'revoke')
        ),
        expelled AS (
            -- Who leaves the organization leaves its projects.
            SELECT id, effective_at, scope, inside.project_id AS project_id, told.user_id AS user_id, effect, role,
                actor, invited, true AS implied
            FROM told
            JOIN (SELECT DISTINCT user_id, project_id FROM told WHERE project_id IS NOT NULL) AS inside
                ON inside.user_id = told.user_id
            WHERE scope = 'organization' AND told.project_id IS NULL AND effect = 'revoke'
        ),
        followed AS (
            SELECT *, lag(effect) OVER (PARTITION BY scope, user_id, project_id ORDER BY effective_at, id) AS before
            FROM (
                SELECT *, false AS implied FROM told WHERE user_id IS NOT NULL
                UNION ALL
                SELECT * FROM expelled
            ) AS every_one
        )
        SELECT id, effective_at, scope, project_id, user_id, effect, role, actor, invited
        FROM followed
        WHERE NOT implied OR coalesce(before, 'revoke') <> 'revoke'
    """,
)

MEMBERS = (MEMBERSHIP_EVENTS, MEMBERSHIPS)
"""The relations that tell who became a member and who left, each of which names those before it."""
