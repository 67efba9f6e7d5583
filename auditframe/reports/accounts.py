"""What else has access, or may soon: groups, service accounts, and those who are invited."""

from __future__ import annotations

from auditframe.reports._base import check, report
from auditframe.reports._columns import EVENT_IDS, ReportColumn
from auditframe.reports._groups import GROUP_FACTS
from auditframe.reports._parameters import Moment
from auditframe.reports._specs import Points, Spans

_CONTROLS = ("SOC 2 CC6.2", "SOC 2 CC6.3", "ISO/IEC 27001:2022 A.5.16", "ISO/IEC 27001:2022 A.5.18")


@report(
    columns=(
        ReportColumn("group_id", "text", "Id of the group."),
        ReportColumn("scope", "text", "What the group belongs to: organization or tenant."),
        ReportColumn("name", "text", "The name last given; null if no event tells."),
        ReportColumn("created_at", "instant", "When the group was made, in UTC; null if no event tells."),
        ReportColumn("from_before", "flag", "Whether the group is older than the first event about it."),
        ReportColumn("members", "integer", "How many members the log knows of.", "users"),
        ReportColumn("member_ids", "texts", "Their ids, sorted; members from before the log are missing."),
        ReportColumn("roles", "texts", "Roles given to the group: the role's id, else that of the assignment; sorted."),
        EVENT_IDS,
    ),
    controls=(*_CONTROLS, "NIST SP 800-53 r5 AC-2"),
    relations=(GROUP_FACTS,),
)
def groups_as_of(*, as_of: Moment = None) -> str:
    """Which groups are there on a date, who is in them, and which roles do they give?

    One row for each group that an event is about and that was not deleted by the moment asked for. A group whose first
    event is no creation is from before the log: it may have members and roles that no event tells. Members are known
    only from the tenant's events, roles from assignments whose principal is a group, until the role is deleted. A group
    that was deleted stays so, also where its id is made again. An assignment names its role by role_id, or by an id of
    its own that is role_assignment_, the role's id and the principal's id joined by underscores; one that names neither
    is among the events alone. The payload of tenant events is not documented: group_id, else id, is read as the group,
    also where a role is given to it, and user_id or member_id as the member.

    Args:
        as_of: The moment; None for that of the newest event.
    """
    return """
        WITH states AS (
            SELECT
                group_id,
                min_by(effect, (effective_at, id)) <> 'create' AS from_before,
                max_by(name, (effective_at, id)) FILTER (WHERE past AND name IS NOT NULL) AS name,
                min(effective_at) FILTER (WHERE past AND effect = 'create') AS created_at,
                bool_or(area = 'tenant.group' OR area = 'tenant.group.member')
                    OR NOT bool_or(left(area, 7) <> 'tenant.') AS of_tenant,
                coalesce(bool_or(past AND effect = 'delete'), false) AS deleted,
                bool_or(past) AS seen,
                [min_by(id, (effective_at, id))] AS first_ids
            FROM group_facts
            WHERE group_id IS NOT NULL
            GROUP BY group_id
        ),
        gone AS (
            SELECT resource_id AS role_id, effective_at, id
            FROM group_facts
            WHERE past AND area IN ('role', 'tenant.custom_role')
        ),
        lasting AS (
            -- The last word on each member and each assignment.
            SELECT
                group_id,
                member_id,
                assignment_id,
                max_by(effect, (effective_at, id)) AS effect,
                max(effective_at) AS effective_at,
                max_by(id, (effective_at, id)) AS id,
                max_by(role_id, (effective_at, id)) FILTER (WHERE role_id IS NOT NULL) AS role_id
            FROM group_facts
            WHERE past AND (member_id IS NOT NULL OR assignment_id IS NOT NULL)
            GROUP BY group_id, member_id, assignment_id
        ),
        held AS (
            -- An assignment ends with its role, when that is deleted for the first time since.
            SELECT
                group_id,
                member_id,
                assignment_id,
                lasting.role_id AS role_id,
                min_by(gone.id, (gone.effective_at, gone.id)) AS gone_id,
                min(gone.effective_at) AS gone_at
            FROM lasting LEFT JOIN gone ON gone.role_id = lasting.role_id
                AND (gone.effective_at, gone.id) > (lasting.effective_at, lasting.id)
            WHERE effect = 'grant'
            GROUP BY group_id, member_id, assignment_id, lasting.role_id
        ),
        listed AS (
            SELECT
                group_id,
                array_sort(array_agg(member_id) FILTER (WHERE member_id IS NOT NULL)) AS member_ids,
                array_sort(
                    array_agg(DISTINCT coalesce(role_id, assignment_id))
                        FILTER (WHERE assignment_id IS NOT NULL AND gone_id IS NULL)
                ) AS roles
            FROM held
            GROUP BY group_id
        ),
        told AS (
            SELECT group_id, list(id ORDER BY effective_at, id) AS past_ids
            FROM (
                SELECT group_id, id, effective_at FROM group_facts WHERE past AND group_id IS NOT NULL
                UNION ALL
                SELECT DISTINCT group_id, gone_id, gone_at FROM held WHERE gone_id IS NOT NULL
            ) AS evidence
            WHERE group_id IN (SELECT group_id FROM states WHERE NOT deleted)
            GROUP BY group_id
        )
        SELECT
            states.group_id AS group_id,
            CASE WHEN of_tenant THEN 'tenant' ELSE 'organization' END AS scope,
            name,
            CASE WHEN NOT from_before THEN created_at END AS created_at,
            from_before,
            coalesce(cardinality(member_ids), 0) AS members,
            coalesce(member_ids, CAST([] AS VARCHAR[])) AS member_ids,
            coalesce(roles, CAST([] AS VARCHAR[])) AS roles,
            coalesce(past_ids, first_ids) AS event_ids
        FROM states
        LEFT JOIN listed ON listed.group_id = states.group_id
        LEFT JOIN told ON told.group_id = states.group_id
        WHERE NOT deleted AND (seen OR from_before)
        ORDER BY scope, name ASC NULLS LAST, states.group_id
    """


