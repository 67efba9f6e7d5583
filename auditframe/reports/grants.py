"""Privileges: who received them, and who gave them to himself."""

from __future__ import annotations

from auditframe.reports._access import PEOPLE
from auditframe.reports._base import check
from auditframe.reports._columns import ReportColumn
from auditframe.reports._grants import GRANTING, HOW, KNOWN, PERMISSIONS, PRINCIPAL, PRINCIPAL_TYPE, ROLE
from auditframe.reports._specs import Points

_HOLDERS = ReportColumn("holders", "texts", "Ids of those who thereby hold it, as far as events tell; sorted.")
_CONTROLS = ("SOC 2 CC6.3", "ISO/IEC 27001:2022 A.5.18", "ISO/IEC 27001:2022 A.8.2", "NIST SP 800-53 r5 AC-6")


@check(
    severity="high",
    columns=(HOW, PRINCIPAL, PRINCIPAL_TYPE, ROLE, PERMISSIONS, KNOWN, _HOLDERS),
    plot=Points(at="effective_at", label="how"),
    controls=(*_CONTROLS, "NIST SP 800-53 r5 AC-2"),
    relations=(*GRANTING, PEOPLE),
)
def privileged_grants() -> str:
    """Who received a privilege, from whom and by which path?

    One row for each event that gave somebody a privilege: a built-in role of owners or administrators to a user or
    service account, also by a membership of the tenant that is accepted; an assignment of such a role, or of a custom
    role with privileged permissions, to a user or a group; somebody put into a group that holds such a role; such
    permissions added to a custom role, which counts medium when nobody is known to hold it; and, medium, an invite that
    offers such a role. ``privileges.csv`` beside the reports lists which names of roles and permissions are privileged.
    What a custom role allows is replayed from the events that defined and altered it, up to the assignment, or to the
    joining of the group. An assignment names its role by role_id, or by an id of its own that is role_assignment_, the
    role's id and the principal's id joined by underscores; ids of custom roles are compared whole and tell nothing by
    themselves. One that does not tell whether its receiver is a group counts as one to a user, and whoever is put into
    a group of that id gains the role all the same. Assignments of roles that no event defines are unknown: they stand
    together as one medium row for each actor, and who is put into a group that holds such a role is no row. What a role
    may do on a connector is left out. Groups have the members that the log saw join. Payloads of tenant events are not
    documented: role, role_id, permissions, user_id and group_id are read where they stand.
    """
    return """
        WITH named AS (
            SELECT
                grants.*,
                coalesce(email, CASE WHEN principal_type = 'group' THEN group_name END, principal_id, 'somebody')
                    AS who,
                coalesce(actor, 'Somebody') AS giver,
                CAST(cardinality(holders) AS VARCHAR) AS people_in,
                coalesce(' on ' || applies_to, '') AS where_to
            FROM grants LEFT JOIN people ON people.user_id = principal_id
        ),
        unknown_to AS (
            SELECT coalesce(actor, id) AS giver_id, array_sort(array_agg(DISTINCT listed.holder)) AS holders
            FROM named CROSS JOIN unnest(holders) AS listed(holder)
            WHERE NOT known AND how = 'assignment'
            GROUP BY coalesce(actor, id)
        ),
        told AS (
            SELECT
                id,
                effective_at,
                actor,
                resource_id,
                list_concat(basis_ids, [id]) AS event_ids,
                CASE
                    WHEN how = 'invite' OR (how = 'widening' AND cardinality(holders) = 0) THEN 'medium'
                    ELSE 'high'
                END AS severity,
                CASE CASE WHEN area = 'tenant.membership' AND effect = 'grant' THEN 'acceptance' ELSE how END
                    WHEN 'acceptance' THEN giver || ' accepted a membership of the tenant with the role ' || role
                        || CASE
                            WHEN principal_id IS NOT NULL AND principal_id IS DISTINCT FROM actor_id
                                THEN ' for the user ' || who || '.'
                            ELSE '.'
                        END
                    WHEN 'role' THEN giver || ' gave the ' || replace(principal_type, '_', ' ') || ' ' || who
                        || ' the role ' || role || where_to || '.'
                    WHEN 'invite' THEN giver || ' invited ' || who || ' with the role ' || role || '.'
                    WHEN 'member' THEN giver || ' put ' || who || ' into the group ' || coalesce(group_name, group_id)
                        || ', which holds the role ' || coalesce(role, 'of an administrator') || '.'
                    WHEN 'widening' THEN giver || ' added ' || array_to_string(permissions, ', ') || ' to the role '
                        || role || CASE
                            WHEN cardinality(holders) = 0 THEN '; the log names nobody who holds it.'
                            ELSE '; holders known: ' || people_in || '.'
                        END
                    ELSE giver || ' assigned the role ' || role || where_to || ' to the ' || principal_type || ' '
                        || who || CASE
                            WHEN cardinality(permissions) > 0
                                THEN ', which allows ' || array_to_string(permissions, ', ')
                            ELSE ''
                        END || CASE
                            WHEN principal_type = 'group'
                                THEN '; every member gains it, and so will whoever joins; members known: ' || people_in
                            ELSE ''
                        END || '.'
                END AS why,
                how,
                principal_id,
                principal_type,
                role,
                permissions,
                known,
                holders
            FROM named
            WHERE known
            UNION ALL
            SELECT
                min_by(id, (effective_at, id)),
                min(effective_at),
                min(actor),
                CASE WHEN min(resource_id) = max(resource_id) THEN min(resource_id) END,
                list(id ORDER BY effective_at, id),
                'medium',
                min(giver) || ' assigned ' || CAST(count(*) AS VARCHAR) || CASE count(*)
                    WHEN 1 THEN ' role whose permissions the log does not tell, to '
                    ELSE ' roles whose permissions the log does not tell, to '
                END || CASE count(DISTINCT who)
                    WHEN 1 THEN min(who)
                    ELSE CAST(count(DISTINCT who) AS VARCHAR) || ' users and groups'
                END || '; whether one is privileged is unknown.',
                'assignment',
                CASE WHEN count(DISTINCT principal_id) = 1 THEN min(principal_id) END,
                CASE WHEN count(DISTINCT principal_type) = 1 THEN min(principal_type) END,
                CASE WHEN count(DISTINCT role) = 1 AND count(role) = count(*) THEN min(role) END,
                CAST([] AS VARCHAR[]),
                false,
                coalesce(min(unknown_to.holders), CAST([] AS VARCHAR[]))
            FROM named LEFT JOIN unknown_to ON giver_id = coalesce(actor, id)
            WHERE NOT known AND how = 'assignment'
            GROUP BY coalesce(actor, id)
        )
        SELECT
            'privileged_grants:' || id AS finding,
            severity,
            effective_at,
            actor,
            resource_id,
            event_ids,
            why,
            how,
            principal_id,
            principal_type,
            role,
            permissions,
            known,
            holders
        FROM told
        ORDER BY effective_at, id
    """


