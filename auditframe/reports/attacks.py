"""Attacks on accounts: passwords tried from one address on many, or from many addresses on one."""

from __future__ import annotations

from auditframe.reports._base import check
from auditframe.reports._columns import ReportColumn
from auditframe.reports._specs import Spans

_ENDS_AT = ReportColumn("ends_at", "instant", "When the last of the attempts failed, in UTC.")
_FAILURES = ReportColumn("failures", "integer", "How many attempts failed.", "events")
_SUCCEEDED = ReportColumn("succeeded", "flag", "Whether a login followed from it.")
_SUCCESS_IDS = ReportColumn("success_ids", "texts", "Ids of these logins, in time order; empty if none followed.")


@check(
    severity="high",
    columns=(
        ReportColumn("ip_address", "text", "The address that the attempts came from."),
        _ENDS_AT,
        ReportColumn("accounts", "integer", "How many known accounts were tried.", "actors"),
        _FAILURES,
        ReportColumn("unknown_failures", "integer", "How many of them named no known account.", "events"),
        _SUCCEEDED,
        _SUCCESS_IDS,
    ),
    plot=Spans(
        label=("ip_address",), start="effective_at", end="ends_at", meaning="from the first to the last failed attempt"
    ),
    controls=("SOC 2 CC6.1", "SOC 2 CC7.2", "ISO/IEC 27001:2022 A.8.16", "NIST SP 800-53 r5 AC-7"),
)
def password_spray(*, min_accounts: int = 10, window_minutes: int = 60) -> str:
    """From which address were passwords tried on many accounts?

    One row an attack: failed attempts from one address on many accounts within the window; windows that overlap are one
    attack. A rule that counts failures per account misses it, since each account sees few. An attempt that names no
    known account is one more try and no account; attempts that name no address cannot be put together and are left
    out. People behind a shared address mistype, too: an account that had signed in from the address before does not
    count, and when half of the accounts or more sign in from there afterwards, at whatever time, it is no attack. What
    followed from it are the first logins from the address, of any account, from the first failure until one window
    after the last; the account need not be among those on which an attempt failed.

    Args:
        min_accounts: How many different accounts inside a window make it an attack [actors].
        window_minutes: How long a window is; two failures this far apart do not share one [minutes].
    """
    return """
        WITH failures AS (
            SELECT
                events.id AS id,
                effective_at,
                CAST(epoch(effective_at) AS BIGINT) AS at_s,
                coalesce(actor_email, actor_id, actor_api_key_id) AS actor,
                ip_address
            FROM events JOIN catalogue ON catalogue.type = events.type
            WHERE effect = 'login_failed' AND ip_address IS NOT NULL
        ),
        crowds AS (
            SELECT
                ip_address,
                count(*) OVER (
                    PARTITION BY ip_address ORDER BY at_s RANGE BETWEEN 60 * $window_minutes PRECEDING AND CURRENT ROW
                ) AS failures
            FROM failures
        ),
        busy AS (SELECT DISTINCT ip_address FROM crowds WHERE failures >= $min_accounts),
        homes AS (
            SELECT
                coalesce(actor_email, actor_id, actor_api_key_id) AS actor,
                busy.ip_address AS ip_address,
                min({'at': effective_at, 'id': events.id}) AS first_login
            FROM events
            JOIN catalogue ON catalogue.type = events.type
            JOIN busy ON busy.ip_address = events.ip_address
            WHERE effect = 'login' AND coalesce(actor_email, actor_id, actor_api_key_id) IS NOT NULL
            GROUP BY coalesce(actor_email, actor_id, actor_api_key_id), busy.ip_address
        ),
        tries AS (
            SELECT
                failures.*,
                first_login IS NOT NULL AS resident,
                CASE WHEN failures.actor IS NOT NULL THEN lead(at_s) OVER (
                    PARTITION BY failures.ip_address, failures.actor ORDER BY effective_at, failures.id
                ) END AS again_s
            FROM failures
            JOIN busy USING (ip_address)
            LEFT JOIN homes ON homes.actor = failures.actor AND homes.ip_address = failures.ip_address
            WHERE NOT coalesce(first_login < {'at': effective_at, 'id': failures.id}, false)
        ),
        steps AS (
            SELECT *, CASE WHEN actor IS NULL THEN 0 ELSE 1 END AS step, at_s AS step_s FROM tries
            UNION ALL
            SELECT *, -1, least(at_s + 60 * $window_minutes, coalesce(again_s, at_s + 60 * $window_minutes))
            FROM tries
            WHERE actor IS NOT NULL
        ),
        counted AS (
            SELECT
                *,
                sum(step) OVER (
                    PARTITION BY ip_address ORDER BY step_s, step, id ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
                ) AS accounts
            FROM steps
        ),
        looked_ahead AS (
            SELECT
                *,
                min(CASE WHEN accounts >= $min_accounts THEN at_s END) OVER (
                    PARTITION BY ip_address ORDER BY at_s RANGE BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING
                ) AS full_s
            FROM counted
            WHERE step >= 0
        ),
        parts AS (
            SELECT *, lag(at_s) OVER (PARTITION BY ip_address ORDER BY effective_at, id) AS before_s
            FROM looked_ahead
            WHERE full_s - at_s < 60 * $window_minutes
        ),
        numbered AS (
            SELECT
                *,
                count(CASE WHEN before_s IS NULL OR full_s - before_s >= 60 * $window_minutes THEN 1 END) OVER (
                    PARTITION BY ip_address ORDER BY effective_at, id ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
                ) AS nth
            FROM parts
        ),
        attacks AS (
            SELECT
                ip_address,
                nth,
                min({'at': effective_at, 'id': id}) AS first_try,
                arg_min(id, {'at': effective_at, 'id': id}) AS first_id,
                min(effective_at) AS starts_at,
                max(effective_at) AS ends_at,
                min(at_s) AS starts_s,
                max(at_s) AS ends_s,
                count(DISTINCT actor) AS accounts,
                count(*) AS failures,
                count(*) - count(actor) AS unknown_failures,
                list(id ORDER BY effective_at, id) AS failure_ids
            FROM numbered
            GROUP BY ip_address, nth
            HAVING 2 * count(DISTINCT CASE WHEN resident THEN actor END) < count(DISTINCT actor)
        ),
        successes AS (
            SELECT first_id, list(first_login.id ORDER BY first_login) AS success_ids
            FROM attacks JOIN homes USING (ip_address)
            WHERE first_login > first_try
                AND CAST(epoch(first_login.at) AS BIGINT) < ends_s + 60 * $window_minutes
            GROUP BY first_id
        )
        SELECT
            'password_spray:' || attacks.first_id AS finding,
            'high' AS severity,
            starts_at AS effective_at,
            CAST(NULL AS VARCHAR) AS actor,
            CAST(NULL AS VARCHAR) AS resource_id,
            failure_ids AS event_ids,
            'From ' || ip_address || ', ' || (failures - unknown_failures) || ' attempts to sign in failed on '
                || accounts || ' accounts'
                || CASE WHEN unknown_failures > 0 THEN ' and ' || unknown_failures || ' on unknown ones' ELSE '' END
                || ' within ' || ((ends_s - starts_s) // 60 + 1) || ' min'
                || CASE coalesce(cardinality(success_ids), 0)
                    WHEN 0 THEN '; no account signed in from there then.'
                    WHEN 1 THEN '; an account signed in from there then.'
                    ELSE '; ' || cardinality(success_ids) || ' accounts signed in from there then.'
                END AS why,
            ip_address,
            ends_at,
            accounts,
            failures,
            unknown_failures,
            success_ids IS NOT NULL AS succeeded,
            coalesce(success_ids, CAST([] AS VARCHAR[])) AS success_ids
        FROM attacks LEFT JOIN successes ON successes.first_id = attacks.first_id
        ORDER BY starts_at, finding
    """


