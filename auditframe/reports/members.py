"""Who belongs to the organization, on a date and between two."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from auditframe.errors import ParameterError
from auditframe.reports._access import FIRST_ACTS, MEMBERS, PEOPLE
from auditframe.reports._base import report
from auditframe.reports._columns import EVENT_IDS, ReportColumn
from auditframe.reports._parameters import Moment
from auditframe.reports._specs import Points

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa

_CONTROLS = ("SOC 2 CC6.2", "SOC 2 CC6.3", "ISO/IEC 27001:2022 A.5.16", "ISO/IEC 27001:2022 A.5.18")
_USER_ID = ReportColumn("user_id", "text", "Id of the user.")
_EMAIL = ReportColumn("email", "text", "E-mail address that the user acted with last, at any time; null if never.")
_SCOPE = ReportColumn("scope", "text", "What the membership is of: organization or tenant.")
_PROJECT_ID = ReportColumn("project_id", "text", "Project that it is of; null for the organization or tenant itself.")


@report(
    columns=(
        _USER_ID,
        _EMAIL,
        _SCOPE,
        _PROJECT_ID,
        ReportColumn("role", "text", "The role last given; null if no event of this membership tells it."),
        ReportColumn("role_known", "flag", "Whether an event tells the role."),
        ReportColumn("joined_at", "instant", "When the user joined, in UTC; null if no event tells."),
        ReportColumn("from_before", "flag", "Whether the membership is older than the first event about it."),
        ReportColumn("last_change_at", "instant", "When the role was last set anew, in UTC; null if it never was."),
        EVENT_IDS,
    ),
    controls=(*_CONTROLS, "NIST SP 800-53 r5 AC-2"),
    relations=(*MEMBERS, PEOPLE, FIRST_ACTS),
)
def members_as_of(*, as_of: Moment = None) -> str:
    """Who is a member, with which role, on a date?

    One row for each user and each place that the user is a member of: the organization, a project, or the tenant. The
    answer replays who was added, changed and removed, up to and including the moment asked for. A user whose first
    event is a change or a removal was a member from before the log began: from_before is true, joined_at is null, and
    the role is unknown until an event tells it. The same holds for a user who acts in the log and was never added;
    failing to sign in is not acting. An accepted invite counts for the user who accepted it, with the role that it
    named last before that; an acceptance by somebody with another address than the one that it named last counts for
    nobody. A member from before the log who neither acted nor was changed cannot be seen. A removal that the API files
    under a project ends the membership of that project alone; one from the organization ends those of its projects too,
    and who comes back is in a project only when an event says so. Events of a tenant have no documented payload:
    user_id or user.id, else id, is read as the user, of a membership user_id alone, and role as the role.

    Args:
        as_of: The moment; None for that of the newest event.
    """
    return """
        WITH moment AS (
            SELECT coalesce(CAST($as_of AS TIMESTAMPTZ), (SELECT max(effective_at) FROM events)) AS at_last
        ),
        facts AS (
            SELECT
                memberships.*,
                effective_at <= at_last AS past,
                row_number() OVER so_far AS nth,
                -- A stint ends with a removal; the removal itself counts to the next.
                sum(CASE WHEN effect = 'revoke' THEN 1 ELSE 0 END) OVER so_far AS stint
            FROM memberships CROSS JOIN moment
            WINDOW so_far AS (PARTITION BY scope, user_id, project_id ORDER BY effective_at, id)
        ),
        placed AS (
            SELECT
                *,
                past
                    AND effect <> 'revoke'
                    AND stint = coalesce(max(CASE WHEN past THEN stint END) OVER one, 0) AS holds,
                max(CASE WHEN past THEN stint END) OVER one AS stints
            FROM facts
            WINDOW one AS (PARTITION BY scope, user_id, project_id)
        ),
        states AS (
            SELECT
                scope,
                user_id,
                project_id,
                coalesce(max(stints), 0) = 0 AND max(CASE WHEN nth = 1 THEN effect END) <> 'grant' AS from_before,
                max_by(role, nth) FILTER (WHERE holds AND role IS NOT NULL) AS role,
                min(effective_at) FILTER (WHERE holds AND effect = 'grant') AS joined_at,
                max(effective_at) FILTER (WHERE holds AND effect = 'change' AND role IS NOT NULL) AS last_change_at,
                list(id ORDER BY effective_at, id) FILTER (WHERE holds) AS holding_ids,
                list(id) FILTER (WHERE nth = 1) AS first_ids
            FROM placed
            GROUP BY scope, user_id, project_id
        ),
        members AS (
            SELECT
                user_id,
                scope,
                project_id,
                role,
                CASE WHEN NOT from_before THEN joined_at END AS joined_at,
                from_before,
                last_change_at,
                coalesce(holding_ids, first_ids) AS event_ids
            FROM states
            WHERE from_before OR holding_ids IS NOT NULL
            UNION ALL
            SELECT user_id, 'organization', NULL, NULL, NULL, true, NULL, [first_id]
            FROM first_acts
            WHERE NOT EXISTS (
                SELECT 1 FROM memberships
                WHERE memberships.user_id = first_acts.user_id AND scope = 'organization' AND project_id IS NULL
            )
        )
        SELECT
            members.user_id AS user_id,
            email,
            scope,
            project_id,
            role,
            role IS NOT NULL AS role_known,
            joined_at,
            from_before,
            last_change_at,
            event_ids
        FROM members LEFT JOIN people ON people.user_id = members.user_id
        ORDER BY scope, project_id ASC NULLS FIRST, email ASC NULLS LAST, members.user_id
    """


def _checked(answer: pa.Table, values: Mapping[str, Any]) -> pa.Table:
    before, after = values["before"], values["after"]
    if before is not None and after is not None and after < before:
        raise ParameterError(
            f"before is {before} and after is {after}: give the earlier moment as before.", report=None
        )
    return answer


@report(
    columns=(
        _USER_ID,
        _EMAIL,
        _SCOPE,
        _PROJECT_ID,
        ReportColumn("change", "text", "joined, left or role changed."),
        ReportColumn("role_before", "text", "The role at the earlier moment; null if not a member or unknown."),
        ReportColumn("role_after", "text", "The role at the later moment; null if not a member or unknown."),
        ReportColumn("effective_at", "instant", "When the user joined, or the last of the events took effect, in UTC."),
        ReportColumn("actor", "text", "Who caused that event; null if it names nobody."),
        EVENT_IDS,
    ),
    plot=Points(at="effective_at", label="change"),
    controls=(*_CONTROLS, "NIST SP 800-53 r5 AC-2"),
    relations=(*MEMBERS, PEOPLE),
    finish=_checked,
)
def access_diff(*, before: Moment = None, after: Moment = None) -> str:
    """Who joined, who left and whose role changed between two dates?

    One row for each membership that is not the same at the two moments, as members_as_of tells it; what happened at
    a moment itself has happened by then. Who joined and left in between leaves no difference. A role that was unknown
    and was then told is a changed role with a null role_before. The events are all those about the membership after
    the one moment and up to the other. The limits and assumptions are those of members_as_of.

    Args:
        before: The earlier moment; None for just before the first event.
        after: The later moment; None for that of the newest event.
    """
    return """
        WITH moments AS (
            SELECT
                coalesce(CAST($before AS TIMESTAMPTZ), min(effective_at) - INTERVAL 1 SECOND) AS at_first,
                coalesce(CAST($after AS TIMESTAMPTZ), max(effective_at)) AS at_last
            FROM events
        ),
        facts AS (
            SELECT
                memberships.*,
                effective_at <= at_first AS early,
                effective_at <= at_last AS past,
                row_number() OVER so_far AS nth,
                sum(CASE WHEN effect = 'revoke' THEN 1 ELSE 0 END) OVER so_far AS stint
            FROM memberships CROSS JOIN moments
            WINDOW so_far AS (PARTITION BY scope, user_id, project_id ORDER BY effective_at, id)
        ),
        placed AS (
            SELECT
                *,
                coalesce(max(CASE WHEN early THEN stint END) OVER one, 0) AS early_stint,
                coalesce(max(CASE WHEN past THEN stint END) OVER one, 0) AS past_stint
            FROM facts
            WINDOW one AS (PARTITION BY scope, user_id, project_id)
        ),
        held AS (
            SELECT
                *,
                early AND effect <> 'revoke' AND stint = early_stint AS held_early,
                past AND effect <> 'revoke' AND stint = past_stint AS held_past,
                past AND NOT early AS between_them
            FROM placed
        ),
        states AS (
            SELECT
                scope,
                user_id,
                project_id,
                bool_or(held_early) OR (bool_or(nth = 1 AND effect <> 'grant') AND max(early_stint) = 0) AS was,
                bool_or(held_past) OR (bool_or(nth = 1 AND effect <> 'grant') AND max(past_stint) = 0) AS is_now,
                max_by(role, nth) FILTER (WHERE held_early AND role IS NOT NULL) AS role_before,
                max_by(role, nth) FILTER (WHERE held_past AND role IS NOT NULL) AS role_after,
                min(nth) FILTER (WHERE between_them AND held_past) AS first_held,
                max(nth) FILTER (WHERE between_them) AS last_nth,
                list(id ORDER BY effective_at, id) FILTER (WHERE between_them) AS event_ids
            FROM held
            GROUP BY scope, user_id, project_id
        )
        SELECT
            states.user_id AS user_id,
            email,
            states.scope AS scope,
            states.project_id AS project_id,
            CASE WHEN NOT was THEN 'joined' WHEN NOT is_now THEN 'left' ELSE 'role changed' END AS change,
            role_before,
            role_after,
            effective_at,
            actor,
            event_ids
        FROM states
        JOIN facts ON facts.scope = states.scope
            AND facts.user_id = states.user_id
            AND facts.project_id IS NOT DISTINCT FROM states.project_id
            AND nth = CASE WHEN was THEN last_nth ELSE first_held END
        LEFT JOIN people ON people.user_id = states.user_id
        WHERE was <> is_now OR (was AND role_before IS DISTINCT FROM role_after)
        ORDER BY effective_at, states.user_id, states.scope, states.project_id ASC NULLS FIRST
    """
