"""Privileges that were taken back within minutes, and access that was not taken back at all."""

from __future__ import annotations

from auditframe.reports._access import PEOPLE
from auditframe.reports._accounts import ALL_THEY_HAVE
from auditframe.reports._base import check
from auditframe.reports._columns import ReportColumn
from auditframe.reports._grants import GRANTING, HOW, KNOWN, PRINCIPAL, ROLE
from auditframe.reports._parameters import Moment
from auditframe.reports._specs import Points


@check(
    severity="high",
    columns=(
        HOW,
        PRINCIPAL,
        ROLE,
        KNOWN,
        ReportColumn("ended_at", "instant", "When it was taken back, in UTC."),
        ReportColumn("held_s", "integer", "How long it was held.", "s"),
        ReportColumn("uses", "integer", "How many events the holders caused meanwhile.", "events"),
        ReportColumn("used_for", "texts", "The types of these events, sorted; empty if there are none."),
    ),
    plot=Points(at="effective_at", label="principal_id"),
    controls=(
        "SOC 2 CC6.3",
        "SOC 2 CC7.2",
        "ISO/IEC 27001:2022 A.8.2",
        "ISO/IEC 27001:2022 A.8.16",
        "NIST SP 800-53 r5 AC-6",
    ),
    relations=(*GRANTING, PEOPLE),
)
def privilege_flicker(*, within_minutes: int = 60) -> str:
    """Which privileges were given and soon taken back, and what was done with them in between?

    One row for each grant, as in privileged_grants but for invites, that ended that soon: the assignment deleted, the
    role set to a lesser one, the user or service account removed, the group left, deleted or without the roles that it
    gave, the role deleted, or the permissions taken from it. Every assignment of an unknown role is a row of its own
    here, and so is a group that somebody joined by himself, whatever it may do. A user removed from the organization
    loses what the user held there and in its projects, one removed from the tenant what the tenant gave, groups
    included; a removal from a project ends the role in that project. A role that is privileged by its permissions ends
    for all who hold it with the last of these; of permissions added together, those stand here that were taken first.
    What the holders did between the two events stands beside it, failures to sign in left out; they may have done it by
    other rights. A role that no event defines counts medium. A legitimate break-glass use looks the same: ask for its
    ticket.

    Args:
        within_minutes: The longest time from grant to end, that time included [minutes].
    """
    return """
        WITH brief AS (
            SELECT *, CAST(epoch(ended_at) - epoch(effective_at) AS BIGINT) AS held_s
            FROM grants
            WHERE how <> 'invite' AND ended_at IS NOT NULL
                AND epoch(ended_at) - epoch(effective_at) <= $within_minutes * 60
        ),
        uses AS (
            SELECT
                brief.id AS id,
                count(*) AS uses,
                array_sort(array_agg(DISTINCT events.type)) AS used_for,
                list(events.id ORDER BY events.effective_at, events.id) AS use_ids
            FROM brief
            CROSS JOIN unnest(brief.holders) AS listed(holder)
            JOIN events ON events.actor_id = listed.holder
            LEFT JOIN catalogue ON catalogue.type = events.type
            WHERE coalesce(catalogue.effect, 'other') <> 'login_failed'
                AND (events.effective_at, events.id) > (brief.effective_at, brief.id)
                AND (events.effective_at, events.id) < (brief.ended_at, brief.ended_id)
            GROUP BY brief.id
        )
        SELECT
            'privilege_flicker:' || brief.id AS finding,
            CASE WHEN known THEN 'high' ELSE 'medium' END AS severity,
            effective_at,
            actor,
            resource_id,
            list_concat(list_concat([brief.id], coalesce(use_ids, CAST([] AS VARCHAR[]))), [ended_id]) AS event_ids,
            CASE
                WHEN how = 'widening' THEN 'The role ' || role || ' had ' || array_to_string(lost, ', ')
                ELSE coalesce(email, CASE WHEN principal_type = 'group' THEN group_name END, principal_id, 'Somebody')
                    || ' held '
                    || coalesce('the role ' || role, 'a role that the log does not name')
            END || ' for ' || CASE
                WHEN held_s < 60 THEN CAST(held_s AS VARCHAR) || ' s'
                ELSE CAST(CAST(floor(held_s / 60) AS BIGINT) AS VARCHAR) || ' min'
            END || CASE
                WHEN uses.uses IS NULL THEN ', and nothing is logged in between.'
                ELSE '; events caused in between: ' || CAST(uses.uses AS VARCHAR) || ' of '
                    || array_to_string(used_for, ', ') || '.'
            END AS why,
            how,
            principal_id,
            role,
            known,
            ended_at,
            held_s,
            coalesce(uses.uses, 0) AS uses,
            coalesce(used_for, CAST([] AS VARCHAR[])) AS used_for
        FROM brief
        LEFT JOIN uses ON uses.id = brief.id
        LEFT JOIN people ON people.user_id = principal_id
        ORDER BY effective_at, brief.id
    """