@check(
    severity="critical",
    columns=(
        HOW,
        ReportColumn("through", "text", "What makes actor and receiver the same: id, e-mail, group, role or key."),
        PRINCIPAL,
        ROLE,
        PERMISSIONS,
        KNOWN,
        ReportColumn("key_event_id", "text", "Event by which the actor made the account's key; null unless a key."),
    ),
    plot=Points(at="effective_at", label="actor"),
    controls=(*_CONTROLS, "SOC 2 CC6.1", "NIST SP 800-53 r5 AU-6"),
    relations=(*GRANTING, PEOPLE),
)
def self_grants() -> str:
    """Who gave a privilege to himself?

    One row for each grant, as in privileged_grants, whose receiver is the actor: by the same id; by another account or
    an invite with the actor's e-mail address; as a known member of a group that received a role, or one who joins a
    group, by the same id where the log does not tell what that group may do; as a holder of a role that the actor
    widened; or through a service account for which the actor made an API key that the account acted with. Critical for
    a privilege given directly, by id or e-mail address; high by the other paths; medium when the events do not tell
    what the role or the group may do. Whoever joins within an hour of accepting an invite, with the role that it
    offered when it was last sent before that, gave nothing to himself, nor does who accepts a membership of the tenant
    with a role that was offered to the address before; if the log does not tell what was offered, that is medium. What
    the tenant offered excuses no role of the organization, unless it is an invite into the API organization, and an
    invite of the organization none of the tenant. A later change of the role is no joining. The log does not tell for
    which account a key is made: only a key that acted is known.
    """
    return """
        WITH makers AS (
            -- Whoever made an API key that acted for a service account can act for it, too.
            SELECT
                acted.service_account_id AS service_account_id,
                made.actor_id AS maker_id,
                min_by(made.id, (made.effective_at, made.id)) AS key_event_id
            FROM access_facts AS made JOIN (
                SELECT DISTINCT actor_id AS service_account_id, actor_api_key_id
                FROM events
                WHERE actor_kind = 'service_account' AND actor_id IS NOT NULL AND actor_api_key_id IS NOT NULL
            ) AS acted ON acted.actor_api_key_id = made.resource_id
            WHERE about = 'key' AND made.actor_id IS NOT NULL
            GROUP BY acted.service_account_id, made.actor_id
        ),
        matched AS (
            SELECT
                grants.*,
                key_event_id,
                CASE
                    WHEN principal_id = actor_id THEN 'id'
                    WHEN lower(coalesce(email, principal_id)) = lower(actor_email) THEN 'e-mail'
                    WHEN how = 'widening' AND list_contains(holders, actor_id) THEN 'role'
                    WHEN principal_type = 'group' AND list_contains(holders, actor_id) THEN 'group'
                    WHEN key_event_id IS NOT NULL THEN 'key'
                END AS through
            FROM grants
            LEFT JOIN people ON people.user_id = principal_id
            LEFT JOIN makers ON maker_id = actor_id AND service_account_id = principal_id
            WHERE actor_id IS NOT NULL OR actor_email IS NOT NULL
        ),
        accepted AS (
            -- By somebody with the address that was invited, as far as the log tells it.
            SELECT
                facts.effective_at AS effective_at,
                actor_id AS user_id,
                false AS of_tenant,
                coalesce(facts.role, invites.role) AS role
            FROM access_facts AS facts LEFT JOIN (
                -- As it was last sent until then: who has joined can send it anew.
                SELECT
                    taken.id AS accepted_id,
                    max_by(lower(sent.email), (sent.effective_at, sent.id)) AS email,
                    max_by(sent.role, (sent.effective_at, sent.id)) AS role
                FROM access_facts AS taken JOIN access_facts AS sent ON sent.resource_id = taken.resource_id
                    AND (sent.effective_at, sent.id) < (taken.effective_at, taken.id)
                WHERE taken.area = 'invite' AND taken.effect = 'grant'
                    AND sent.area = 'invite' AND sent.effect = 'create'
                GROUP BY taken.id
            ) AS invites ON accepted_id = facts.id
            WHERE area = 'invite'
                AND effect = 'grant'
                AND actor_kind = 'user'
                AND coalesce(lower(actor_email) = invites.email, true)
            UNION ALL
            -- What was offered to the same address in the tenant, where an acceptance names no invite; an invite into
            -- the API organization is one into the tenant, too.
            SELECT
                facts.effective_at,
                facts.actor_id,
                CASE WHEN offers.area = 'tenant.api_organization_invite' THEN NULL ELSE true END,
                offers.role
            FROM access_facts AS facts LEFT JOIN access_facts AS offers ON offers.about = 'invite'
                AND offers.effect = 'create'
                AND left(offers.area, 7) = 'tenant.'
                AND lower(offers.email) = lower(facts.actor_email)
                AND (offers.effective_at, offers.id) < (facts.effective_at, facts.id)
            WHERE facts.area = 'tenant.membership' AND facts.effect = 'grant' AND facts.actor_kind = 'user'
        ),
        joining AS (
            SELECT
                matched.id AS id,
                max(CASE WHEN lower(accepted.role) = lower(matched.role) THEN 1 ELSE 0 END) = 1 AS as_offered,
                count(accepted.role) < count(*) AS untold
            FROM matched JOIN accepted ON accepted.user_id = matched.actor_id
                AND coalesce(of_tenant = (left(area, 7) = 'tenant.'), true)
            WHERE through = 'id'
                AND how = 'role'
                AND effect = 'grant'
                AND accepted.effective_at <= matched.effective_at
                AND accepted.effective_at >= matched.effective_at - INTERVAL 1 HOUR
            GROUP BY matched.id
        ),
        judged AS (
            SELECT
                matched.*,
                coalesce(untold, false) AS joins,
                CASE
                    WHEN NOT known OR coalesce(untold, false) THEN 'medium'
                    WHEN through IN ('id', 'e-mail') AND how IN ('role', 'assignment') THEN 'critical'
                    ELSE 'high'
                END AS severity,
                coalesce('the role ' || role, 'a role that the log does not name') AS what
            FROM matched LEFT JOIN joining ON joining.id = matched.id
            WHERE through IS NOT NULL AND NOT coalesce(as_offered, false)
        ),
        rests AS (
            SELECT named.id AS id, list(facts.id ORDER BY facts.effective_at, facts.id) AS event_ids
            FROM (
                SELECT DISTINCT judged.id AS id, listed.event_id AS event_id
                FROM judged
                CROSS JOIN unnest(
                    list_concat(
                        list_concat(basis_ids, [judged.id]),
                        CASE
                            WHEN through = 'key' THEN [key_event_id]
                            WHEN through IN ('group', 'role') THEN joined_ids
                            ELSE CAST([] AS VARCHAR[])
                        END
                    )
                ) AS listed(event_id)
            ) AS named
            JOIN access_facts AS facts ON facts.id = named.event_id
            GROUP BY named.id
        )
        SELECT
            'self_grants:' || judged.id AS finding,
            severity,
            effective_at,
            actor,
            resource_id,
            event_ids,
            CASE
                WHEN how = 'member' THEN actor || ' joined '
                    || coalesce('the group ' || coalesce(group_name, group_id), 'a group that the event does not name')
                    || ' by their own hand, ' || CASE
                        WHEN known THEN 'and thereby holds ' || what
                        ELSE 'and the log does not tell what that group may do'
                    END
                WHEN how = 'widening' THEN actor || ' added ' || array_to_string(permissions, ', ') || ' to ' || what
                    || ' while holding it'
                WHEN how = 'invite' THEN actor || ' invited their own e-mail address with ' || what
                WHEN through = 'group' THEN actor || ' assigned ' || what || ' to the group '
                    || coalesce(group_name, group_id) || ', of which they are a member'
                WHEN through = 'key' THEN actor || ' gave ' || what || ' to the service account ' || principal_id
                    || ', for which they made an API key'
                WHEN through = 'e-mail' THEN actor || ' gave ' || what || ' to another account of their own, '
                    || principal_id
                WHEN joins THEN actor || ' joined with ' || what || ' by an invite that the log does not hold'
                ELSE actor || ' gave ' || what || ' to themselves'
            END || CASE
                WHEN known OR how = 'member' THEN '.'
                ELSE '; whether it is privileged is unknown.'
            END AS why,
            how,
            through,
            principal_id,
            role,
            permissions,
            known,
            CASE WHEN through = 'key' THEN key_event_id END AS key_event_id
        FROM judged JOIN rests ON rests.id = judged.id
        ORDER BY effective_at, judged.id
    """
