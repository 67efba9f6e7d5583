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

PEOPLE = Relation(
    "people",
    {"user_id": pa.string(), "email": pa.string(), "first_at": _INSTANT, "first_id": pa.string()},
    "A user that acted: the e-mail address last seen, and the first event that is more than a failure to sign in.",
    sql="""
        WITH seen AS (
            SELECT
                actor_id AS user_id,
                actor_email AS email,
                max(effective_at) AS last_at,
                min(CASE WHEN coalesce(effect, 'other') <> 'login_failed' THEN effective_at END) AS first_at
            FROM events LEFT JOIN catalogue ON catalogue.type = events.type
            WHERE actor_kind = 'user' AND actor_id IS NOT NULL
            GROUP BY actor_id, actor_email
        ),
        ranked AS (
            SELECT
                user_id,
                email,
                min(first_at) OVER (PARTITION BY user_id) AS first_at,
                row_number() OVER (PARTITION BY user_id ORDER BY email IS NULL, last_at DESC, email) AS nth
            FROM seen
        ),
        firsts AS (
            SELECT ranked.user_id AS user_id, min(events.id) AS first_id
            FROM events
            JOIN ranked ON ranked.user_id = actor_id AND ranked.first_at = effective_at AND nth = 1
            LEFT JOIN catalogue ON catalogue.type = events.type
            WHERE actor_kind = 'user' AND coalesce(effect, 'other') <> 'login_failed'
            GROUP BY ranked.user_id
        )
        SELECT ranked.user_id AS user_id, email, first_at, first_id
        FROM ranked LEFT JOIN firsts ON firsts.user_id = ranked.user_id
        WHERE nth = 1
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
    "An event by which a user became a member (grant), got another role (change) or left (revoke).",
    sql="""
        WITH invites AS (
            SELECT
                resource_id AS invite_id,
                min(lower(detail_data_email)) AS email,
                min(detail_data_role) AS role
            FROM events JOIN catalogue ON catalogue.type = events.type
            WHERE area = 'invite' AND effect = 'create' AND resource_id IS NOT NULL
            GROUP BY resource_id
        ),
        told AS (
            SELECT
                events.id AS id,
                effective_at,
                CASE WHEN left(area, 7) = 'tenant.' THEN 'tenant' ELSE 'organization' END AS scope,
                CASE WHEN area = 'user' THEN project_id END AS project_id,
                CASE area
                    WHEN 'user' THEN resource_id
                    WHEN 'tenant.user' THEN coalesce(TRY(detail ->> '$.user_id'), resource_id)
                    WHEN 'tenant.membership' THEN TRY(detail ->> '$.user_id')
                    ELSE CASE
                        WHEN actor_kind = 'user'
                            AND coalesce(lower(actor_email) = invites.email, true) THEN actor_id
                    END
                END AS user_id,
                effect,
                coalesce(
                    detail_changes_requested_role,
                    detail_data_role,
                    invites.role,
                    CASE WHEN left(area, 7) = 'tenant.' THEN TRY(detail ->> '$.role') END
                ) AS role,
                coalesce(actor_email, actor_id, actor_api_key_id) AS actor,
                area = 'invite' AS invited
            FROM events
            JOIN catalogue ON catalogue.type = events.type
            LEFT JOIN invites ON area = 'invite' AND invites.invite_id = resource_id
            WHERE area IN ('user', 'invite', 'tenant.user', 'tenant.membership')
                AND effect IN ('grant', 'change', 'revoke')
        )
        SELECT id, effective_at, scope, project_id, user_id, effect, role, actor, invited
        FROM told
        WHERE user_id IS NOT NULL
    """,
)