@check(
    severity="high",
    columns=(
        _ENDS_AT,
        ReportColumn("addresses", "integer", "How many addresses the attempts came from.", "addresses"),
        _FAILURES,
        ReportColumn("unplaced_failures", "integer", "How many of them named no address.", "events"),
        _SUCCEEDED,
        _SUCCESS_IDS,
    ),
    plot=Spans(
        label=("actor",), start="effective_at", end="ends_at", meaning="from the first to the last failed attempt"
    ),
    controls=("SOC 2 CC6.1", "SOC 2 CC7.2", "ISO/IEC 27001:2022 A.8.16", "NIST SP 800-53 r5 AC-7"),
)
def credential_stuffing(*, min_addresses: int = 10, window_minutes: int = 60) -> str:
    """On which account were passwords tried from many addresses?

    One row an attack: failed attempts on one account from many addresses within the window; windows that overlap are
    one attack. A rule that counts failures per address misses it, since each address is used once or twice. A phone
    that wanders through three networks is none. An address that the account had signed in from before the attempt does
    not count, an attempt without an address is one more try and no address, and attempts that name no account are not
    put together. What followed from it are first logins of the account from an address, from the first failure until
    one window after the last, where the account had never signed in from the network before the attack either; near
    the start of the source every place is new, so read a success there with care.

    Args:
        min_addresses: How many different addresses inside a window make it an attack [addresses].
        window_minutes: How long a window is; two failures this far apart do not share one [minutes].
    """
    return """
        WITH failures AS (
            SELECT
                events.id AS id,
                effective_at,
                CAST(epoch(effective_at) AS BIGINT) AS at_s,
                coalesce(actor_email, actor_id, actor_api_key_id) AS actor,
                ip_address
            FROM events JOIN catalogue ON catalogue.type = events.type
            WHERE effect = 'login_failed' AND coalesce(actor_email, actor_id, actor_api_key_id) IS NOT NULL
        ),
        crowds AS (
            SELECT
                actor,
                count(*) OVER (
                    PARTITION BY actor ORDER BY at_s RANGE BETWEEN 60 * $window_minutes PRECEDING AND CURRENT ROW
                ) AS failures
            FROM failures
        ),
        wanted AS (SELECT DISTINCT actor FROM crowds WHERE failures >= $min_addresses),
        logins AS (
            SELECT wanted.actor AS actor, ip_address, ip_asn, {'at': effective_at, 'id': events.id} AS login
            FROM events
            JOIN catalogue ON catalogue.type = events.type
            JOIN wanted ON wanted.actor = coalesce(actor_email, actor_id, actor_api_key_id)
            WHERE effect = 'login'
        ),
        homes AS (
            SELECT actor, ip_address, min(login) AS first_login, arg_min(ip_asn, login) AS ip_asn
            FROM logins
            WHERE ip_address IS NOT NULL
            GROUP BY actor, ip_address
        ),
        networks AS (
            SELECT actor, ip_asn, min(login) AS first_there FROM logins WHERE ip_asn IS NOT NULL GROUP BY actor, ip_asn
        ),
        tries AS (
            SELECT
                failures.*,
                CASE WHEN failures.ip_address IS NOT NULL THEN lead(at_s) OVER (
                    PARTITION BY failures.actor, failures.ip_address ORDER BY effective_at, failures.id
                ) END AS again_s
            FROM failures
            JOIN wanted USING (actor)
            LEFT JOIN homes ON homes.actor = failures.actor AND homes.ip_address = failures.ip_address
            WHERE NOT coalesce(first_login < {'at': effective_at, 'id': failures.id}, false)
        ),
        steps AS (
            SELECT *, CASE WHEN ip_address IS NULL THEN 0 ELSE 1 END AS step, at_s AS step_s FROM tries
            UNION ALL
            SELECT *, -1, least(at_s + 60 * $window_minutes, coalesce(again_s, at_s + 60 * $window_minutes))
            FROM tries
            WHERE ip_address IS NOT NULL
        ),
        counted AS (
            SELECT
                *,
                sum(step) OVER (
                    PARTITION BY actor ORDER BY step_s, step, id ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
                ) AS addresses
            FROM steps
        ),
        looked_ahead AS (
            SELECT
                *,
                min(CASE WHEN addresses >= $min_addresses THEN at_s END) OVER (
                    PARTITION BY actor ORDER BY at_s RANGE BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING
                ) AS full_s
            FROM counted
            WHERE step >= 0
        ),
        parts AS (
            SELECT *, lag(at_s) OVER (PARTITION BY actor ORDER BY effective_at, id) AS before_s
            FROM looked_ahead
            WHERE full_s - at_s < 60 * $window_minutes
        ),
        numbered AS (
            SELECT
                *,
                count(CASE WHEN before_s IS NULL OR full_s - before_s >= 60 * $window_minutes THEN 1 END) OVER (
                    PARTITION BY actor ORDER BY effective_at, id ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
                ) AS nth
            FROM parts
        ),
        attacks AS (
            SELECT
                actor,
                nth,
                min({'at': effective_at, 'id': id}) AS first_try,
                arg_min(id, {'at': effective_at, 'id': id}) AS first_id,
                min(effective_at) AS starts_at,
                max(effective_at) AS ends_at,
                min(at_s) AS starts_s,
                max(at_s) AS ends_s,
                count(DISTINCT ip_address) AS addresses,
                count(*) AS failures,
                count(*) - count(ip_address) AS unplaced_failures,
                list(id ORDER BY effective_at, id) AS failure_ids
            FROM numbered
            GROUP BY actor, nth
        ),
        successes AS (
            SELECT first_id, list(first_login.id ORDER BY first_login) AS success_ids
            FROM attacks
            JOIN homes USING (actor)
            LEFT JOIN networks ON networks.actor = homes.actor AND networks.ip_asn = homes.ip_asn
            WHERE first_login > first_try
                AND coalesce(first_there > first_try, true)
                AND CAST(epoch(first_login.at) AS BIGINT) < ends_s + 60 * $window_minutes
            GROUP BY first_id
        )
        SELECT
            'credential_stuffing:' || attacks.first_id AS finding,
            'high' AS severity,
            starts_at AS effective_at,
            actor,
            CAST(NULL AS VARCHAR) AS resource_id,
            failure_ids AS event_ids,
            'On the account ' || actor || ', ' || failures || ' attempts to sign in failed from ' || addresses
                || ' addresses within ' || ((ends_s - starts_s) // 60 + 1) || ' min'
                || CASE coalesce(cardinality(success_ids), 0)
                    WHEN 0 THEN '; no login from a place new to it followed.'
                    WHEN 1 THEN '; a login from a place new to it followed.'
                    ELSE '; ' || cardinality(success_ids) || ' logins from places new to it followed.'
                END AS why,
            ends_at,
            addresses,
            failures,
            unplaced_failures,
            success_ids IS NOT NULL AS succeeded,
            coalesce(success_ids, CAST([] AS VARCHAR[])) AS success_ids
        FROM attacks LEFT JOIN successes ON successes.first_id = attacks.first_id
        ORDER BY starts_at, finding
    """
