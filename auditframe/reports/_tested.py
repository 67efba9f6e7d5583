"""The relations of what is tested of sign-ins: windows of failures on accounts, at addresses, and runs to look at."""

from __future__ import annotations

import pyarrow as pa

from auditframe.reports._relations import Relation
from auditframe.reports._runs import RUNS

_LIVES = Relation(
    "lives",
    {
        "account": pa.int32(),
        "since_s": pa.float64(),
        "entered_s": pa.float64(),
        "days": pa.float64(),
        "logins": pa.int64(),
        "is_judged": pa.bool_(),
    },
    "Since when an account is known, since when it gets in, how long and how often; and whether it is judged: not if "
    "it fails from the first day on, for a week, and never gets in.",
    sql="""
        SELECT
            account,
            min(since_s) AS since_s,
            min(entered_s) AS entered_s,
            (max(max(until_s)) OVER () - min(since_s)) / 86400 AS days,
            CAST(sum(logins) AS BIGINT) AS logins,
            min(entered_s) IS NOT NULL OR max(failing_days) < 7 OR min(since_s) - min(min(since_s)) OVER () >= 86400
                AS is_judged
        FROM (
            SELECT
                account,
                floor(epoch(first_login_at)) AS since_s,
                floor(epoch(first_login_at)) AS entered_s,
                (SELECT epoch(max(effective_at)) FROM events) AS until_s,
                logins,
                0 AS failing_days
            FROM haunts
            WHERE account IS NOT NULL AND logins > 0
            UNION ALL
            SELECT account, min(at_s), NULL, max(at_s), 0, count(DISTINCT at_s // 86400)
            FROM judged
            WHERE NOT entered AND account IS NOT NULL
            GROUP BY account
        ) AS seen
        GROUP BY account
    """,
)

_MARKS = Relation(
    "marks",
    {
        "pattern": pa.string(),
        "account": pa.int32(),
        "at_s": pa.int64(),
    },
    "A run that begins at a strange address (slow), or a strange address that fails for the first time in a day "
    "(stuffing), unless the account gets in from there within the hour.",
    sql="""
        SELECT 'slow' AS pattern, account, at_s
        FROM tries
        WHERE strangeness > 0 AND is_open AND begins = 1
        UNION ALL
        SELECT 'stuffing', account, at_s
        FROM (
            SELECT account, at_s, lag(at_s) OVER (PARTITION BY account, place ORDER BY at_s) AS before_s
            FROM tries
            WHERE strangeness > 0 AND is_open
        ) AS strange
        WHERE coalesce(at_s - before_s > 86400, true)
    """,
)

_SCANS = Relation(
    "scans",
    {
        "pattern": pa.string(),
        "account": pa.int32(),
        "length_s": pa.int32(),
        "ends_s": pa.int64(),
        "starts_s": pa.int64(),
        "number": pa.int64(),
        "earlier": pa.int64(),
    },
    "How many marks of an account a window that ends at one of them holds, and how many the days before it.",
    sql="""
        WITH lengths AS (
            SELECT * FROM (VALUES
                ('slow', 21600, 86400), ('slow', 21600, 259200), ('slow', 21600, 604800),
                ('stuffing', 3600, 3600), ('stuffing', 3600, 21600), ('stuffing', 3600, 86400)
            ) AS given(pattern, step_s, length_s)
        ),
        ends AS (
            SELECT marks.pattern AS pattern, account, length_s, max(at_s) AS ends_s
            FROM marks JOIN lengths ON lengths.pattern = marks.pattern
            GROUP BY marks.pattern, account, length_s, at_s // step_s
        )
        SELECT
            ends.pattern AS pattern,
            ends.account AS account,
            length_s,
            ends_s,
            min(CASE WHEN at_s > ends_s - length_s THEN at_s END) AS starts_s,
            count(CASE WHEN at_s > ends_s - length_s THEN 1 END) AS number,
            count(CASE WHEN at_s <= ends_s - length_s THEN 1 END) AS earlier
        FROM ends
        JOIN marks
            ON marks.pattern = ends.pattern
            AND marks.account = ends.account
            AND at_s > ends_s - length_s - 86400 * $history_days
            AND at_s <= ends_s
        GROUP BY ends.pattern, ends.account, length_s, ends_s
    """,
)

_KNOCKS = Relation(
    "knocks",
    {
        "place": pa.int32(),
        "account": pa.int32(),
        "at_s": pa.int64(),
    },
    "An account that failed at an address that it never got in from, for the first time in three days, and did not "
    "within the hour.",
    sql="""
        SELECT place, account, at_s
        FROM (
            SELECT
                place,
                account,
                at_s,
                lag(at_s) OVER (PARTITION BY place, account ORDER BY at_s) AS before_s
            FROM tries
            WHERE is_new AND is_open
        ) AS news
        WHERE coalesce(at_s - before_s > 259200, true)
    """,
)

