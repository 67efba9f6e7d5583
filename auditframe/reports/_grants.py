"""The relation of privileged grants: who received what, by which path, and until when."""

from __future__ import annotations

import pyarrow as pa

from auditframe.reports._columns import ReportColumn
from auditframe.reports._endings import ENDING, RISKY_NAMES
from auditframe.reports._facts import ACCESS_FACTS
from auditframe.reports._relations import Relation
from auditframe.reports._roles import ROLE_VERSIONS

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
ROLE = ReportColumn(
    "role",
    "text",
    "The role's name, else its id, of a group's several roles the one held longest; null if the events do not tell.",
)
PERMISSIONS = ReportColumn("permissions", "texts", "The privileged permissions that it brings; empty if none is named.")
KNOWN = ReportColumn("known", "flag", "Whether the events tell that it is privileged.")

ASSIGNMENTS = Relation(
    "assignments",
    {
        "id": pa.string(),
        "effective_at": _INSTANT,
        "actor_id": pa.string(),
        "principal_id": pa.string(),
        "principal_type": pa.string(),
        "role_id": pa.string(),
        "n": pa.int64(),
        "role": pa.string(),
        "by_name": pa.bool_(),
        "known": pa.bool_(),
        "defined": pa.bool_(),
        "ended_at": _INSTANT,
        "ended_id": pa.string(),
    },
    "A role assigned, with its definition at that time (n), whether that is privileged, and when it ended.",
    sql="""
        SELECT
            facts.id AS id,
            facts.effective_at AS effective_at,
            actor_id,
            principal_id,
            principal_type,
            facts.role_id AS role_id,
            n,
            coalesce(name, facts.role, facts.role_id) AS role,
            risky_roles.text IS NOT NULL OR risky_ids.text IS NOT NULL AS by_name,
            risky_roles.text IS NOT NULL OR risky_ids.text IS NOT NULL
                OR coalesce(cardinality(role_versions.permissions) > 0, false) AS known,
            coalesce(defined, false) AS defined,
            ended_at,
            ended_id
        FROM access_facts AS facts
        LEFT JOIN endings ON endings.id = facts.id
        LEFT JOIN role_versions ON role_versions.role_id = facts.role_id
            AND (from_at, from_id) <= (facts.effective_at, facts.id)
            AND (until_at IS NULL OR (facts.effective_at, facts.id) < (until_at, until_id))
        LEFT JOIN risky_names AS risky_roles ON risky_roles.kind = 'role' AND risky_roles.text = facts.role
        LEFT JOIN risky_names AS risky_ids ON risky_ids.kind = 'role_id' AND risky_ids.text = facts.role_id
        WHERE about = 'assignment' AND effect = 'grant'
    """,
)

