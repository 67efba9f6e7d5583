"""The relation of privileged grants: who received what, by which path, and until when."""

from __future__ import annotations

import pyarrow as pa

from auditframe.reports._access import PRIVILEGES
from auditframe.reports._columns import ReportColumn
from auditframe.reports._relations import Relation

_TEXTS = pa.list_(pa.string())
_INSTANT = pa.timestamp("us", tz="UTC")

HOW = ReportColumn(
    "how",
    "text",
    "role: a built-in role; assignment: a role assigned; member: put into a group; widening: a role gained "
    "permissions; invite: an invite that offers the role.",
)
PRINCIPAL = ReportColumn("principal_id", "text", "Who or what received it; null if there are several or none is named.")
PRINCIPAL_TYPE = ReportColumn(
    "principal_type", "text", "user, service_account, group, invited or role; null if there are several."
)
ROLE = ReportColumn("role", "text", "The role's name, else its id; null if the events do not tell.")
PERMISSIONS = ReportColumn("permissions", "texts", "The privileged permissions that it brings; empty if none is named.")
KNOWN = ReportColumn("known", "flag", "Whether the events tell that it is privileged.")

GRANTS = Relation(
    "grants",
    {
        "id": pa.string(),
        "effective_at": _INSTANT,
        "actor": pa.string(),
        "actor_id": pa.string(),
        "actor_email": pa.string(),
        "how": pa.string(),
        "principal_id": pa.string(),
        "principal_type": pa.string(),
        "role": pa.string(),
        "permissions": _TEXTS,
        "known": pa.bool_(),
        "group_id": pa.string(),
        "group_name": pa.string(),
        "applies_to": pa.string(),
        "resource_id": pa.string(),
        "holders": _TEXTS,
        "basis_ids": _TEXTS,
        "ended_at": _INSTANT,
        "ended_id": pa.string(),
    },
    "An event that gave somebody a privileged role (known), or a role of which the events do not tell (not known).",
    needs=(PRIVILEGES,),
    sql="""
        WITH picked AS (
            SELECT
                events.id AS id,
                effective_at,
                area,
                effect,
                project_id,
                resource_id,
                actor_email,
                actor_id,
                coalesce(actor_email, actor_id, actor_api_key_id) AS actor,
                coalesce(detail_changes_requested_role, detail_data_role) AS named_role,
                detail_data_email,
                detail_principal_id,
                lower(detail_principal_type) AS principal_type,
                detail_role_id,
                coalesce(detail_resource_id, project_id) AS applies_to,
                detail_permissions AS permissions,
                detail_changes_requested_permissions_added AS added,
                detail_changes_requested_permissions_removed AS removed,
                coalesce(detail_changes_requested_role_name, detail_role_name) AS role_name,
                coalesce(detail_changes_requested_group_name, detail_data_group_name) AS group_name,
                CASE WHEN left(area, 7) = 'tenant.' THEN detail END AS payload
            FROM events JOIN catalogue ON catalogue.type = events.type
            WHERE area IN (
                'user', 'service_account', 'invite', 'role', 'role.assignment', 'group', 'tenant.user',
                'tenant.service_account', 'tenant.custom_role', 'tenant.group', 'tenant.group.member',
                'tenant.role_assignment', 'tenant.resource_role_assignment', 'tenant.api_organization_invite'
            )
                AND effect IN ('create', 'change', 'delete', 'grant', 'revoke')
        ),
        facts AS (
            SELECT
                id, effective_at, area, effect, project_id, resource_id, actor_email, actor_id, actor, applies_to,
                permissions, added, removed,
                CASE
                    WHEN area IN ('user', 'tenant.user') AND effect <> 'create' THEN 'user'
                    WHEN area IN ('service_account', 'tenant.service_account') THEN 'service_account'
                    WHEN area IN ('invite', 'tenant.user', 'tenant.api_organization_invite') THEN 'invite'
                    WHEN area IN ('role', 'tenant.custom_role') THEN 'role'
                    WHEN area IN ('group', 'tenant.group') THEN 'group'
                    WHEN area = 'tenant.group.member' THEN 'member'
                    ELSE 'assignment'
                END AS about,
                coalesce(
                    principal_type, CASE WHEN TRY(payload ->> '$.group_id') IS NOT NULL THEN 'group' ELSE 'user' END
                )
                    AS principal_type,
                coalesce(detail_principal_id, TRY(payload ->> '$.user_id'), TRY(payload ->> '$.group_id'))
                    AS principal_id,
                CASE
                    WHEN area = 'tenant.group.member'
                        THEN coalesce(TRY(payload ->> '$.user_id'), TRY(payload ->> '$.member_id'), detail_principal_id)
                    ELSE coalesce(TRY(payload ->> '$.user_id'), resource_id)
                END AS subject_id,
                coalesce(TRY(payload ->> '$.group_id'), resource_id) AS group_id,
                coalesce(detail_data_email, TRY(payload ->> '$.email')) AS email,
                coalesce(named_role, TRY(payload ->> '$.role'), TRY(payload ->> '$.role_name')) AS role,
                coalesce(
                    detail_role_id,
                    CASE
                        -- What stands between a known beginning and the known principal; never cut at underscores.
                        WHEN left(resource_id, 16) = 'role_assignment_'
                            AND right(resource_id, length(detail_principal_id) + 1) = '_' || detail_principal_id
                            THEN substring(resource_id, 17, length(resource_id) - 17 - length(detail_principal_id))
                    END
                ) AS role_id,
                coalesce(role_name, TRY(payload ->> '$.role_name'), TRY(payload ->> '$.name')) AS role_name,
                coalesce(group_name, TRY(payload ->> '$.name')) AS group_name
            FROM picked
            -- Of the many who are put into groups, those that can matter: by oneself, or into a group with a role.
            WHERE area <> 'tenant.group.member'
                OR effect <> 'grant'
                OR TRY(payload ->> '$.user_id') = actor_id
                OR TRY(payload ->> '$.member_id') = actor_id
                OR detail_principal_id = actor_id
                OR coalesce(TRY(payload ->> '$.group_id'), resource_id) IN (
                    SELECT coalesce(detail_principal_id, TRY(detail ->> '$.group_id'))
                    FROM events
                    WHERE area IN ('role.assignment', 'tenant.role_assignment', 'tenant.resource_role_assignment')
                        AND (lower(detail_principal_type) = 'group' OR TRY(detail ->> '$.group_id') IS NOT NULL)
                )
        ),
        risky_roles AS (
            SELECT DISTINCT role
            FROM (SELECT DISTINCT role FROM facts) AS named
            JOIN privileges ON kind = 'role' AND regexp_matches(lower(role), pattern)
        ),
        risky_role_ids AS (
            SELECT DISTINCT role_id
            FROM (SELECT DISTINCT role_id FROM facts) AS named
            JOIN privileges ON kind = 'role_id' AND regexp_matches(lower(role_id), pattern)
        ),
        versions AS (
            SELECT
                resource_id AS role_id,
                id,
                effective_at,
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
            FROM facts
            WHERE about = 'role' AND resource_id IS NOT NULL AND effect IN ('create', 'change', 'delete')
            WINDOW role_so_far AS (PARTITION BY resource_id ORDER BY effective_at, id)
        ),
        steps AS (
            SELECT role_id, n, whole, id, listed.one AS permission, 2 * n AS step, true AS gained
            FROM versions CROSS JOIN unnest(permissions) AS listed(one)
            UNION ALL
            SELECT role_id, n, whole, id, listed.one, 2 * n, true
            FROM versions CROSS JOIN unnest(added) AS listed(one)
            UNION ALL
            SELECT role_id, n, whole, id, listed.one, 2 * n + 1, false
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
        roles AS (
            SELECT
                versions.role_id AS role_id,
                versions.n AS n,
                min(versions.id) AS from_id,
                min(effective_at) AS from_at,
                min(until_id) AS until_id,
                min(until_at) AS until_at,
                min(name) AS name,
                bool_or(defined) AS defined,
                list(permission ORDER BY permission) FILTER (WHERE gained) AS permissions
            FROM versions
            LEFT JOIN held ON held.role_id = versions.role_id AND held.n = versions.n
            GROUP BY versions.role_id, versions.n
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
        timeline AS (
            -- Each grant with the first event that takes it back.
            SELECT
                *,
                first_value(CASE WHEN ends THEN effective_at END IGNORE NULLS) OVER later AS ended_at,
                first_value(CASE WHEN ends THEN id END IGNORE NULLS) OVER later AS ended_id
            FROM (
                SELECT
                    id,
                    effective_at,
                    area,
                    about,
                    effect,
                    actor_email,
                    actor_id,
                    actor,
                    applies_to,
                    resource_id,
                    CASE WHEN about = 'assignment' THEN principal_type END AS principal_type,
                    CASE WHEN about = 'assignment' THEN principal_id END AS principal_id,
                    CASE WHEN about <> 'assignment' THEN subject_id END AS subject_id,
                    CASE WHEN about = 'member' THEN group_id END AS group_id,
                    facts.role AS role,
                    role_id,
                    project_id,
                    risky_roles.role IS NOT NULL AS risky,
                    effect IN ('delete', 'revoke') OR (
                        about IN ('user', 'service_account')
                        AND facts.role IS NOT NULL
                        AND risky_roles.role IS NULL
                    ) AS ends,
                    CASE about
                        WHEN 'member' THEN group_id || ' ' || subject_id
                        WHEN 'assignment' THEN resource_id
                        ELSE subject_id || ' ' || coalesce(project_id, '')
                    END AS thing
                FROM facts LEFT JOIN risky_roles ON risky_roles.role = facts.role
                WHERE about IN ('user', 'service_account', 'member', 'assignment')
            ) AS marked
            WINDOW later AS (
                PARTITION BY area, thing
                ORDER BY effective_at, id
                ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING
            )
        ),
        group_names AS (
            SELECT group_id, group_name
            FROM (
                SELECT
                    group_id,
                    group_name,
                    row_number() OVER (PARTITION BY group_id ORDER BY effective_at DESC, id DESC) AS nth
                FROM facts
                WHERE about = 'group' AND group_name IS NOT NULL
            ) AS named
            WHERE nth = 1
        ),
        assigned AS (
            SELECT
                timeline.*,
                roles.name AS name,
                coalesce(roles.permissions, CAST([] AS VARCHAR[])) AS risky_permissions,
                coalesce(sources.basis_ids, CAST([] AS VARCHAR[])) AS basis_ids,
                risky OR risky_role_ids.role_id IS NOT NULL OR coalesce(cardinality(roles.permissions) > 0, false)
                    AS known,
                coalesce(defined, false) AS defined
            FROM timeline
            LEFT JOIN roles ON roles.role_id = timeline.role_id
                AND (from_at, from_id) <= (effective_at, id)
                AND (until_at IS NULL OR (effective_at, id) < (until_at, until_id))
            LEFT JOIN sources ON sources.role_id = roles.role_id AND sources.n = roles.n
            LEFT JOIN risky_role_ids ON risky_role_ids.role_id = timeline.role_id
            WHERE about = 'assignment' AND effect = 'grant'
        ),
        members AS (
            SELECT assigned.id AS grant_id, array_sort(array_agg(DISTINCT joined.subject_id)) AS holders
            FROM assigned JOIN timeline AS joined ON joined.group_id = assigned.principal_id
            WHERE assigned.principal_type = 'group'
                AND joined.about = 'member'
                AND joined.effect = 'grant'
                AND (joined.effective_at, joined.id) < (assigned.effective_at, assigned.id)
                AND (
                    joined.ended_at IS NULL
                    OR (assigned.effective_at, assigned.id) < (joined.ended_at, joined.ended_id)
                )
            GROUP BY assigned.id
        ),
        joins AS (
            SELECT
                joined.id AS id,
                min(coalesce(standing.name, standing.role, standing.role_id)) AS role,
                list(standing.id ORDER BY standing.effective_at, standing.id) AS grant_ids
            FROM timeline AS joined JOIN assigned AS standing ON standing.principal_id = joined.group_id
            WHERE joined.about = 'member'
                AND joined.effect = 'grant'
                AND standing.known
                AND (standing.effective_at, standing.id) < (joined.effective_at, joined.id)
                AND (
                    standing.ended_at IS NULL
                    OR (joined.effective_at, joined.id) < (standing.ended_at, standing.ended_id)
                )
            GROUP BY joined.id
        ),
        widened AS (
            SELECT
                roles.role_id AS role_id,
                roles.n AS n,
                from_id AS id,
                name,
                coalesce(was_defined, false) AS was_defined,
                list_filter(
                    coalesce(roles.permissions, CAST([] AS VARCHAR[])),
                    lambda one: NOT list_contains(coalesce(earlier.permissions, CAST([] AS VARCHAR[])), one)
                ) AS gained
            FROM roles LEFT JOIN (SELECT role_id, n + 1 AS n, permissions, defined AS was_defined FROM roles) AS earlier
                ON earlier.role_id = roles.role_id AND earlier.n = roles.n
        ),
        narrowed AS (
            SELECT
                widened.id AS id,
                min(roles.n) AS n
            FROM widened JOIN roles ON roles.role_id = widened.role_id AND roles.n > widened.n
            WHERE cardinality(
                list_filter(
                    widened.gained,
                    lambda one: NOT list_contains(coalesce(roles.permissions, CAST([] AS VARCHAR[])), one)
                )
            ) > 0
            GROUP BY widened.id
        ),
        standing AS (
            SELECT
                facts.id AS id,
                facts.effective_at AS effective_at,
                assigned.id AS grant_id,
                assigned.principal_id AS principal_id,
                assigned.principal_type AS principal_type,
                assigned.effective_at AS granted_at
            FROM facts JOIN assigned ON assigned.role_id = facts.resource_id
            WHERE facts.about = 'role'
                AND facts.effect = 'change'
                AND (assigned.effective_at, assigned.id) < (facts.effective_at, facts.id)
                AND (
                    assigned.ended_at IS NULL
                    OR (facts.effective_at, facts.id) < (assigned.ended_at, assigned.ended_id)
                )
        ),
        holding AS (
            SELECT
                standing.id AS id,
                array_sort(
                    array_agg(DISTINCT coalesce(inside.subject_id, standing.principal_id))
                        FILTER (WHERE inside.subject_id IS NOT NULL OR standing.principal_type <> 'group')
                ) AS holders
            FROM standing
            LEFT JOIN timeline AS inside ON standing.principal_type = 'group'
                AND inside.about = 'member'
                AND inside.effect = 'grant'
                AND inside.group_id = standing.principal_id
                AND (inside.effective_at, inside.id) < (standing.effective_at, standing.id)
                AND (
                    inside.ended_at IS NULL
                    OR (standing.effective_at, standing.id) < (inside.ended_at, inside.ended_id)
                )
            GROUP BY standing.id
        ),
        held_by AS (
            SELECT id, list(grant_id ORDER BY granted_at, grant_id) AS grant_ids FROM standing GROUP BY id
        ),
        found AS (
            SELECT
                id, effective_at, actor, actor_id, actor_email, 'role' AS how, subject_id AS principal_id,
                about AS principal_type, role, CAST([] AS VARCHAR[]) AS permissions, true AS known,
                CAST(NULL AS VARCHAR) AS group_id, project_id AS applies_to, resource_id, [subject_id] AS holders,
                CAST([] AS VARCHAR[]) AS basis_ids, ended_at, ended_id
            FROM timeline
            WHERE about IN ('user', 'service_account') AND effect IN ('grant', 'create', 'change') AND risky
            UNION ALL
            SELECT
                id, effective_at, actor, actor_id, actor_email, 'invite', email, 'invited', facts.role,
                CAST([] AS VARCHAR[]), true, NULL, NULL, resource_id, CAST([] AS VARCHAR[]),
                CAST([] AS VARCHAR[]), NULL, NULL
            FROM facts JOIN risky_roles ON risky_roles.role = facts.role
            WHERE about = 'invite' AND effect = 'create'
            UNION ALL
            SELECT
                id, effective_at, actor, actor_id, actor_email, 'assignment', principal_id, principal_type,
                coalesce(name, role, role_id), risky_permissions, known,
                CASE WHEN principal_type = 'group' THEN principal_id END, applies_to, resource_id,
                CASE
                    WHEN principal_type = 'group' THEN coalesce(members.holders, CAST([] AS VARCHAR[]))
                    ELSE [principal_id]
                END,
                basis_ids, ended_at, ended_id
            FROM assigned LEFT JOIN members ON members.grant_id = assigned.id
            WHERE known OR NOT defined
            UNION ALL
            SELECT
                timeline.id, effective_at, actor, actor_id, actor_email, 'member', subject_id, 'user', joins.role,
                CAST([] AS VARCHAR[]), joins.id IS NOT NULL, group_id, NULL, resource_id, [subject_id],
                coalesce(grant_ids, CAST([] AS VARCHAR[])), ended_at, ended_id
            FROM timeline LEFT JOIN joins ON joins.id = timeline.id
            WHERE about = 'member' AND effect = 'grant' AND (joins.id IS NOT NULL OR subject_id = actor_id)
            UNION ALL
            SELECT
                facts.id, facts.effective_at, actor, actor_id, actor_email, 'widening', resource_id, 'role',
                coalesce(widened.name, resource_id), gained, true, NULL, facts.applies_to, resource_id,
                coalesce(holding.holders, CAST([] AS VARCHAR[])), coalesce(grant_ids, CAST([] AS VARCHAR[])),
                roles.from_at, roles.from_id
            FROM facts
            JOIN widened ON widened.id = facts.id
            LEFT JOIN holding ON holding.id = facts.id
            LEFT JOIN held_by ON held_by.id = facts.id
            LEFT JOIN narrowed ON narrowed.id = facts.id
            LEFT JOIN roles ON roles.role_id = facts.resource_id AND roles.n = narrowed.n
            WHERE effect = 'change' AND cardinality(gained) > 0 AND (added IS NOT NULL OR was_defined)
        )
        SELECT
            id, effective_at, actor, actor_id, actor_email, how, principal_id, principal_type, role, permissions, known,
            found.group_id AS group_id, group_name, applies_to, resource_id, holders, basis_ids, ended_at, ended_id
        FROM found LEFT JOIN group_names ON group_names.group_id = found.group_id
    """,
)
