"""What custom roles allowed, from when until when, replayed from the events that defined and altered them."""

from __future__ import annotations

import pyarrow as pa

from auditframe.reports._access import PRIVILEGES
from auditframe.reports._relations import Relation

_TEXTS = pa.list_(pa.string())
_INSTANT = pa.timestamp("us", tz="UTC")

ROLE_VERSIONS = Relation(
    "role_versions",
    {
        "role_id": pa.string(),
        "n": pa.int64(),
        "from_at": _INSTANT,
        "from_id": pa.string(),
        "until_at": _INSTANT,
        "until_id": pa.string(),
        "name": pa.string(),
        "defined": pa.bool_(),
        "permissions": _TEXTS,
        "basis_ids": _TEXTS,
        "gained": _TEXTS,
        "narrowed_at": _INSTANT,
        "narrowed_id": pa.string(),
        "lost": _TEXTS,
        "emptied_at": _INSTANT,
        "emptied_id": pa.string(),
    },
    "A role from one event about it to the next: its privileged permissions, those gained, and when some or all went.",
    needs=(PRIVILEGES,),
    sql="""
        WITH versions AS (
            SELECT
                resource_id AS role_id,
                id,
                effective_at,
                effect,
                permissions,
                added,
                removed,
                row_number() OVER role_so_far AS n,
                lead(effective_at) OVER role_so_far AS until_at,
                lead(id) OVER role_so_far AS until_id,
                last_value(role_name IGNORE NULLS) OVER role_so_far AS name,
                max(CASE WHEN permissions IS NOT NULL OR effect = 'delete' THEN 1 ELSE 0 END) OVER role_so_far = 1
                    AS defined,
                sum(CASE WHEN permissions IS NOT NULL OR effect = 'delete' THEN 1 ELSE 0 END) OVER role_so_far AS whole
            FROM access_facts
            WHERE about = 'role' AND resource_id IS NOT NULL AND effect IN ('create', 'change', 'delete')
            WINDOW role_so_far AS (PARTITION BY resource_id ORDER BY effective_at, id)
        ),
        steps AS (
            SELECT role_id, n, whole, listed.one AS permission, 2 * n AS step, true AS gained
            FROM versions CROSS JOIN unnest(permissions) AS listed(one)
            UNION ALL
            SELECT role_id, n, whole, listed.one, 2 * n, true
            FROM versions CROSS JOIN unnest(added) AS listed(one)
            UNION ALL
            SELECT role_id, n, whole, listed.one, 2 * n + 1, false
            FROM versions CROSS JOIN unnest(removed) AS listed(one)
        ),
        risky_permissions AS (
            SELECT DISTINCT permission
            FROM (SELECT DISTINCT permission FROM steps) AS named
            JOIN privileges ON kind = 'permission' AND regexp_matches(lower(permission), pattern)
        ),
        held AS (
            -- What the last step says of each permission, since the role was last described as a whole.
            SELECT
                versions.role_id AS role_id,
                versions.n AS n,
                steps.permission AS permission,
                max_by(steps.gained, steps.step) AS gained,
                max_by(steps.n, steps.step) AS since
            FROM versions
            JOIN steps ON steps.role_id = versions.role_id AND steps.whole = versions.whole AND steps.n <= versions.n
            JOIN risky_permissions ON risky_permissions.permission = steps.permission
            GROUP BY versions.role_id, versions.n, steps.permission
        ),
        allowed AS (
            SELECT role_id, n, list(permission ORDER BY permission) AS permissions
            FROM held WHERE gained GROUP BY role_id, n
        ),
        sources AS (
            -- The events that a role has its privileges from, in time order.
            SELECT role_id, n, list(id ORDER BY since) AS basis_ids
            FROM (
                SELECT DISTINCT held.role_id AS role_id, held.n AS n, since, versions.id AS id
                FROM held JOIN versions ON versions.role_id = held.role_id AND versions.n = since
                WHERE gained
            ) AS origins
            GROUP BY role_id, n
        ),
        roles AS (
            SELECT
                versions.role_id AS role_id,
                versions.n AS n,
                versions.id AS id,
                effective_at,
                effect,
                until_at,
                until_id,
                name,
                defined,
                added,
                coalesce(allowed.permissions, CAST([] AS VARCHAR[])) AS permissions,
                coalesce(basis_ids, CAST([] AS VARCHAR[])) AS basis_ids
            FROM versions
            LEFT JOIN allowed ON allowed.role_id = versions.role_id AND allowed.n = versions.n
            LEFT JOIN sources ON sources.role_id = versions.role_id AND sources.n = versions.n
        ),
        compared AS (
            SELECT
                roles.*,
                first_value(CASE WHEN cardinality(permissions) = 0 THEN effective_at END IGNORE NULLS) OVER later
                    AS emptied_at,
                first_value(CASE WHEN cardinality(permissions) = 0 THEN id END IGNORE NULLS) OVER later AS emptied_id,
                CASE
                    WHEN effect = 'change' AND (added IS NOT NULL OR coalesce(was_defined, false)) THEN list_filter(
                        permissions,
                        lambda one: NOT list_contains(coalesce(permissions_before, CAST([] AS VARCHAR[])), one)
                    )
                    ELSE CAST([] AS VARCHAR[])
                END AS gained
            FROM roles LEFT JOIN (
                SELECT role_id AS id_before, n + 1 AS n_after, permissions AS permissions_before, defined AS was_defined
                FROM roles
            ) AS earlier ON id_before = role_id AND n_after = n
            WINDOW later AS (PARTITION BY role_id ORDER BY n ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING)
        ),
        narrowed AS (
            SELECT compared.role_id AS role_id, compared.n AS n, min(roles.n) AS narrowed_n
            FROM compared JOIN roles ON roles.role_id = compared.role_id AND roles.n > compared.n
            WHERE cardinality(gained) > 0
                AND cardinality(
                    list_filter(gained, lambda one: NOT list_contains(roles.permissions, one))
                ) > 0
            GROUP BY compared.role_id, compared.n
        )
        SELECT
            compared.role_id AS role_id,
            compared.n AS n,
            compared.effective_at AS from_at,
            compared.id AS from_id,
            compared.until_at AS until_at,
            compared.until_id AS until_id,
            compared.name AS name,
            compared.defined AS defined,
            compared.permissions AS permissions,
            compared.basis_ids AS basis_ids,
            gained,
            later.effective_at AS narrowed_at,
            later.id AS narrowed_id,
            list_filter(gained, lambda one: NOT list_contains(later.permissions, one)) AS lost,
            emptied_at,
            emptied_id
        FROM compared
        LEFT JOIN narrowed ON narrowed.role_id = compared.role_id AND narrowed.n = compared.n
        LEFT JOIN roles AS later ON later.role_id = compared.role_id AND later.n = narrowed_n
    """,
)
