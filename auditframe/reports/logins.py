"""Signing in: who could not, and what came of it."""

from __future__ import annotations

from auditframe.reports._base import report
from auditframe.reports._columns import ReportColumn
from auditframe.reports._specs import Bars


@report(
    columns=(
        ReportColumn("actor", "text", "Who failed: e-mail address, else id, else API key; null if nobody is named."),
        ReportColumn("ip_address", "text", "The address that the attempts came from; null if the events name none."),
        ReportColumn("failures", "integer", "How many attempts failed.", "events"),
        ReportColumn("first_at", "instant", "When the first attempt failed, in UTC."),
        ReportColumn("last_at", "instant", "When the last attempt failed, in UTC."),
        ReportColumn("error_codes", "texts", "The different reasons given, sorted; empty if none was."),
        ReportColumn("succeeded", "flag", "Whether the actor signed in after the last failure; null without an actor."),
        ReportColumn("next_success_at", "instant", "When the actor first did so, in UTC; null if never."),
        ReportColumn("next_success_id", "text", "Id of that event; null if never."),
        ReportColumn("event_ids", "texts", "Ids of the failures, in time order."),
    ),
    plot=Bars(
        label=("actor", "ip_address"),
        value="failures",
        flag="succeeded",
        flag_meanings=("signed in afterwards", "did not sign in afterwards"),
    ),
    controls=("SOC 2 CC6.1", "ISO/IEC 27001:2022 A.8.5", "NIST SP 800-53 r5 AC-7"),
)
def login_failures(*, min_failures: int = 1) -> str:
    """Who failed to sign in, from where, and did it work later?

    One row for each pair of actor and IP address, the most failures first. The success that followed may have come
    from any address. Events of the same second stand in the order of their ids, which is fixed but arbitrary. A
    failure that names no actor, or no address, falls into a group of its own kind; without an actor nobody can say
    whether a success followed, so that stays null.

    Args:
        min_failures: Leave out pairs with fewer failures [events].
    """
    return """
        WITH attempts AS (
            SELECT
                events.id AS id,
                effective_at,
                coalesce(actor_email, actor_id, actor_api_key_id) AS actor,
                ip_address,
                detail_error_code,
                effect
            FROM events JOIN catalogue ON catalogue.type = events.type
            WHERE effect IN ('login', 'login_failed')
        ),
        followed AS (
            SELECT
                *,
                first_value(CASE WHEN effect = 'login' THEN effective_at END IGNORE NULLS) OVER later AS success_at,
                first_value(CASE WHEN effect = 'login' THEN id END IGNORE NULLS) OVER later AS success_id
            FROM attempts
            WINDOW later AS (
                PARTITION BY actor ORDER BY effective_at, id ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING
            )
        ),
        failed AS (
            SELECT
                *,
                row_number() OVER (PARTITION BY actor, ip_address ORDER BY effective_at DESC, id DESC) AS nth_last
            FROM followed
            WHERE effect = 'login_failed'
        )
        SELECT
            actor,
            ip_address,
            count(*) AS failures,
            min(effective_at) AS first_at,
            max(effective_at) AS last_at,
            coalesce(
                array_sort(array_agg(DISTINCT detail_error_code) FILTER (WHERE detail_error_code IS NOT NULL)),
                CAST([] AS VARCHAR[])
            ) AS error_codes,
            CASE WHEN actor IS NOT NULL THEN max(CASE WHEN nth_last = 1 THEN success_id END) IS NOT NULL END
                AS succeeded,
            CASE WHEN actor IS NOT NULL THEN max(CASE WHEN nth_last = 1 THEN success_at END) END AS next_success_at,
            CASE WHEN actor IS NOT NULL THEN max(CASE WHEN nth_last = 1 THEN success_id END) END AS next_success_id,
            list(id ORDER BY effective_at, id) AS event_ids
        FROM failed
        GROUP BY actor, ip_address
        HAVING count(*) >= $min_failures
        ORDER BY count(*) DESC, actor ASC NULLS LAST, ip_address ASC NULLS LAST
    """
