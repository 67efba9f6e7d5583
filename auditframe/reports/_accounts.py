"""What stands behind the reports on those who left: one look at the events, of which several relations are made."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa

from auditframe.reports._access import MEMBERSHIP_EVENTS, MEMBERSHIPS
from auditframe.reports._keys import KEY_EVENTS, LIVING_KEYS
from auditframe.reports._relations import Relation

_COLUMNS = {
    **MEMBERSHIP_EVENTS.columns,
    "about": pa.string(),
    "scopes": KEY_EVENTS.columns["scopes"],
    "principal_id": pa.string(),
    "role_id": pa.string(),
}

# Kinds of events are looked up first, so that rows are found by their type alone. Events about keys and projects count
# even where the catalogue does not know what they do.

_OF_KEYS_AND_PEOPLE = Relation(
    "account_events",
    _COLUMNS,
    "An event about an API key, a project, a user, an invite or a service account.",
    sql="""
        WITH areas(area) AS (
            VALUES
                ('api_key'), ('tenant.admin_api_key'), ('project'), ('user'), ('invite'), ('tenant.user'),
                ('tenant.membership'), ('service_account'), ('tenant.service_account')
        ),
        kinds AS (
            SELECT DISTINCT events.type AS type, events.area AS area, coalesce(effect, 'other') AS effect
            FROM events
            JOIN areas ON areas.area = events.area
            LEFT JOIN catalogue ON catalogue.type = events.type
            WHERE events.area IN ('api_key', 'tenant.admin_api_key', 'project')
                OR effect IN ('create', 'change', 'grant', 'revoke', 'delete')
        )
        SELECT
            events.id AS id,
            effective_at,
            kinds.area AS area,
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
                WHEN left(kinds.area, 7) = 'tenant.'
                    THEN {payload}
            END AS payload,
            coalesce(detail_changes_requested_scopes, detail_data_scopes) AS scopes
        FROM events JOIN kinds ON kinds.type = events.type
    """,
)

_OF_ALL_THEY_HAVE = Relation(
    "account_events",
    _COLUMNS,
    "An event about an API key, a project, a user, an invite, a service account or a role's assignment; of "
    "assignments and of groups, what was given to users who were removed, and what was taken back from anybody; of "
    "roles and of groups themselves, that they were deleted.",
    sql="""
        WITH areas(area, about) AS (
            VALUES
                ('api_key', 'key'), ('tenant.admin_api_key', 'key'), ('project', 'key'),
                ('user', 'account'), ('tenant.user', 'account'), ('tenant.membership', 'account'),
                ('service_account', 'account'), ('tenant.service_account', 'account'), ('invite', 'account'),
                ('role.assignment', 'assignment'), ('tenant.role_assignment', 'assignment'),
                ('tenant.resource_role_assignment', 'assignment'), ('tenant.group.member', 'member'),
                ('role', 'giver'), ('tenant.custom_role', 'giver'), ('group', 'giver'), ('tenant.group', 'giver')
        ),
        kinds AS (
            SELECT DISTINCT events.type AS type, events.area AS area, about, coalesce(effect, 'other') AS effect
            FROM events
            JOIN areas ON areas.area = events.area
            LEFT JOIN catalogue ON catalogue.type = events.type
            WHERE about = 'key' OR effect = 'delete'
                OR (about <> 'giver' AND effect IN ('create', 'change', 'grant', 'revoke'))
        ),
        removed AS (
            SELECT DISTINCT resource_id AS user_id
            FROM events JOIN catalogue ON catalogue.type = events.type
            WHERE area = 'user' AND effect = 'revoke'
        ),
        looked AS (
            SELECT
                events.id AS id,
                effective_at,
                kinds.area AS area,
                about,
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
                    WHEN left(kinds.area, 7) = 'tenant.'
                        THEN {payload}
                END AS payload,
                coalesce(detail_changes_requested_scopes, detail_data_scopes) AS scopes,
                detail_principal_id,
                CASE
                    WHEN about = 'assignment'
                        THEN {assigned_role_id}
                END AS role_id
            FROM events JOIN kinds ON kinds.type = events.type
        ),
        told AS (
            SELECT
                *,
                CASE about
                    WHEN 'assignment' THEN coalesce(detail_principal_id, TRY(payload ->> '$.user_id'))
                    WHEN 'member'
                        THEN coalesce(TRY(payload ->> '$.user_id'), TRY(payload ->> '$.member_id'), detail_principal_id)
                END AS principal_id
            FROM looked
        )
        SELECT * FROM told
        WHERE about NOT IN ('assignment', 'member')
            OR (about = 'assignment' AND effect IN ('delete', 'revoke'))
            OR principal_id IN (SELECT user_id FROM removed)
    """,
)

_KEY_EVENTS = replace(
    KEY_EVENTS,
    sql="""
        SELECT resource_id, id, effective_at, area, project_id, effect, actor, actor_id, actor_email, scopes
        FROM account_events
        WHERE area IN ('api_key', 'tenant.admin_api_key', 'project')
            AND resource_id IS NOT NULL
            AND effective_at <= coalesce(CAST($as_of AS TIMESTAMPTZ), CAST('9999-12-31' AS TIMESTAMPTZ))
    """,
)

_MEMBERSHIP_EVENTS = replace(
    MEMBERSHIP_EVENTS,
    sql="""
        SELECT
            id, effective_at, area, effect, project_id, resource_id, actor_kind, actor_id, actor_email, actor,
            detail_data_email, detail_data_role, detail_changes_requested_role, payload
        FROM account_events
        WHERE area IN ('user', 'invite', 'tenant.user', 'tenant.membership')
            AND effect IN ('create', 'grant', 'change', 'revoke')
    """,
)

KEYS_AND_PEOPLE = (_OF_KEYS_AND_PEOPLE, _KEY_EVENTS, LIVING_KEYS, _MEMBERSHIP_EVENTS, MEMBERSHIPS)
"""The relations that tell which keys live, who was removed and who came back, each of which names those before it."""

ALL_THEY_HAVE = (_OF_ALL_THEY_HAVE, _KEY_EVENTS, LIVING_KEYS, _MEMBERSHIP_EVENTS, MEMBERSHIPS)
"""The relations that tell which keys live, who was removed and what was theirs, each of which names those before it."""
