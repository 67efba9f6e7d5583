"""Attacks on accounts: passwords tried from one address on many, or from many addresses on one."""

from __future__ import annotations

from auditframe.reports._base import check
from auditframe.reports._bursts import (
    ATTEMPTS_FROM_AN_ADDRESS,
    ATTEMPTS_ON_AN_ACCOUNT,
    BURSTS,
    FIRST_LOGINS,
)
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
    relations=(ATTEMPTS_FROM_AN_ADDRESS, FIRST_LOGINS, BURSTS),
)
def password_spray(*, min_accounts: int = 10, window_minutes: int = 60) -> str:
    """From which address were passwords tried on many accounts?

    One row an attack: failed attempts from one address on many accounts within the window; windows that overlap are one
    attack. A rule that counts failures per account misses it, since each account sees few. An attempt that names no
    known account is one more try and no account; attempts that name no address cannot be put together and are left
    out. People behind a shared address mistype, too: an account that had signed in from the address before does not
    count, and when half of the accounts or more sign in from there afterwards, at whatever time, it is no attack. What
    followed from it are the first logins from the address, of any account, from the first failure until one window
    after the last; the account need not be among those on which an attempt failed. Accounts are compared by e-mail
    address in lower case, else by id, else by API key: so a key without an owner is an account, too.

    Args:
        min_accounts: How many different accounts inside a window make it an attack [actors].
        window_minutes: How long a window is; two failures this far apart do not share one [minutes].
    """
    return """
        WITH attacks AS (
            SELECT
                common AS ip_address,
                min({'at': effective_at, 'id': id}) AS first_try,
                arg_min(id, {'at': effective_at, 'id': id}) AS first_id,
                min(effective_at) AS starts_at,
                max(effective_at) AS ends_at,
                min(at_us) AS starts_us,
                max(at_us) AS ends_us,
                count(DISTINCT varied) AS accounts,
                count(*) AS failures,
                count(*) - count(varied) AS unknown_failures,
                list(id ORDER BY effective_at, id) AS failure_ids
            FROM bursts
            GROUP BY common, nth
            HAVING 2 * count(DISTINCT CASE WHEN returns THEN varied END) < count(DISTINCT varied)
        ),
        successes AS (
            SELECT first_id, list(login.id ORDER BY login) AS success_ids
            FROM attacks JOIN first_logins ON common = ip_address
            WHERE login > first_try
                AND round(epoch(login.at) * 1000000) < ends_us + 60000000 * CAST($window_minutes AS BIGINT)
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
                || ' within ' || ((ends_us - starts_us) // 60000000 + 1) || ' min'
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
    relations=(ATTEMPTS_ON_AN_ACCOUNT, FIRST_LOGINS, BURSTS),
)
def credential_stuffing(*, min_addresses: int = 10, window_minutes: int = 60) -> str:
    """On which account were passwords tried from many addresses?

    One row an attack: failed attempts on one account from many addresses within the window; windows that overlap are
    one attack. A rule that counts failures per address misses it, since each address is used once or twice. A phone
    that wanders through three networks is none. An address that the account had signed in from before the attempt does
    not count, an attempt without an address is one more try and no address, and attempts that name no account are not
    put together. What followed from it are first logins of the account from an address, from the first failure until
    one window after the last, where the account had never signed in from the network before the attack either, or
    where the event does not tell the network; near the start of the source every place is new, so read a success there
    with care. Accounts are compared by e-mail address in lower case, else by id, else by API key: so a key without an
    owner is an account, too.

    Args:
        min_addresses: How many different addresses inside a window make it an attack [addresses].
        window_minutes: How long a window is; two failures this far apart do not share one [minutes].
    """
    return """
        WITH attacks AS (
            SELECT
                common AS actor,
                min({'at': effective_at, 'id': id}) AS first_try,
                arg_min(id, {'at': effective_at, 'id': id}) AS first_id,
                min(effective_at) AS starts_at,
                max(effective_at) AS ends_at,
                min(at_us) AS starts_us,
                max(at_us) AS ends_us,
                count(DISTINCT varied) AS addresses,
                count(*) AS failures,
                count(*) - count(varied) AS unplaced_failures,
                list(id ORDER BY effective_at, id) AS failure_ids
            FROM bursts
            GROUP BY common, nth
        ),
        networks AS (
            SELECT common AS actor, ip_asn, min({'at': effective_at, 'id': id}) AS first_there
            FROM attempts
            WHERE effect = 'login' AND ip_asn IS NOT NULL
            GROUP BY common, ip_asn
        ),
        successes AS (
            SELECT first_id, list(login.id ORDER BY login) AS success_ids
            FROM attacks
            JOIN first_logins ON common = attacks.actor
            LEFT JOIN networks ON networks.actor = attacks.actor AND networks.ip_asn = first_logins.ip_asn
            WHERE login > first_try
                AND coalesce(first_there > first_try, true)
                AND round(epoch(login.at) * 1000000) < ends_us + 60000000 * CAST($window_minutes AS BIGINT)
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
                || ' addresses within ' || ((ends_us - starts_us) // 60000000 + 1) || ' min'
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