_SPRAYS = Relation(
    "sprays",
    {
        "place": pa.int32(),
        "length_s": pa.int32(),
        "ends_s": pa.int64(),
        "starts_s": pa.int64(),
        "knocks": pa.int64(),
        "actors": pa.int64(),
        "earlier_knocks": pa.int64(),
        "earlier_actors": pa.int64(),
    },
    "How many accounts that are new to an address a window holds, and how many of them knock; and the same of the days "
    "before it.",
    sql="""
        WITH arrivals AS (
            SELECT place, at_s, 1 AS knock FROM knocks
            UNION ALL
            SELECT place, at_s, 0 FROM homes WHERE place IN (SELECT place FROM knocks)
        ),
        looks AS (
            SELECT place, length_s, max(at_s) AS ends_s
            FROM knocks CROSS JOIN (VALUES (3600), (86400), (259200)) AS spans(length_s)
            GROUP BY place, length_s, at_s // 3600
        )
        SELECT
            looks.place AS place,
            length_s,
            ends_s,
            min(CASE WHEN knock = 1 AND at_s > ends_s - length_s THEN at_s END) AS starts_s,
            CAST(sum(CASE WHEN at_s > ends_s - length_s THEN knock END) AS BIGINT) AS knocks,
            count(CASE WHEN at_s > ends_s - length_s THEN 1 END) AS actors,
            CAST(sum(CASE WHEN at_s <= ends_s - length_s THEN knock ELSE 0 END) AS BIGINT) AS earlier_knocks,
            count(CASE WHEN at_s <= ends_s - length_s THEN 1 END) AS earlier_actors
        FROM looks
        JOIN arrivals
            ON arrivals.place = looks.place
            AND at_s > ends_s - length_s - 86400 * $history_days
            AND at_s <= ends_s
        GROUP BY looks.place, length_s, ends_s
        HAVING count(CASE WHEN at_s > ends_s - length_s THEN 1 END) >= 5
    """,
)

_TENS = Relation(
    "tens",
    {
        "ten": pa.int32(),
        "attempts": pa.int64(),
        "logins": pa.int64(),
    },
    "Ten minutes, and how many sign-ins were tried in them and how many succeeded.",
    sql="""
        SELECT ten, count(*) AS attempts, count(*) FILTER (WHERE entered) AS logins FROM visits GROUP BY ten
    """,
)

_MEASURES = Relation(
    "measures",
    {
        "measure": pa.string(),
        "account": pa.int32(),
        "total": pa.float64(),
        "weight": pa.float64(),
    },
    "What an account, an address or an hour tells of what is usual: so much of so many.",
    sql="""
        SELECT
            'runs' AS measure,
            account,
            sum(failures - 1) * least(1, 10 / sum(failures)) AS total,
            least(sum(failures), 10) AS weight
        FROM runs
        WHERE failures <= 8
        GROUP BY account
        UNION ALL
        SELECT
            'quick',
            account,
            sum(quick) * least(1, 10 / nullif(sum(failures - 1), 0)),
            least(sum(failures - 1), 10)
        FROM runs
        WHERE failures <= 8
        GROUP BY account
        UNION ALL
        SELECT 'strange_' || level, lives.account, coalesce(strangers, 0), logins - 1
        FROM lives
        CROSS JOIN (VALUES (1), (2), (3)) AS levels(level)
        LEFT JOIN (
            SELECT homes.account AS who, least_level, count(*) AS strangers
            FROM homes
            JOIN lives ON lives.account = homes.account AND at_s > entered_s
            JOIN (VALUES (1), (2), (3)) AS given(least_level) ON strangeness >= least_level
            GROUP BY homes.account, least_level
        ) AS counted ON who = lives.account AND least_level = level
        UNION ALL
        SELECT 'first_' || level, homes.account, CASE WHEN strangeness >= level THEN 1 ELSE 0 END, 1
        FROM homes
        JOIN lives ON lives.account = homes.account AND at_s = entered_s
        CROSS JOIN (VALUES (1), (2), (3)) AS levels(level)
        UNION ALL
        SELECT 'failures', lives.account, least(coalesce(failed, 0), 20), days
        FROM lives
        LEFT JOIN (SELECT account AS who, sum(failures) AS failed FROM runs GROUP BY account) AS each
            ON who = lives.account
        UNION ALL
        SELECT kinds.pattern, lives.account, least(coalesce(number, 0), 5), days
        FROM lives
        CROSS JOIN (VALUES ('slow'), ('stuffing')) AS kinds(pattern)
        LEFT JOIN (
            SELECT pattern AS kind, account AS who, count(*) AS number FROM marks GROUP BY pattern, account
        ) AS each ON who = lives.account AND kind = kinds.pattern
        UNION ALL
        SELECT 'knocks', place, least(coalesce(knocks, 0), actors), actors + least(coalesce(knocks, 0), actors)
        FROM (SELECT place, count(*) AS actors FROM homes GROUP BY place) AS known
        LEFT JOIN (
            SELECT place AS gate, count(DISTINCT account) AS knocks FROM knocks GROUP BY place
        ) AS each ON gate = place
        UNION ALL
        SELECT 'shut_out', NULL, coalesce(shut_out, 0), coalesce(shut_out, 0) + logins
        FROM (SELECT ten // 6 AS hour, sum(logins) AS logins FROM tens WHERE logins > 0 GROUP BY ten // 6) AS open
        LEFT JOIN (
            SELECT ends_s // 3600 AS closed, count(DISTINCT account) AS shut_out
            FROM runs
            WHERE strange = 0 AND leads_in = 0
            GROUP BY ends_s // 3600
        ) AS shut ON closed = hour
    """,
)

_SUSPECTS = Relation(
    "suspects",
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
        "since_s": pa.float64(),
        "entered_s": pa.float64(),
    },
    "A run that is long enough to be significant, of an account that is judged.",
    parameters=("fdr",),
    sql="""
        SELECT
            runs.account AS account,
            run,
            starts_s,
            ends_s,
            failures,
            quick,
            strangeness,
            strange,
            leads_in,
            since_s,
            entered_s
        FROM runs JOIN lives ON lives.account = runs.account
        WHERE failures >= 5 AND 0.0005 / 0.45 * power(0.25 * 0.05, failures - 1) <= $fdr AND is_judged
    """,
)

TESTED = (*RUNS, _LIVES, _MARKS, _SCANS, _KNOCKS, _SPRAYS, _TENS, _MEASURES, _SUSPECTS)
"""The relations, each asked after those that it names."""
