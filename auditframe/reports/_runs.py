"""The relations of runs: when nobody got in, what no outage explains, and which failures follow one another."""

from __future__ import annotations

import pyarrow as pa

from auditframe.reports._relations import Relation
from auditframe.reports._signins import SIGN_INS

_INSTANT = pa.timestamp("us", tz="UTC")

_OUTAGES = Relation(
    "outages",
    {"starts_s": pa.int64(), "ends_s": pa.int64(), "present": pa.int64(), "shut_out": pa.int64()},
    "A time in which many accounts tried to sign in from familiar addresses, and how many of them did not get in.",
    sql="""
        WITH grids AS (SELECT * FROM (VALUES (600, 0), (3600, 0), (3600, 1800)) AS given(length_s, shift_s)),
        sightings AS (
            SELECT
                actor,
                at_s,
                entered,
                (at_s + shift_s) // length_s * length_s - shift_s AS starts_s,
                (at_s + shift_s) // length_s * length_s - shift_s + length_s AS ends_s
            FROM (
                SELECT actor, at_s, 0 AS entered
                FROM failures
                WHERE actor IS NOT NULL AND ip_address IS NOT NULL AND strangeness = 0
                UNION ALL
                SELECT actor, at_s, 1 FROM entries
            ) AS steps
            CROSS JOIN grids
        ),
        shut AS (
            SELECT starts_s, ends_s, count(*) AS shut_out
            FROM (
                SELECT starts_s, ends_s
                FROM sightings
                GROUP BY starts_s, ends_s, actor
                HAVING max(2 * at_s + entered) % 2 = 0
            ) AS accounts
            GROUP BY starts_s, ends_s
            HAVING count(*) >= 10
        ),
        logins AS (
            SELECT
                coalesce(actor_email, actor_id, actor_api_key_id) AS actor,
                (CAST(floor(epoch(effective_at)) AS BIGINT) + shift_s) // length_s * length_s - shift_s AS starts_s,
                (CAST(floor(epoch(effective_at)) AS BIGINT) + shift_s) // length_s * length_s - shift_s + length_s
                    AS ends_s
            FROM events JOIN catalogue ON catalogue.type = events.type CROSS JOIN grids
            WHERE effect = 'login'
                AND CAST(floor(epoch(effective_at)) AS BIGINT) // 3600 IN (
                    SELECT starts_s // 3600 FROM shut
                    UNION
                    SELECT (ends_s - 1) // 3600 FROM shut
                )
        ),
        others AS (
            SELECT logins.starts_s AS starts_s, logins.ends_s AS ends_s, count(DISTINCT actor) AS entered
            FROM logins JOIN shut ON shut.starts_s = logins.starts_s AND shut.ends_s = logins.ends_s
            GROUP BY logins.starts_s, logins.ends_s
        )
        SELECT shut.starts_s AS starts_s, shut.ends_s AS ends_s, shut_out + coalesce(entered, 0) AS present, shut_out
        FROM shut LEFT JOIN others ON others.starts_s = shut.starts_s AND others.ends_s = shut.ends_s
        WHERE 10 * shut_out >= 3 * (shut_out + coalesce(entered, 0))
    """,
)

_EXPLAINED = Relation(
    "explained",
    {
        "starts_s": pa.int64(),
        "ends_s": pa.int64(),
        "id": pa.string(),
        "effective_at": _INSTANT,
        "actor": pa.string(),
        "ip_address": pa.string(),
    },
    "A failure from a familiar address within an outage.",
    sql="""
        SELECT starts_s, ends_s, id, effective_at, actor, ip_address
        FROM failures JOIN outages ON at_s >= starts_s AND at_s < ends_s
        WHERE actor IS NOT NULL AND ip_address IS NOT NULL AND strangeness = 0
    """,
)

_TRIES = Relation(
    "tries",
    {
        "id": pa.string(),
        "effective_at": _INSTANT,
        "at_s": pa.int64(),
        "actor": pa.string(),
        "ip_address": pa.string(),
        "is_new": pa.bool_(),
        "is_open": pa.bool_(),
        "strangeness": pa.int32(),
        "run": pa.int64(),
        "begins": pa.int32(),
        "is_quick": pa.int32(),
        "leads_in": pa.int32(),
    },
    "A failure of an account that no outage explains, and its run: failures at most 30 minutes apart with no login "
    "between them.",
    sql="""
        WITH steps AS (
            SELECT id, effective_at, at_s, actor, ip_address, is_new, enters_s, strangeness, false AS entered
            FROM failures
            WHERE actor IS NOT NULL AND id NOT IN (SELECT id FROM explained)
            UNION ALL
            SELECT id, effective_at, at_s, actor, ip_address, NULL, NULL, NULL, true FROM entries
        ),
        turns AS (
            SELECT
                *,
                lag(entered) OVER turns AS entered_before,
                lag(at_s) OVER turns AS before_s,
                lead(entered) OVER turns AS enters_next,
                lead(at_s) OVER turns AS next_s,
                lead(ip_address) OVER turns AS next_address
            FROM steps
            WINDOW turns AS (PARTITION BY actor ORDER BY effective_at, id)
        ),
        begun AS (
            SELECT
                *,
                CASE WHEN NOT entered_before AND at_s - before_s <= 1800 THEN 0 ELSE 1 END AS begins,
                CASE WHEN NOT entered_before AND at_s - before_s <= 3 THEN 1 ELSE 0 END AS is_quick,
                CASE WHEN enters_next AND next_s - at_s <= 1800 AND next_address = ip_address THEN 1 ELSE 0 END
                    AS leads_in
            FROM turns
            WHERE NOT entered
        )
        SELECT
            id,
            effective_at,
            at_s,
            actor,
            ip_address,
            is_new,
            coalesce(enters_s - at_s > 3600, true) AS is_open,
            strangeness,
            CAST(
                sum(begins) OVER (
                    PARTITION BY actor ORDER BY effective_at, id ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
                ) AS BIGINT
            ) AS run,
            begins,
            is_quick,
            leads_in
        FROM begun
    """,
)

_RUNS = Relation(
    "runs",
    {
        "actor": pa.string(),
        "run": pa.int64(),
        "starts_s": pa.int64(),
        "ends_s": pa.int64(),
        "failures": pa.int64(),
        "quick": pa.int64(),
        "strangeness": pa.int32(),
        "strange": pa.int64(),
        "leads_in": pa.int32(),
    },
    "A run of failures: how long it is, how many follow the one before within three seconds, and how strange they are.",
    sql="""
        SELECT
            actor,
            run,
            min(at_s) AS starts_s,
            max(at_s) AS ends_s,
            count(*) AS failures,
            CAST(sum(is_quick) AS BIGINT) AS quick,
            min(strangeness) AS strangeness,
            count(CASE WHEN strangeness > 0 THEN 1 END) AS strange,
            max(leads_in) AS leads_in
        FROM tries
        GROUP BY actor, run
    """,
)

RUNS = (*SIGN_INS, _OUTAGES, _EXPLAINED, _TRIES, _RUNS)
"""The relations, each asked after those that it names."""