GRANTS = Relation(
    "grants",
    {
        "id": pa.string(),
        "effective_at": _INSTANT,
        "actor": pa.string(),
        "actor_id": pa.string(),
        "actor_email": pa.string(),
        "area": pa.string(),
        "effect": pa.string(),
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
        "joined_ids": _TEXTS,
        "ended_at": _INSTANT,
        "ended_id": pa.string(),
        "lost": _TEXTS,
    },
    "An event that gave somebody a privileged role (known), or a role of which the events do not tell (not known).",
    sql="""
        WITH memberships_of_groups AS (
            SELECT facts.id AS id, effective_at, actor_id, subject_id, group_id, ended_at, ended_id
            FROM access_facts AS facts LEFT JOIN endings ON endings.id = facts.id
            WHERE about = 'member' AND effect = 'grant'
        ),
        members AS (
            SELECT
                assigned.id AS grant_id,
                array_sort(array_agg(DISTINCT joined.subject_id)) AS holders,
                list(joined.id ORDER BY joined.effective_at, joined.id)
                    FILTER (WHERE joined.subject_id = assigned.actor_id) AS joined_ids
            FROM assignments AS assigned JOIN memberships_of_groups AS joined ON joined.group_id = assigned.principal_id
            WHERE assigned.principal_type = 'group'
                AND (joined.effective_at, joined.id) < (assigned.effective_at, assigned.id)
                AND (
                    joined.ended_at IS NULL
                    OR (assigned.effective_at, assigned.id) < (joined.ended_at, joined.ended_id)
                )
            GROUP BY assigned.id
        ),
        opened AS (
            -- The assignments by which a joiner gains privileges: what a role allows is asked at the joining.
            SELECT
                joined.id AS id,
                standing.id AS grant_id,
                coalesce(name, standing.role) AS role,
                coalesce(basis_ids, CAST([] AS VARCHAR[])) AS basis_ids,
                -- A role that is privileged by its name stays so, whatever it allows.
                least(standing.ended_at, CASE WHEN NOT by_name THEN emptied_at END) AS ended_at,
                CASE
                    WHEN by_name OR emptied_id IS NULL
                        OR (standing.ended_at, standing.ended_id) < (emptied_at, emptied_id)
                        THEN standing.ended_id
                    ELSE emptied_id
                END AS ended_id
            FROM memberships_of_groups AS joined
            JOIN assignments AS standing ON standing.principal_id = joined.group_id
            LEFT JOIN role_versions ON role_versions.role_id = standing.role_id
                AND (from_at, from_id) <= (joined.effective_at, joined.id)
                AND (until_at IS NULL OR (joined.effective_at, joined.id) < (until_at, until_id))
            WHERE (by_name OR cardinality(permissions) > 0)
                AND (standing.effective_at, standing.id) < (joined.effective_at, joined.id)
                AND (
                    standing.ended_at IS NULL
                    OR (joined.effective_at, joined.id) < (standing.ended_at, standing.ended_id)
                )
        ),
        joins AS (
            SELECT named.id AS id, role, grant_ids
            FROM (
                -- Of several roles the one that was held longest.
                SELECT
                    id, min_by(role, (-epoch(coalesce(ended_at, CAST('9999-12-31' AS TIMESTAMPTZ))), role)) AS role
                FROM opened
                GROUP BY id
            ) AS named
            JOIN (
                SELECT given.id AS id, list(facts.id ORDER BY facts.effective_at, facts.id) AS grant_ids
                FROM (
                    SELECT id, grant_id AS basis_id FROM opened
                    UNION
                    SELECT id, listed.basis_id FROM opened CROSS JOIN unnest(basis_ids) AS listed(basis_id)
                ) AS given
                JOIN access_facts AS facts ON facts.id = basis_id
                GROUP BY given.id
            ) AS based ON based.id = named.id
        ),
        closed AS (
            -- Joiners whose group lost, later, every role by which they had gained privileges.
            SELECT id, max(ended_at) AS ended_at, max_by(ended_id, (ended_at, ended_id)) AS ended_id
            FROM opened
            GROUP BY id
            HAVING count(ended_id) = count(*)
        ),
        standing AS (
            -- Who held a role when it gained permissions.
            SELECT
                from_id AS id,
                from_at AS effective_at,
                widening.actor_id AS actor_id,
                assigned.id AS grant_id,
                assigned.principal_id AS principal_id,
                assigned.principal_type AS principal_type,
                assigned.effective_at AS granted_at
            FROM role_versions
            JOIN access_facts AS widening ON widening.id = from_id
            JOIN assignments AS assigned ON assigned.role_id = role_versions.role_id
            WHERE cardinality(gained) > 0
                AND (assigned.effective_at, assigned.id) < (from_at, from_id)
                AND (assigned.ended_at IS NULL OR (from_at, from_id) < (assigned.ended_at, assigned.ended_id))
        ),
        holding AS (
            SELECT
                standing.id AS id,
                array_sort(
                    array_agg(DISTINCT coalesce(inside.subject_id, standing.principal_id))
                        FILTER (WHERE inside.subject_id IS NOT NULL OR standing.principal_type <> 'group')
                ) AS holders,
                list(inside.id ORDER BY inside.effective_at, inside.id)
                    FILTER (WHERE inside.subject_id = standing.actor_id) AS joined_ids
            FROM standing
            LEFT JOIN memberships_of_groups AS inside ON standing.principal_type = 'group'
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
        group_names AS (
            SELECT group_id, group_name
            FROM (
                SELECT
                    group_id,
                    group_name,
                    row_number() OVER (PARTITION BY group_id ORDER BY effective_at DESC, id DESC) AS nth
                FROM access_facts
                WHERE about = 'group' AND group_name IS NOT NULL
            ) AS named
            WHERE nth = 1
        ),
        found AS (
            SELECT
                facts.id AS id, 'role' AS how, subject_id AS principal_id, about AS principal_type, facts.role AS role,
                CAST([] AS VARCHAR[]) AS permissions, true AS known, CAST(NULL AS VARCHAR) AS group_id,
                [subject_id] AS holders, CAST([] AS VARCHAR[]) AS basis_ids, CAST([] AS VARCHAR[]) AS joined_ids,
                ended_at, ended_id, CAST(NULL AS VARCHAR[]) AS lost
            FROM access_facts AS facts
            JOIN risky_names ON risky_names.kind = 'role' AND risky_names.text = facts.role
            LEFT JOIN endings ON endings.id = facts.id
            WHERE about IN ('user', 'service_account') AND effect IN ('grant', 'create', 'change')
            UNION ALL
            SELECT
                id, 'invite', email, 'invited', facts.role, CAST([] AS VARCHAR[]), true, NULL,
                CAST([] AS VARCHAR[]), CAST([] AS VARCHAR[]), CAST([] AS VARCHAR[]), NULL, NULL, NULL
            FROM access_facts AS facts JOIN risky_names ON risky_names.kind = 'role' AND risky_names.text = facts.role
            WHERE about = 'invite' AND effect = 'create'
            UNION ALL
            SELECT
                assigned.id, 'assignment', principal_id, principal_type, role,
                coalesce(permissions, CAST([] AS VARCHAR[])), known,
                CASE WHEN principal_type = 'group' THEN principal_id END,
                CASE
                    WHEN principal_type = 'group' THEN coalesce(members.holders, CAST([] AS VARCHAR[]))
                    ELSE [principal_id]
                END,
                coalesce(basis_ids, CAST([] AS VARCHAR[])), coalesce(joined_ids, CAST([] AS VARCHAR[])),
                least(ended_at, CASE WHEN known AND NOT by_name THEN emptied_at END),
                CASE
                    WHEN by_name OR NOT known OR emptied_id IS NULL
                        OR (ended_at, ended_id) < (emptied_at, emptied_id)
                        THEN ended_id
                    ELSE emptied_id
                END,
                NULL
            FROM assignments AS assigned
            LEFT JOIN members ON members.grant_id = assigned.id
            LEFT JOIN role_versions ON role_versions.role_id = assigned.role_id AND role_versions.n = assigned.n
            WHERE known OR NOT assigned.defined
            UNION ALL
            SELECT
                joined.id, 'member', subject_id, 'user', joins.role, CAST([] AS VARCHAR[]), joins.id IS NOT NULL,
                group_id, [subject_id], coalesce(grant_ids, CAST([] AS VARCHAR[])), CAST([] AS VARCHAR[]),
                least(joined.ended_at, closed.ended_at),
                CASE
                    WHEN closed.id IS NULL OR (joined.ended_at, joined.ended_id) < (closed.ended_at, closed.ended_id)
                        THEN joined.ended_id
                    ELSE closed.ended_id
                END,
                NULL
            FROM memberships_of_groups AS joined
            LEFT JOIN joins ON joins.id = joined.id
            LEFT JOIN closed ON closed.id = joined.id
            WHERE joins.id IS NOT NULL OR subject_id = actor_id
            UNION ALL
            SELECT
                from_id, 'widening', role_versions.role_id, 'role', coalesce(name, role_versions.role_id), gained, true,
                NULL, coalesce(holding.holders, CAST([] AS VARCHAR[])),
                coalesce(grant_ids, CAST([] AS VARCHAR[])), coalesce(holding.joined_ids, CAST([] AS VARCHAR[])),
                narrowed_at, narrowed_id, lost
            FROM role_versions
            LEFT JOIN holding ON holding.id = from_id
            LEFT JOIN held_by ON held_by.id = from_id
            WHERE cardinality(gained) > 0
        )
        SELECT
            found.id AS id,
            effective_at,
            coalesce(actor_email, actor_id, actor_api_key_id) AS actor,
            actor_id,
            actor_email,
            area,
            effect,
            how,
            found.principal_id AS principal_id,
            found.principal_type AS principal_type,
            found.role AS role,
            found.permissions AS permissions,
            known,
            found.group_id AS group_id,
            group_names.group_name AS group_name,
            CASE WHEN how = 'role' THEN project_id WHEN how IN ('assignment', 'widening') THEN facts.applies_to END
                AS applies_to,
            resource_id,
            list_filter(holders, lambda one: one IS NOT NULL) AS holders,
            basis_ids,
            joined_ids,
            ended_at,
            ended_id,
            lost
        FROM found
        JOIN access_facts AS facts ON facts.id = found.id
        LEFT JOIN group_names ON group_names.group_id = found.group_id
    """,
)

GRANTING = (ACCESS_FACTS, ROLE_VERSIONS, RISKY_NAMES, *ENDING, ASSIGNMENTS, GRANTS)
"""The relations that tell who received what, each of which names those before it."""
