"""The relation of groups: the events that tell who is in them and which roles they give."""

from __future__ import annotations

import pyarrow as pa

from auditframe.reports._relations import Relation

GROUP_FACTS = Relation(
    "group_facts",
    {
        "id": pa.string(),
        "effective_at": pa.timestamp("us", tz="UTC"),
        "area": pa.string(),
        "effect": pa.string(),
        "resource_id": pa.string(),
        "role_id": pa.string(),
        "past": pa.bool_(),
        "group_id": pa.string(),
        "member_id": pa.string(),
        "assignment_id": pa.string(),
        "name": pa.string(),
    },
    "An event about a group, a member of one, a role given to one, or the end of a role; past, if it lies before the "
    "moment asked for.",
    sql="""
        WITH moment AS (
            SELECT coalesce(CAST($as_of AS TIMESTAMPTZ), (SELECT max(effective_at) FROM events)) AS at_last
        ),
        picked AS (
            SELECT
                events.id AS id,
                effective_at,
                area,
                effect,
                resource_id,
                detail_principal_id,
                detail_principal_type,
                coalesce(detail_changes_requested_group_name, detail_data_group_name) AS group_name,
                {assigned_role_id} AS role_id,
                CASE
                    WHEN left(area, 7) = 'tenant.'
                        THEN {payload}
                END AS payload
            FROM events JOIN catalogue ON catalogue.type = events.type
            WHERE effect IN ('create', 'change', 'delete', 'grant', 'revoke')
                AND (
                    area IN ('group', 'tenant.group', 'tenant.group.member')
                    OR area IN ('tenant.role_assignment', 'tenant.resource_role_assignment')
                    OR (area = 'role.assignment' AND lower(detail_principal_type) = 'group')
                    OR (area IN ('role', 'tenant.custom_role') AND effect = 'delete')
                )
        )
        SELECT
            id,
            effective_at,
            area,
            effect,
            resource_id,
            role_id,
            effective_at <= at_last AS past,
            CASE
                WHEN area LIKE '%assignment' THEN coalesce(
                    CASE WHEN lower(detail_principal_type) = 'group' THEN detail_principal_id END,
                    TRY(payload ->> '$.group_id')
                )
                WHEN area NOT IN ('role', 'tenant.custom_role')
                    THEN coalesce(TRY(payload ->> '$.group_id'), resource_id)
            END AS group_id,
            CASE
                WHEN area = 'tenant.group.member'
                    THEN coalesce(TRY(payload ->> '$.user_id'), TRY(payload ->> '$.member_id'), detail_principal_id)
            END AS member_id,
            CASE WHEN area LIKE '%assignment' THEN coalesce(resource_id, role_id) END AS assignment_id,
            coalesce(group_name, CASE WHEN area = 'tenant.group' THEN TRY(payload ->> '$.name') END) AS name
        FROM picked CROSS JOIN moment
    """,
)