@report(
    columns=(
        ReportColumn("service_account_id", "text", "Id of the service account."),
        ReportColumn(
            "project_id",
            "text",
            "Its project by the events about it, else by its own; null if unknown or not always the same.",
        ),
        ReportColumn("role", "text", "The role last given; null if no event tells."),
        ReportColumn("created_by", "text", "Who made it; null if no event tells."),
        ReportColumn("created_at", "instant", "When it was made, in UTC; null if no event tells."),
        ReportColumn("state", "text", "alive or deleted, as far as the log tells."),
        ReportColumn(
            "last_role_change_at", "instant", "When its role was last set anew, in UTC; null if it never was."
        ),
        ReportColumn(
            "deleted_at", "instant", "When it was deleted, in UTC; null if it was not, or was made again since."
        ),
        ReportColumn("keys_used", "texts", "API keys that it acted with, sorted; empty if none is named."),
        ReportColumn("last_event_at", "instant", "When it last caused an event, in UTC; null if it never did."),
        ReportColumn("events_as_actor", "integer", "How many events it caused.", "events"),
        EVENT_IDS,
    ),
    plot=Spans(
        label=("service_account_id",),
        start="created_at",
        end="deleted_at",
        marks=(("last_role_change_at", "role set anew"), ("last_event_at", "last event caused")),
    ),
    controls=(*_CONTROLS, "ISO/IEC 27001:2022 A.8.2", "NIST SP 800-53 r5 AC-2", "NIST SP 800-53 r5 IA-5"),
)
def service_accounts() -> str:
    """Which service accounts are there, who made them, and what do they do?

    One row for each service account that an event is about or that acts, those from before the log first, then in the
    order of creation. Its event ids are those of the events about it. One that only acts has none, and its creator and
    role are unknown. One that was made again after its deletion is alive, and its last creation counts. The log holds
    no calls to models, so one without events of its own may still be busy. Service accounts of a tenant have no
    documented payload: id is read as theirs and role as the role.
    """
    return """
        WITH picked AS (
            SELECT
                resource_id AS service_account_id,
                events.id AS id,
                effective_at,
                project_id,
                coalesce(actor_email, actor_id, actor_api_key_id) AS actor,
                effect,
                coalesce(detail_changes_requested_role, detail_data_role) AS named_role,
                CASE
                    WHEN area = 'tenant.service_account'
                        THEN {payload}
                END AS payload
            FROM events JOIN catalogue ON catalogue.type = events.type
            WHERE area IN ('service_account', 'tenant.service_account') AND resource_id IS NOT NULL
        ),
        facts AS (
            SELECT *, coalesce(named_role, TRY(payload ->> '$.role')) AS role FROM picked
        ),
        ranked AS (
            SELECT
                *,
                row_number() OVER (PARTITION BY service_account_id ORDER BY effective_at, id) AS nth,
                row_number() OVER (PARTITION BY service_account_id, effect ORDER BY effective_at DESC, id DESC)
                    AS nth_last
            FROM facts
        ),
        managed AS (
            SELECT
                service_account_id,
                CASE WHEN min(project_id) = max(project_id) THEN min(project_id) END AS project_id,
                count(project_id) = 0 AS placeless,
                max_by(role, nth) FILTER (WHERE role IS NOT NULL) AS role,
                max(actor) FILTER (WHERE effect = 'create' AND nth_last = 1) AS created_by,
                max(effective_at) FILTER (WHERE effect = 'create') AS created_at,
                max(effective_at) FILTER (WHERE effect = 'change' AND role IS NOT NULL) AS last_role_change_at,
                CASE
                    WHEN max(nth) FILTER (WHERE effect = 'create') > max(nth) FILTER (WHERE effect = 'delete') THEN NULL
                    ELSE max(effective_at) FILTER (WHERE effect = 'delete')
                END AS deleted_at,
                list(id ORDER BY effective_at, id) AS event_ids
            FROM ranked
            GROUP BY service_account_id
        ),
        acting AS (
            SELECT
                actor_id AS service_account_id,
                CASE WHEN min(project_id) = max(project_id) THEN min(project_id) END AS project_id,
                array_sort(array_agg(DISTINCT actor_api_key_id) FILTER (WHERE actor_api_key_id IS NOT NULL))
                    AS keys_used,
                max(effective_at) AS last_event_at,
                count(*) AS events_as_actor
            FROM events
            WHERE actor_kind = 'service_account' AND actor_id IS NOT NULL
            GROUP BY actor_id
        )
        SELECT
            coalesce(managed.service_account_id, acting.service_account_id) AS service_account_id,
            CASE WHEN coalesce(placeless, true) THEN acting.project_id ELSE managed.project_id END AS project_id,
            role,
            created_by,
            created_at,
            CASE WHEN deleted_at IS NULL THEN 'alive' ELSE 'deleted' END AS state,
            last_role_change_at,
            deleted_at,
            coalesce(keys_used, CAST([] AS VARCHAR[])) AS keys_used,
            last_event_at,
            coalesce(events_as_actor, 0) AS events_as_actor,
            coalesce(event_ids, CAST([] AS VARCHAR[])) AS event_ids
        FROM managed FULL JOIN acting ON managed.service_account_id = acting.service_account_id
        ORDER BY created_at ASC NULLS FIRST, coalesce(managed.service_account_id, acting.service_account_id)
    """


