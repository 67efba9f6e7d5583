"""The relations of attacks on accounts: attempts that have something in common, and which of them make a burst."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from auditframe.reports._relations import Relation

if TYPE_CHECKING:
    from collections.abc import Mapping

_INSTANT = pa.timestamp("us", tz="UTC")
_ATTEMPT_COLUMNS: Mapping[str, pa.DataType] = {
    "id": pa.string(),
    "effective_at": _INSTANT,
    "at_us": pa.int64(),
    "effect": pa.string(),
    "common": pa.string(),
    "varied": pa.string(),
    "ip_asn": pa.string(),
    "enough": pa.int64(),
    "window_us": pa.int64(),
}

# What lies within a window lies within two windows of the clock side by side, so that those who can have enough are
# found by counting, before anything is put into its order in time, and before any id is read.

ATTEMPTS_FROM_AN_ADDRESS = Relation(
    "attempts",
    _ATTEMPT_COLUMNS,
    "A first login, or a failure before it, from an address from which enough accounts may have been tried: common is "
    "the address, varied the account.",
    parameters=("min_accounts",),
    sql="""
        WITH pairs AS (
            SELECT
                coalesce(lower(actor_email), actor_id, actor_api_key_id) AS actor,
                ip_address,
                min(CASE WHEN effect = 'login' THEN effective_at END) AS known_at,
                array_agg(effective_at) FILTER (WHERE effect = 'login_failed') AS failed_at
            FROM events JOIN catalogue ON catalogue.type = events.type
            WHERE effect IN ('login', 'login_failed') AND ip_address IS NOT NULL
            GROUP BY coalesce(lower(actor_email), actor_id, actor_api_key_id), ip_address
        ),
        suspects AS (
            SELECT DISTINCT ip_address
            FROM pairs CROSS JOIN unnest(failed_at) AS listed(one) CROSS JOIN (VALUES (0), (1)) AS either(later)
            WHERE known_at IS NULL OR known_at >= listed.one
            GROUP BY ip_address, floor(epoch(listed.one) / greatest(60 * $window_minutes, 1)) + later
            HAVING count(DISTINCT actor) >= $min_accounts
        ),
        looked AS (
            SELECT actor, pairs.ip_address AS ip_address, CASE WHEN actor IS NOT NULL THEN known_at END AS known_at
            FROM pairs JOIN suspects ON suspects.ip_address = pairs.ip_address
        )
        SELECT
            events.id AS id,
            effective_at,
            CAST(round(epoch(effective_at) * 1000000) AS BIGINT) AS at_us,
            effect,
            events.ip_address AS common,
            coalesce(lower(actor_email), actor_id, actor_api_key_id) AS varied,
            ip_asn,
            $min_accounts AS enough,
            60000000 * CAST($window_minutes AS BIGINT) AS window_us
        FROM events
        JOIN catalogue ON catalogue.type = events.type
        JOIN looked
            ON looked.ip_address = events.ip_address
            AND looked.actor IS NOT DISTINCT FROM coalesce(lower(actor_email), actor_id, actor_api_key_id)
        WHERE (effect = 'login_failed' AND coalesce(effective_at <= known_at, true))
            OR (effect = 'login' AND effective_at = known_at)
    """,
)

ATTEMPTS_ON_AN_ACCOUNT = Relation(
    "attempts",
    _ATTEMPT_COLUMNS,
    "A login or a failure of an account that may have been tried from enough addresses: common is the account, varied "
    "the address.",
    parameters=("min_addresses",),
    sql="""
        WITH failures AS (
            SELECT
                floor(epoch(effective_at) / greatest(60 * $window_minutes, 1)) AS nth,
                coalesce(lower(actor_email), actor_id, actor_api_key_id) AS actor,
                ip_address
            FROM events JOIN catalogue ON catalogue.type = events.type
            WHERE effect = 'login_failed' AND coalesce(actor_email, actor_id, actor_api_key_id) IS NOT NULL
        ),
        suspects AS (
            SELECT DISTINCT actor
            FROM failures CROSS JOIN (VALUES (0), (1)) AS either(later)
            GROUP BY actor, nth + later
            HAVING count(DISTINCT ip_address) >= $min_addresses
        )
        SELECT
            events.id AS id,
            effective_at,
            CAST(round(epoch(effective_at) * 1000000) AS BIGINT) AS at_us,
            effect,
            actor AS common,
            ip_address AS varied,
            ip_asn,
            $min_addresses AS enough,
            60000000 * CAST($window_minutes AS BIGINT) AS window_us
        FROM events
        JOIN catalogue ON catalogue.type = events.type
        JOIN suspects ON actor = coalesce(lower(actor_email), actor_id, actor_api_key_id)
        WHERE effect IN ('login', 'login_failed')
    """,
)

FIRST_LOGINS = Relation(
    "first_logins",
    {
        "common": pa.string(),
        "varied": pa.string(),
        "login": pa.struct([pa.field("at", _INSTANT), pa.field("id", pa.string())]),
        "ip_asn": pa.string(),
    },
    "The first login among the attempts of an account from an address, and its network.",
    sql="""
        SELECT
            common,
            varied,
            min({'at': effective_at, 'id': id}) AS login,
            -- Of texts, for arg_min passes over nulls: it would take the network of a later login.
            nullif(arg_min(coalesce(ip_asn, ''), {'at': effective_at, 'id': id}), '') AS ip_asn
        FROM attempts
        WHERE effect = 'login' AND varied IS NOT NULL
        GROUP BY common, varied
    """,
)

BURSTS = Relation(
    "bursts",
    {
        "id": pa.string(),
        "effective_at": _INSTANT,
        "at_us": pa.int64(),
        "common": pa.string(),
        "nth": pa.int64(),
        "varied": pa.string(),
        "returns": pa.bool_(),
    },
    "A failed attempt of a burst, the nth of what it has in common: somewhere in it, enough varied ones are in one "
    "window. An account that had signed in from the address before is none; one that does so later returns.",
    sql="""
        WITH tries AS (
            SELECT
                attempts.*,
                login IS NOT NULL AS returns,
                CASE WHEN attempts.varied IS NOT NULL THEN lead(at_us) OVER (
                    PARTITION BY attempts.common, attempts.varied ORDER BY effective_at, attempts.id
                ) END AS again_us
            FROM attempts
            LEFT JOIN first_logins
                ON first_logins.common = attempts.common AND first_logins.varied = attempts.varied
            WHERE effect = 'login_failed' AND NOT coalesce(login < {'at': effective_at, 'id': attempts.id}, false)
        ),
        steps AS (
            -- One enters the window with an attempt, and leaves it when the window is over, or with the next attempt.
            SELECT *, CASE WHEN varied IS NULL THEN 0 ELSE 1 END AS step, at_us AS step_us FROM tries
            UNION ALL
            SELECT *, -1, least(at_us + window_us, coalesce(again_us, at_us + window_us))
            FROM tries
            WHERE varied IS NOT NULL
        ),
        counted AS (
            SELECT
                *,
                sum(step) OVER (
                    PARTITION BY common ORDER BY step_us, step, id ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
                ) AS inside
            FROM steps
        ),
        looked_ahead AS (
            SELECT
                *,
                min(CASE WHEN inside >= enough THEN at_us END) OVER (
                    PARTITION BY common ORDER BY at_us RANGE BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING
                ) AS full_us
            FROM counted
            WHERE step >= 0
        ),
        parts AS (
            SELECT *, lag(at_us) OVER (PARTITION BY common ORDER BY effective_at, id) AS before_us
            FROM looked_ahead
            WHERE full_us - at_us < window_us
        )
        SELECT
            id,
            effective_at,
            at_us,
            common,
            count(CASE WHEN before_us IS NULL OR full_us - before_us >= window_us THEN 1 END) OVER (
                PARTITION BY common ORDER BY effective_at, id ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
            ) AS nth,
            varied,
            returns
        FROM parts
    """,
)
