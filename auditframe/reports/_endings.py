"""When grants end: the relations of which roles are privileged by name, and of what took a grant back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from auditframe.reports._access import PRIVILEGES
from auditframe.reports._relations import Relation

if TYPE_CHECKING:
    from collections.abc import Mapping

_INSTANT = pa.timestamp("us", tz="UTC")

RISKY_NAMES = Relation(
    "risky_names",
    {"kind": pa.string(), "text": pa.string()},
    "A name (role) or an id (role_id) of a role that is privileged by it, as events write it.",
    needs=(PRIVILEGES,),
    sql="""
        SELECT DISTINCT named.kind AS kind, text
        FROM (
            SELECT DISTINCT 'role' AS kind, role AS text FROM access_facts
            UNION ALL
            SELECT DISTINCT 'role_id', role_id FROM access_facts
        ) AS named
        JOIN privileges ON privileges.kind = named.kind AND regexp_matches(lower(text), pattern)
    """,
)

_ENDED: Mapping[str, pa.DataType] = {"id": pa.string(), "ended_at": _INSTANT, "ended_id": pa.string()}

# In steps, each of which leaves its memory to the next.
_TAKEN_BACK = Relation(
    "taken_back",
    _ENDED,
    "A grant that was taken back, and the first event that did so.",
    sql="""
        SELECT id, ended_at, ended_id
        FROM (
            SELECT
                id,
                grants,
                first_value(CASE WHEN ends THEN effective_at END IGNORE NULLS) OVER later AS ended_at,
                first_value(CASE WHEN ends THEN id END IGNORE NULLS) OVER later AS ended_id
            FROM (
                SELECT
                    id,
                    effective_at,
                    CASE area WHEN 'tenant.membership' THEN 'tenant.user' ELSE area END AS area,
                    effect IN ('grant', 'create', 'change') AS grants,
                    effect IN ('delete', 'revoke') OR (
                        about IN ('user', 'service_account')
                        AND facts.role IS NOT NULL
                        AND risky.text IS NULL
                    ) AS ends,
                    CASE about
                        WHEN 'member' THEN group_id || ' ' || subject_id
                        WHEN 'assignment' THEN resource_id
                        ELSE subject_id || ' ' || coalesce(project_id, '')
                    END AS thing
                FROM access_facts AS facts
                LEFT JOIN risky_names AS risky ON risky.kind = 'role' AND risky.text = facts.role
                WHERE about IN ('user', 'service_account', 'assignment') OR (
                    about = 'member'
                    AND group_id IN (SELECT group_id FROM access_facts WHERE about = 'member' AND effect = 'grant')
                )
            ) AS marked
            WHERE thing IS NOT NULL  -- what does not tell what it is about ends nothing
            WINDOW later AS (
                PARTITION BY area, thing
                ORDER BY effective_at, id
                ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING
            )
        ) AS followed
        WHERE grants AND ended_id IS NOT NULL
    """,
)

_REMOVALS = Relation(
    "removals",
    {"id": pa.string(), "effective_at": _INSTANT, "ended": pa.string(), "is_tenant": pa.bool_()},
    "An event that removed an account, a group or a role (ended), of the tenant or the organization.",
    sql="""
        SELECT id, effective_at, subject_id AS ended, left(area, 7) = 'tenant.' AS is_tenant
        FROM access_facts
        WHERE
            -- An account or a role is deleted as a whole, a user removed as a whole only where no project is named.
            (about IN ('service_account', 'role') AND effect = 'delete')
            OR (about = 'user' AND effect = 'revoke' AND project_id IS NULL)
        UNION ALL
        SELECT id, effective_at, group_id, listed.is_tenant
        FROM access_facts
            -- Roles of the organization are given to groups of which the tenant tells.
            CROSS JOIN (VALUES (true), (false)) AS listed(is_tenant)
        WHERE about = 'group' AND effect = 'delete'
    """,
)

_REMOVED = Relation(
    "removed",
    _ENDED,
    "A grant, and the first event that removed the account, the group or the role that it names.",
    sql="""
        SELECT id, ended_at, ended_id
        FROM (
            SELECT
                id,
                grants,
                first_value(CASE WHEN NOT grants THEN effective_at END IGNORE NULLS) OVER later AS ended_at,
                first_value(CASE WHEN NOT grants THEN id END IGNORE NULLS) OVER later AS ended_id
            FROM (
                SELECT id, effective_at, ended, left(area, 7) = 'tenant.' AS is_tenant, true AS grants
                FROM (
                    SELECT id, effective_at, area, about, effect, coalesce(subject_id, principal_id) AS ended
                    FROM access_facts
                    UNION ALL
                    SELECT
                        id, effective_at, area, about, effect,
                        CASE about WHEN 'member' THEN group_id ELSE role_id END
                    FROM access_facts
                    WHERE about IN ('member', 'assignment')
                ) AS named
                WHERE about IN ('user', 'service_account', 'assignment', 'member')
                    AND effect IN ('grant', 'create', 'change')
                    AND ended IN (SELECT ended FROM removals)
                UNION ALL
                SELECT id, effective_at, ended, is_tenant, false FROM removals WHERE ended IS NOT NULL
            ) AS known
            WINDOW later AS (
                PARTITION BY is_tenant, ended
                ORDER BY effective_at, id
                ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING
            )
        ) AS followed
        WHERE grants AND ended_id IS NOT NULL
    """,
)

_ENDINGS = Relation(
    "endings",
    _ENDED,
    "A grant that ended, with the first event that took it back, or removed who held it, the group or the role.",
    sql="""
        SELECT id, min(ended_at) AS ended_at, min_by(ended_id, (ended_at, ended_id)) AS ended_id
        FROM (SELECT * FROM taken_back UNION ALL SELECT * FROM removed) AS ends
        GROUP BY id
    """,
)

ENDING = (_TAKEN_BACK, _REMOVALS, _REMOVED, _ENDINGS)
"""The relations that tell when grants ended, each of which names those before it."""
