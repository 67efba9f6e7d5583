"""What was done about access: the one look at the events that the relations of grants share."""

from __future__ import annotations

import pyarrow as pa

from auditframe.reports._relations import Relation

_TEXTS = pa.list_(pa.string())
_INSTANT = pa.timestamp("us", tz="UTC")

ACCESS_FACTS = Relation(
    "access_facts",
    {
        "id": pa.string(),
        "effective_at": _INSTANT,
        "area": pa.string(),
        "effect": pa.string(),
        "about": pa.string(),
        "actor_kind": pa.string(),
        "actor_id": pa.string(),
        "actor_email": pa.string(),
        "actor_api_key_id": pa.string(),
        "resource_id": pa.string(),
        "project_id": pa.string(),
        "applies_to": pa.string(),
        "principal_id": pa.string(),
        "principal_type": pa.string(),
        "subject_id": pa.string(),
        "group_id": pa.string(),
        "group_name": pa.string(),
        "email": pa.string(),
        "role": pa.string(),
        "role_id": pa.string(),
        "role_name": pa.string(),
        "permissions": _TEXTS,
        "added": _TEXTS,
        "removed": _TEXTS,
    },
    "An event about a user, service account, invite, role, assignment of one, group or member of one, or about a key.",
    sql="""
        WITH areas(area, about) AS (
            -- Joined, for a list after IN is compared only when all the columns are read.
            VALUES
                ('user', 'user'), ('tenant.user', 'user'), ('tenant.membership', 'user'),
                ('service_account', 'service_account'), ('tenant.service_account', 'service_account'),
                ('invite', 'invite'), ('tenant.api_organization_invite', 'invite'),
                ('tenant.chatgpt_workspace_invite', 'invite'),
                ('role', 'role'), ('tenant.custom_role', 'role'),
                ('role.assignment', 'assignment'), ('tenant.role_assignment', 'assignment'),
                ('tenant.resource_role_assignment', 'assignment'),
                ('group', 'group'), ('tenant.group', 'group'), ('tenant.group.member', 'member'),
                ('api_key', 'key')
        ),
        picked AS (
            SELECT
                events.*,
                effect,
                CASE WHEN events.area = 'tenant.user' AND effect = 'create' THEN 'invite' ELSE about END AS about,
                CASE
                    WHEN left(events.area, 7) = 'tenant.'
                        THEN {payload}
                END AS payload
            FROM events
            JOIN areas ON areas.area = events.area
            JOIN catalogue ON catalogue.type = events.type
            WHERE effect IN ('create', 'change', 'delete', 'grant', 'revoke') AND (about <> 'key' OR effect = 'create')
        ),
        told AS (
            SELECT
                *,
                TRY(payload ->> '$.user_id') AS told_user,
                TRY(payload ->> '$.group_id') AS told_group
            FROM picked
        ),
        receivers AS (
            -- Of any type: which of them are groups, the joinings tell.
            SELECT DISTINCT coalesce(
                detail_principal_id, TRY(payload ->> '$.user_id'), TRY(payload ->> '$.group_id')
            ) AS receiver_id
            FROM (
                SELECT
                    detail_principal_id,
                    CASE
                        WHEN detail_principal_id IS NULL AND left(events.area, 7) = 'tenant.'
                            THEN {payload}
                    END AS payload
                FROM events JOIN areas ON areas.area = events.area AND about = 'assignment'
            ) AS assigned
        ),
        facts AS (
            SELECT
                *,
                -- What takes something back from somebody is only needed with what it takes back, and when.
                about NOT IN ('assignment', 'member') OR effect <> 'revoke' AS gives,
                CASE
                    WHEN about = 'member' THEN coalesce(told_user, TRY(payload ->> '$.member_id'), detail_principal_id)
                    WHEN area = 'tenant.membership' THEN told_user
                    WHEN about <> 'assignment' THEN coalesce(told_user, resource_id)
                END AS subject_id,
                CASE WHEN about IN ('member', 'group') THEN coalesce(told_group, resource_id) END AS group_id
            FROM told
        )
        SELECT
            id,
            effective_at,
            area,
            effect,
            about,
            actor_kind,
            CASE WHEN gives THEN actor_id END AS actor_id,
            CASE WHEN gives THEN actor_email END AS actor_email,
            CASE WHEN gives THEN actor_api_key_id END AS actor_api_key_id,
            resource_id,
            CASE WHEN gives THEN project_id END AS project_id,
            CASE WHEN gives THEN coalesce(detail_resource_id, project_id) END AS applies_to,
            CASE WHEN gives AND about = 'assignment' THEN coalesce(detail_principal_id, told_user, told_group) END
                AS principal_id,
            CASE
                WHEN gives AND about = 'assignment' THEN coalesce(
                    lower(detail_principal_type), CASE WHEN told_group IS NOT NULL THEN 'group' ELSE 'user' END
                )
            END AS principal_type,
            subject_id,
            group_id,
            CASE
                WHEN about = 'group' THEN coalesce(
                    detail_changes_requested_group_name, detail_data_group_name,
                    TRY(payload ->> '$.name')
                )
            END AS group_name,
            CASE
                WHEN about = 'invite'
                    THEN coalesce(detail_data_email, TRY(payload ->> '$.email'))
            END AS email,
            coalesce(
                detail_changes_requested_role, detail_data_role,
                TRY(payload ->> '$.role'), TRY(payload ->> '$.role_name')
            ) AS role,
            CASE
                WHEN gives AND about = 'assignment'
                    THEN {assigned_role_id}
            END AS role_id,
            CASE
                WHEN about = 'role' THEN coalesce(
                    detail_changes_requested_role_name, detail_role_name,
                    TRY(payload ->> '$.role_name'), TRY(payload ->> '$.name')
                )
            END AS role_name,
            detail_permissions AS permissions,
            detail_changes_requested_permissions_added AS added,
            detail_changes_requested_permissions_removed AS removed
        FROM facts
        WHERE about <> 'member'
            OR effect <> 'grant'
            -- Of the many who are put into groups, those that can matter: by oneself, or into a group with a role.
            OR subject_id = actor_id
            OR group_id IN (SELECT receiver_id FROM receivers)
    """,
)
