"""The relations of runs: when nobody got in, what no outage explains, and which failures follow one another."""

from __future__ import annotations

import pyarrow as pa

from auditframe.reports._relations import Relation
from auditframe.reports._signins import SIGN_INS

_OUTAGES = Relation(
    "outages",
    {"starts_s": pa.int64(), "ends_s": pa.int64(), "present": pa.int64(), "shut_out": pa.int64()},
    "A time in which many accounts tried to sign in from familiar addresses, and how many of them did not get in.",
    sql="""
        WITH grids AS (SELECT * FROM (VALUES (1, 0), (6, 0), (6, 3)) AS given(tens, shift)),
        lasts AS (
            SELECT account, at_s // 600 AS ten, max(2 * at_s + entered) AS last
            FROM (
                SELECT account, at_s, 0 AS entered
                FROM judged
                WHERE NOT entered AND account IS NOT NULL AND place IS NOT NULL AND strangeness = 0
                UNION ALL
                SELECT account, CAST(floor(epoch(effective_at)) AS BIGINT), 1
                FROM steps JOIN haunts ON haunts.haunt = steps.haunt
                WHERE entered
            ) AS tried
            GROUP BY account, at_s // 600
        ),
        shut AS (
            SELECT starts, ends, count(*) AS shut_out
            FROM (
                SELECT
                    (ten + shift) // tens * tens - shift AS starts,
                    (ten + shift) // tens * tens - shift + tens AS ends
                FROM lasts CROSS JOIN grids
                GROUP BY (ten + shift) // tens * tens - shift, tens, account
                HAVING max(last) % 2 = 0
            ) AS accounts
            GROUP BY starts, ends
            HAVING count(*) >= 10
        ),
        logins AS (
            SELECT
                account,
                (ten + shift) // tens * tens - shift AS starts,
                (ten + shift) // tens * tens - shift + tens AS ends
            FROM visits CROSS JOIN grids
            WHERE entered AND ten // 6 IN (SELECT starts // 6 FROM shut UNION SELECT (ends - 1) // 6 FROM shut)
        ),
        others AS (
            SELECT logins.starts AS starts, logins.ends AS ends, count(DISTINCT account) AS entered
            FROM logins JOIN shut ON shut.starts = logins.starts AND shut.ends = logins.ends
            GROUP BY logins.starts, logins.ends
        )
        SELECT
            600 * shut.starts AS starts_s,
            600 * shut.ends AS ends_s,
            shut_out + coalesce(entered, 0) AS present,
            shut_out
        FROM shut LEFT JOIN others ON others.starts = shut.starts AND others.ends = shut.ends
        WHERE 10 * shut_out >= 3 * (shut_out + coalesce(entered, 0))
    """,
)

_EXPLAINED = Relation(
    "explained",
    {
        "starts_s": pa.int64(),
        "ends_s": pa.int64(),
        "step": pa.int32(),
        "account": pa.int32(),
        "place": pa.int32(),
    },
    "A failure from a familiar address within an outage.",
    sql="""
        SELECT starts_s, ends_s, step, account, place
        FROM judged JOIN outages ON at_s >= starts_s AND at_s < ends_s
        WHERE NOT entered AND account IS NOT NULL AND place IS NOT NULL AND strangeness = 0
    """,
)

_TRIES = Relation(
    "tries",
    {
        "step": pa.int32(),
        "at_s": pa.int64(),
        "account": pa.int32(),
        "place": pa.int32(),
        "is_new": pa.bool_(),
        "is_open": pa.bool_(),
        "strangeness": pa.int32(),
        "run": pa.int32(),
        "begins": pa.int32(),
        "is_quick": pa.int32(),
        "leads_in": pa.int32(),
    },
    "A failure of an account that no outage explains, and its run: failures at most 30 minutes apart with no login "
    "between them.",
    sql="""
        WITH told AS (
            SELECT step, at_s, account, place, is_new, enters_s, strangeness, false AS entered
            FROM judged
            WHERE NOT entered AND account IS NOT NULL AND step NOT IN (SELECT step FROM explained)
            UNION ALL
            SELECT step, CAST(floor(epoch(effective_at)) AS BIGINT), account, place, NULL, NULL, NULL, true
            FROM steps JOIN haunts ON haunts.haunt = steps.haunt
            WHERE entered
        ),
        turns AS (
            SELECT
                *,
                lag(entered) OVER turns AS entered_before,
                lag(at_s) OVER turns AS before_s,
                lead(entered) OVER turns AS enters_next,
                lead(at_s) OVER turns AS next_s,
                lead(place) OVER turns AS next_place
            FROM told
            WINDOW turns AS (PARTITION BY account ORDER BY step)
        ),
        begun AS (
            SELECT
                *,
                CASE WHEN NOT entered_before AND at_s - before_s <= 1800 THEN 0 ELSE 1 END AS begins,
                CASE WHEN NOT entered_before AND at_s - before_s <= 3 THEN 1 ELSE 0 END AS is_quick,
                CASE WHEN enters_next AND next_s - at_s <= 1800 AND next_place = place THEN 1 ELSE 0 END AS leads_in
            FROM turns
            WHERE NOT entered
        )
        SELECT
            step,
            at_s,
            account,
            place,
            is_new,
            coalesce(enters_s - at_s > 3600, true) AS is_open,
            strangeness,
            CAST(
                sum(begins) OVER (
                    PARTITION BY account ORDER BY step ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
                ) AS INTEGER
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
        "account": pa.int32(),
        "run": pa.int32(),
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
            account,
            run,
            min(at_s) AS starts_s,
            max(at_s) AS ends_s,
            count(*) AS failures,
            CAST(sum(is_quick) AS BIGINT) AS quick,
            min(strangeness) AS strangeness,
            count(CASE WHEN strangeness > 0 THEN 1 END) AS strange,
            max(leads_in) AS leads_in
        FROM tries
        GROUP BY account, run
    """,
)

RUNS = (*SIGN_INS, _OUTAGES, _EXPLAINED, _TRIES, _RUNS)
"""The relations, each asked after those that it names."""