@check(
    severity="critical",
    columns=(
        ReportColumn("left_behind", "text", "events, keys, service accounts, invites, assignments or groups."),
        ReportColumn("things", "texts", "Their ids, sorted; of events, the types."),
        ReportColumn("count", "integer", "How many there are.", "things"),
        ReportColumn("age_days", "integer", "Whole days from the removal to the moment asked for.", "days"),
    ),
    plot=Points(at="effective_at", label="left_behind"),
    controls=("SOC 2 CC6.2", "SOC 2 CC6.5", "ISO/IEC 27001:2022 A.5.18", "NIST SP 800-53 r5 AC-2"),
    relations=(*ALL_THEY_HAVE, PEOPLE),
)
def offboarding_gaps(*, as_of: Moment = None) -> str:
    """Who was removed from the organization, and what did they leave alive?

    One row for each removal and each kind of thing left behind: events that the user caused after it (critical); API
    keys that the user made, or that act for the user, and that are alive (high); service accounts that the user made,
    invites to the organization that the user sent and that are open, role assignments to the user, and groups of the
    tenant with the user in it (medium). Signing out and failing to sign in are no events of this kind. An assignment
    ends with its role and a membership with its group, where events tell which these are and that they were deleted.
    Who came back is asked for events up to the return only. A removal from a project, or from a tenant, is not one from
    the organization. Removals name an id. Who made a key or service account, or sent an invite, and is known by e-mail
    address alone, is the user whom other events give that address, unless it is several; orphaned_keys names such an
    event. A service account that lives on is no fault by itself, but somebody else should answer for it. Tenant events
    have no documented payload: group_id, else id, is read as the group, and user_id as who received a role.

    Args:
        as_of: The moment; None for that of the newest event.
    """
    return """
        WITH moment AS (
            SELECT coalesce(CAST($as_of AS TIMESTAMPTZ), (SELECT max(effective_at) FROM events)) AS at_last
        ),
        stays AS (
            SELECT
                memberships.*,
                at_last,
                first_value(CASE WHEN effect = 'grant' THEN effective_at END IGNORE NULLS) OVER later AS back_at,
                first_value(CASE WHEN effect = 'grant' THEN id END IGNORE NULLS) OVER later AS back_id
            FROM memberships CROSS JOIN moment
            WHERE scope = 'organization' AND project_id IS NULL AND effective_at <= at_last
            WINDOW later AS (
                PARTITION BY user_id ORDER BY effective_at, id ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING
            )
        ),
        removals AS (
            SELECT
                *,
                row_number() OVER (PARTITION BY user_id, back_id ORDER BY effective_at, id) AS nth
            FROM stays
            WHERE effect = 'revoke'
        ),
        leavers AS (
            SELECT
                removals.id AS removal_id,
                effective_at AS left_at,
                removals.user_id AS user_id,
                coalesce(email, removals.user_id) AS who,
                actor AS remover,
                back_at,
                back_id,
                at_last,
                CAST(floor((epoch(at_last) - epoch(effective_at)) / 86400) AS BIGINT) AS age_days
            FROM removals LEFT JOIN people ON people.user_id = removals.user_id
            WHERE nth = 1
        ),
        addresses AS (
            -- Whose an e-mail address is, where events give it one id.
            SELECT lower(email) AS email, min(user_id) AS user_id
            FROM names CROSS JOIN moment
            WHERE first_at <= at_last
            GROUP BY lower(email)
            HAVING min(user_id) = max(user_id)
        ),
        areas(area, left_behind, gives) AS (
            VALUES
                ('service_account', 'service accounts', false), ('tenant.service_account', 'service accounts', false),
                ('invite', 'invites', false),
                ('role.assignment', 'assignments', false), ('tenant.role_assignment', 'assignments', false),
                ('tenant.resource_role_assignment', 'assignments', false),
                ('role', 'assignments', true), ('tenant.custom_role', 'assignments', true),
                ('tenant.group.member', 'groups', false),
                ('group', 'groups', true), ('tenant.group', 'groups', true)
        ),
        named AS (
            SELECT
                id,
                effective_at,
                left_behind,
                gives,
                effect IN ('create', 'grant') AND NOT (left_behind = 'invites' AND effect = 'grant') AS begins,
                coalesce(
                    CASE WHEN left_behind = 'groups' THEN TRY(payload ->> '$.group_id') END, resource_id, role_id
                ) AS thing,
                role_id,
                left_behind = 'groups' OR resource_id IS NULL AS is_shared,
                CASE
                    WHEN left_behind IN ('assignments', 'groups') THEN principal_id
                    ELSE coalesce(actor_id, addresses.user_id)
                END AS user_id
            FROM account_events
            JOIN areas ON areas.area = account_events.area
            LEFT JOIN addresses ON actor_id IS NULL AND addresses.email = lower(actor_email)
            CROSS JOIN moment
            WHERE effect IN ('create', 'grant', 'delete', 'revoke') AND effective_at <= at_last
        ),
        things AS (
            SELECT *, CASE WHEN is_shared AND NOT gives THEN user_id ELSE '' END AS inside
            FROM named
            WHERE (NOT begins AND NOT is_shared) OR gives OR user_id IN (SELECT user_id FROM leavers)
        ),
        owned AS (
            SELECT id, effective_at, left_behind, thing, user_id, inside,
                CASE left_behind WHEN 'groups' THEN thing WHEN 'assignments' THEN role_id END AS given_by
            FROM things
            WHERE begins
            UNION ALL
            SELECT since_id, since, 'keys', key_id, coalesce(creator_id, addresses.user_id), '', NULL
            FROM living_keys LEFT JOIN addresses ON creator_id IS NULL AND addresses.email = creator_email
            UNION ALL
            SELECT since_id, since, 'keys', key_id, owner_id, '', NULL FROM living_keys
            WHERE owner_id IS DISTINCT FROM creator_id
        ),
        left_over AS (
            SELECT DISTINCT removal_id, left_at, left_behind, thing, id, effective_at
            FROM owned JOIN leavers ON leavers.user_id = owned.user_id
            WHERE back_id IS NULL AND thing IS NOT NULL AND NOT EXISTS (
                SELECT 1 FROM things AS ends
                WHERE NOT ends.begins
                    AND NOT ends.gives
                    AND ends.left_behind = owned.left_behind
                    AND ends.thing = owned.thing
                    AND ends.inside = owned.inside
                    AND (ends.effective_at, ends.id) >= (owned.effective_at, owned.id)
            ) AND NOT EXISTS (
                SELECT 1 FROM things AS ends
                WHERE ends.gives
                    AND ends.left_behind = owned.left_behind
                    AND ends.thing = owned.given_by
                    AND (ends.effective_at, ends.id) > (owned.effective_at, owned.id)
            )
            UNION ALL
            SELECT removal_id, left_at, 'events', events.type, events.id, effective_at
            FROM events
            JOIN leavers ON leavers.user_id = actor_id
            LEFT JOIN catalogue ON catalogue.type = events.type
            WHERE (effective_at, events.id) > (left_at, removal_id)
                AND effective_at <= coalesce(CAST($as_of AS TIMESTAMPTZ), CAST('9999-12-31' AS TIMESTAMPTZ))
                AND (back_at IS NULL OR (effective_at, events.id) < (back_at, back_id))
                AND coalesce(effect, 'other') <> 'login_failed'
                AND area <> 'logout'
        ),
        gathered AS (
            SELECT
                removal_id,
                left_behind,
                array_sort(array_agg(DISTINCT thing)) AS things,
                count(*) AS events
            FROM left_over
            GROUP BY removal_id, left_behind
        ),
        evidence AS (
            SELECT removal_id, left_behind, id, effective_at FROM left_over
            UNION
            SELECT removal_id, left_behind, removal_id, left_at FROM left_over
        ),
        rested AS (
            SELECT removal_id, left_behind, list(id ORDER BY effective_at, id) AS event_ids
            FROM evidence
            GROUP BY removal_id, left_behind
        ),
        counted AS (
            SELECT
                gathered.removal_id AS removal_id,
                gathered.left_behind AS left_behind,
                things,
                CASE WHEN gathered.left_behind = 'events' THEN events ELSE cardinality(things) END AS amount,
                event_ids
            FROM gathered
            JOIN rested ON rested.removal_id = gathered.removal_id AND rested.left_behind = gathered.left_behind
        )
        SELECT
            'offboarding_gaps:' || leavers.removal_id || ':' || left_behind AS finding,
            CASE left_behind WHEN 'events' THEN 'critical' WHEN 'keys' THEN 'high' ELSE 'medium' END AS severity,
            left_at AS effective_at,
            who AS actor,
            user_id AS resource_id,
            event_ids,
            who || ' was removed by ' || coalesce(remover, 'somebody') || ' on '
                || CAST(CAST(left_at AS DATE) AS VARCHAR) || CASE left_behind
                    WHEN 'events' THEN ' and caused events after that: ' || CAST(amount AS VARCHAR) || ' of '
                        || array_to_string(things, ', ')
                    WHEN 'keys' THEN ', and API keys of theirs are alive: ' || CAST(amount AS VARCHAR)
                    WHEN 'service accounts' THEN ', and service accounts that they made live on: '
                        || CAST(amount AS VARCHAR)
                    WHEN 'invites' THEN ', and invites that they sent are open: ' || CAST(amount AS VARCHAR)
                    WHEN 'assignments' THEN ', and roles are still assigned to them: ' || CAST(amount AS VARCHAR)
                    ELSE ', and groups still have them as a member: ' || CAST(amount AS VARCHAR)
                END || '.' AS why,
            left_behind,
            things,
            amount AS "count",
            age_days
        FROM counted JOIN leavers ON leavers.removal_id = counted.removal_id
        ORDER BY left_at, leavers.removal_id, left_behind
    """