@check(
    severity="medium",
    columns=(
        ReportColumn("email", "text", "Who is invited; null if the event does not say."),
        ReportColumn("role", "text", "The role that is offered; null if the event does not say."),
        ReportColumn("last_sent_at", "instant", "When the invite was last sent, in UTC."),
        ReportColumn("age_days", "integer", "Whole days since then.", "days"),
    ),
    plot=Points(at="effective_at", label="actor"),
    controls=("SOC 2 CC6.2", "ISO/IEC 27001:2022 A.5.16", "NIST SP 800-53 r5 AC-2"),
)
def pending_invites(*, as_of: Moment = None, min_age_days: int = 7) -> str:
    """Which invites are neither accepted nor withdrawn?

    One row for each invite that is that old, oldest first; low, and medium when it offers the role of an owner. An
    invite that is sent again counts from the last time, and for whom and what it says then; effective_at is the first
    time. The log does not say when an invite expires by itself: one that has expired stands here too. The payload of
    tenant invites is not documented: an acceptance or a refusal closes an invite if it names its id as id or invite_id,
    and a tenant invite also if it gives the same e-mail address.

    Args:
        as_of: The moment; None for that of the newest event.
        min_age_days: Leave out invites sent fewer days before that [days].
    """
    return """
        WITH moment AS (
            SELECT coalesce(CAST($as_of AS TIMESTAMPTZ), (SELECT max(effective_at) FROM events)) AS at_last
        ),
        picked AS (
            SELECT
                events.id AS id,
                effective_at,
                resource_id,
                coalesce(actor_email, actor_id, actor_api_key_id) AS actor,
                area,
                effect,
                detail_data_email,
                detail_data_role,
                CASE
                    WHEN left(area, 7) = 'tenant.'
                        THEN {payload}
                END AS payload
            FROM events JOIN catalogue ON catalogue.type = events.type CROSS JOIN moment
            WHERE effective_at <= at_last
                AND (
                    area IN ('invite', 'tenant.api_organization_invite', 'tenant.chatgpt_workspace_invite')
                    OR (area = 'tenant.user' AND effect = 'create')
                    OR (area = 'tenant.membership' AND effect <> 'revoke')
                )
        ),
        facts AS (
            SELECT
                *,
                lower(coalesce(detail_data_email, TRY(payload ->> '$.email'))) AS email,
                TRY(payload ->> '$.invite_id') AS invite_id,
                coalesce(detail_data_role, TRY(payload ->> '$.role')) AS role
            FROM picked
        ),
        sent AS (
            SELECT
                area,
                coalesce(resource_id, id) AS invite,
                min(resource_id) AS resource_id,
                min(effective_at) AS first_at,
                max(effective_at) AS last_sent_at,
                max_by(id, (effective_at, id)) AS last_id,
                min_by(id, (effective_at, id)) AS first_id,
                max(actor) FILTER (WHERE nth_last = 1) AS actor,
                max(email) FILTER (WHERE nth_last = 1) AS email,
                max(role) FILTER (WHERE nth_last = 1) AS role,
                list(id ORDER BY effective_at, id) AS event_ids
            FROM (
                SELECT *, row_number() OVER (
                    PARTITION BY area, coalesce(resource_id, id) ORDER BY effective_at DESC, id DESC
                ) AS nth_last
                FROM facts
                WHERE effect = 'create'
            ) AS sendings
            GROUP BY area, coalesce(resource_id, id)
        ),
        pending AS (
            SELECT *, CAST(floor((epoch(at_last) - epoch(last_sent_at)) / 86400) AS BIGINT) AS age_days
            FROM sent CROSS JOIN moment
            WHERE NOT EXISTS (
                SELECT 1 FROM facts AS closing
                WHERE closing.effect <> 'create'
                    AND (closing.effective_at, closing.id) > (sent.last_sent_at, sent.last_id)
                    AND (
                        closing.resource_id = sent.resource_id
                        OR closing.invite_id = sent.resource_id
                        OR (closing.area = 'tenant.membership' AND sent.area <> 'invite' AND closing.email = sent.email)
                    )
            )
        )
        SELECT
            'pending_invites:' || first_id AS finding,
            CASE WHEN lower(role) = 'owner' THEN 'medium' ELSE 'low' END AS severity,
            first_at AS effective_at,
            actor,
            resource_id,
            event_ids,
            coalesce(actor, 'Somebody') || ' invited ' || coalesce(email, 'somebody')
                || CASE WHEN left(area, 7) = 'tenant.' THEN ' into the tenant' ELSE ' into the organization' END
                || coalesce(' as ' || role, '') || ', and after ' || CAST(age_days AS VARCHAR)
                || ' days the invite is neither accepted nor withdrawn.' AS why,
            email,
            role,
            last_sent_at,
            age_days
        FROM pending
        WHERE age_days >= $min_age_days
        ORDER BY last_sent_at, first_id
    """
