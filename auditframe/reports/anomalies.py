"""Sign-ins that fail as they practically never do, judged by statistics instead of fixed limits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from auditframe.reports._anomalies import find_anomalies
from auditframe.reports._base import check, report
from auditframe.reports._columns import ReportColumn
from auditframe.reports._incidents import INCIDENT_COLUMNS
from auditframe.reports._specs import DailyBand, Marks
from auditframe.stats import Gamma, count_limit, fit_gamma, moments

if TYPE_CHECKING:
    from collections.abc import Mapping

_CONTROLS = ("SOC 2 CC6.1", "SOC 2 CC7.2", "ISO/IEC 27001:2022 A.8.16", "NIST SP 800-53 r5 AC-7")
_DAILY = Gamma(0.5, 5)  # failures in so many logins, where nothing is known
_RARE = 0.01


def _with_band(answer: pa.Table, _: Mapping[str, Any]) -> pa.Table:
    """Add to each day how many failures the days before let expect.

    A day that was beyond its own limit counts as far as the limit only: an attack must not widen the band after it.
    """
    days, since = answer["day_number"].to_numpy(), answer["since"].to_numpy()
    logins = np.maximum(answer["logins"].to_numpy().astype(float), 1)
    failures = answer["failures"].to_numpy().astype(float)
    expected, limits = np.zeros(len(days)), np.zeros(len(days))
    for number in range(len(days)):
        past = slice(np.searchsorted(days, since[number]), number)
        seen = moments(np.minimum(failures, limits)[past], logins[past])
        rate = fit_gamma(seen, default=_DAILY, subjects=3, floor=0.001, most=100)
        expected[number] = np.round(rate.mean * logins[number], 2)
        limits[number] = count_limit(logins[number], rate=rate, least=_RARE)
    banded = answer.append_column("expected", pa.array(expected)).append_column("limit", pa.array(limits))
    return banded.select([column.name for column in _DAILY_COLUMNS])


_DAILY_COLUMNS = (
    ReportColumn("day", "day", "The day, in UTC."),
    ReportColumn("logins", "integer", "How often somebody signed in.", "events"),
    ReportColumn("failures", "integer", "How many attempts to sign in failed.", "failed sign-ins"),
    ReportColumn("actors", "integer", "How many accounts these were on, as far as named.", "actors"),
    ReportColumn("expected", "number", "How many failures the days before let expect; two decimals.", "events"),
    ReportColumn("limit", "integer", "How many failures one day in 100, or more, reaches or exceeds.", "events"),
    ReportColumn("first_event_id", "text", "Id of the first attempt, failed or not."),
    ReportColumn("last_event_id", "text", "Id of the last one."),
)


@report(
    columns=_DAILY_COLUMNS,
    plot=DailyBand(day="day", value="failures", expected="expected", limit="limit"),
    controls=_CONTROLS,
    finish=_with_band,
)
def login_failures_per_day(*, history_days: int = 30) -> str:
    """How many sign-ins fail each day, and how many are to be expected?

    One row for each UTC day with an attempt, in order. What is to be expected of a day comes from the days before it
    and from how many logins it has, so a Monday may have more failures than a Sunday; the limit is where a day like
    one in a hundred begins. A day beyond its limit is no finding: an attack on one account does not show in a sum, and
    a day on which all passwords expire does. A day without any attempt has no row; whether it was collected at all,
    the coverage of the lake tells.

    Args:
        history_days: How many days before a day are looked at [days].
    """
    return """
        SELECT
            CAST(effective_at AS DATE) AS day,
            count(CASE WHEN effect = 'login' THEN 1 END) AS logins,
            count(CASE WHEN effect = 'login_failed' THEN 1 END) AS failures,
            count(DISTINCT CASE WHEN effect = 'login_failed' THEN coalesce(actor_email, actor_id, actor_api_key_id) END)
                AS actors,
            arg_min(events.id, {'at': effective_at, 'id': events.id}) AS first_event_id,
            arg_max(events.id, {'at': effective_at, 'id': events.id}) AS last_event_id,
            CAST(floor(epoch(min(effective_at)) / 86400) AS BIGINT) AS day_number,
            CAST(floor(epoch(min(effective_at)) / 86400) AS BIGINT) - $history_days AS since
        FROM events JOIN catalogue ON catalogue.type = events.type
        WHERE effect IN ('login', 'login_failed')
        GROUP BY CAST(effective_at AS DATE)
        ORDER BY day
    """


@check(
    severity="critical",
    columns=INCIDENT_COLUMNS,
    plot=Marks(start="start", end="end", colour="pattern", beside="login_failures_per_day"),
    controls=_CONTROLS,
    finish=find_anomalies,
)
def login_failure_anomalies(*, fdr: float = 0.01, history_days: int = 30) -> str:
    """Which failed sign-ins are neither mistyping nor chance?

    One row an incident: windows of one account or one address that are significant and less than six hours apart are
    one, whatever their pattern; the one with the smallest p-value names it. The patterns: **burst**, a run of failures
    on one account; **slow**, runs from unfamiliar addresses that come back for days; **stuffing**, many unfamiliar
    addresses on one account; **spray**, one address on many accounts that had never signed in from there;
    **success_after_failures**, a run that ends in a login from an unfamiliar address; **outage**, a large share of all
    accounts shut out at once, from where they always sign in, which explains their failures and is information alone.

    Each is measured against what the account, or the address, did in the days before the window, and so far as that is
    little, against what is usual in the source. An address is familiar to an account that signed in from it before,
    and to everybody once three accounts did. What only fails more than usual in its sum, as on a Monday, is nothing.
    An incident all of whose addresses are familiar is low; another medium or high; one step more when a login from one
    of its addresses followed within a day. A failure without an actor is no account's, one without an address no
    address's. Near the start of the source little is known, and short runs are not found. An account that fails
    from the first day on, for a week and more, and never gets in is not judged: it did so before the source began.
    The explanation page on login anomalies has the model, its assumptions and what it was measured to find.

    Args:
        fdr: The share of findings that may be false, on average [1].
        history_days: How many days before a window are its history [days].
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
            WHERE effect = 'login_failed'
        ),
        homes AS (
            SELECT
                coalesce(actor_email, actor_id, actor_api_key_id) AS actor,
                ip_address,
                min({'at': effective_at, 'id': events.id}) AS first_login
            FROM events JOIN catalogue ON catalogue.type = events.type
            WHERE effect = 'login'
                AND ip_address IS NOT NULL
                AND coalesce(actor_email, actor_id, actor_api_key_id) IS NOT NULL
            GROUP BY coalesce(actor_email, actor_id, actor_api_key_id), ip_address
        ),
        crowds AS (
            SELECT ip_address, first_login AS crowded_since
            FROM (
                SELECT *, row_number() OVER (PARTITION BY ip_address ORDER BY first_login) AS nth FROM homes
            ) AS ranked
            WHERE nth = 3
        ),
        attempts AS (
            SELECT *, false AS entered FROM failures WHERE actor IS NOT NULL
            UNION ALL
            SELECT
                events.id,
                effective_at,
                CAST(epoch(effective_at) AS BIGINT),
                coalesce(actor_email, actor_id, actor_api_key_id),
                ip_address,
                true
            FROM events JOIN catalogue ON catalogue.type = events.type
            WHERE effect = 'login'
                AND coalesce(actor_email, actor_id, actor_api_key_id) IN (
                    SELECT actor FROM failures WHERE actor IS NOT NULL
                )
        ),
        placed AS (
            SELECT
                attempts.*,
                attempts.ip_address IS NOT NULL
                    AND NOT coalesce(first_login < {'at': effective_at, 'id': id}, false) AS is_new,
                attempts.ip_address IS NOT NULL
                    AND NOT coalesce(first_login < {'at': effective_at, 'id': id}, false)
                    AND NOT coalesce(crowded_since < {'at': effective_at, 'id': id}, false) AS is_foreign,
                coalesce(first_login < {'at': effective_at, 'id': id}, false)
                    OR coalesce(crowded_since < {'at': effective_at, 'id': id}, false) AS is_familiar
            FROM attempts
            LEFT JOIN homes ON homes.actor = attempts.actor AND homes.ip_address = attempts.ip_address
            LEFT JOIN crowds ON crowds.ip_address = attempts.ip_address
        ),
        grids AS (SELECT * FROM (VALUES (600, 0), (3600, 0), (3600, 1800)) AS given(length_s, shift_s)),
        slots AS (
            SELECT
                count(DISTINCT actor) AS actors,
                (at_s + shift_s) // length_s * length_s - shift_s AS starts_s,
                (at_s + shift_s) // length_s * length_s - shift_s + length_s AS ends_s
            FROM placed CROSS JOIN grids
            WHERE NOT entered AND is_familiar
            GROUP BY length_s, shift_s, (at_s + shift_s) // length_s
        ),
        crowded AS (SELECT starts_s, ends_s FROM slots WHERE actors >= 10),
        sightings AS (
            SELECT actor, at_s, 0 AS got_in FROM placed WHERE NOT entered AND is_familiar
            UNION ALL
            SELECT coalesce(actor_email, actor_id, actor_api_key_id), CAST(epoch(effective_at) AS BIGINT), 1
            FROM events JOIN catalogue ON catalogue.type = events.type
            WHERE effect = 'login' AND coalesce(actor_email, actor_id, actor_api_key_id) IS NOT NULL
        ),
        present AS (
            SELECT starts_s, ends_s, actor, max(got_in) AS got_in
            FROM sightings
            CROSS JOIN grids
            JOIN crowded
                ON starts_s = (at_s + shift_s) // length_s * length_s - shift_s
                AND ends_s = (at_s + shift_s) // length_s * length_s - shift_s + length_s
            GROUP BY starts_s, ends_s, actor
        ),
        outages AS (
            SELECT starts_s, ends_s, count(*) AS present, count(*) - sum(got_in) AS shut_out
            FROM present
            GROUP BY starts_s, ends_s
            HAVING count(*) - sum(got_in) >= 10 AND 10 * (count(*) - sum(got_in)) >= 3 * count(*)
        ),
        explained AS (
            SELECT starts_s, ends_s, placed.*
            FROM placed JOIN outages ON at_s >= starts_s AND at_s < ends_s
            WHERE NOT entered AND is_familiar
        ),
        steps AS (
            SELECT
                *,
                lag(entered) OVER turns AS entered_before,
                lag(at_s) OVER turns AS before_s,
                lead(entered) OVER turns AS enters_next,
                lead({'at': effective_at, 'id': id}) OVER turns AS next_step,
                lead(is_foreign) OVER turns AS next_is_foreign,
                max(CASE WHEN NOT entered THEN at_s END) OVER (
                    PARTITION BY actor, ip_address ORDER BY effective_at, id
                    ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
                ) AS same_before_s,
                first_value(CASE WHEN entered THEN {'at': effective_at, 'id': id} END IGNORE NULLS) OVER (
                    PARTITION BY actor, ip_address ORDER BY effective_at, id
                    ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING
                ) AS answer
            FROM placed
            WHERE id NOT IN (SELECT id FROM explained)
            WINDOW turns AS (PARTITION BY actor ORDER BY effective_at, id)
        ),
        judged AS (
            SELECT
                *,
                CASE WHEN NOT entered_before AND at_s - before_s <= 1800 THEN 0 ELSE 1 END AS begins,
                CASE WHEN NOT entered_before AND at_s - before_s <= 3 THEN 1 ELSE 0 END AS is_quick,
                is_foreign AND coalesce(epoch(answer.at) - at_s > 3600, true) AS is_strange,
                is_new AND coalesce(epoch(answer.at) - at_s > 3600, true) AS is_stranger,
                enters_next AND next_is_foreign AND epoch(next_step.at) - at_s <= 1800 AS leads_in,
                CASE WHEN ip_address IS NOT NULL AND epoch(answer.at) - at_s <= 86400 THEN answer END AS answer_soon
            FROM steps
            WHERE NOT entered
        ),
        numbered AS (
            SELECT
                *,
                sum(begins) OVER (
                    PARTITION BY actor ORDER BY effective_at, id ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
                ) AS run
            FROM judged
        ),
        runs AS (
            SELECT
                actor,
                run,
                count(*) AS failures,
                sum(is_quick) AS quick,
                max(CASE WHEN leads_in THEN 1 ELSE 0 END) AS leads_in
            FROM numbered
            GROUP BY actor, run
        ),
        marks AS (
            SELECT
                actor,
                at_s,
                begins,
                CASE WHEN coalesce(at_s - same_before_s > 86400, true) THEN 1 ELSE 0 END AS is_fresh
            FROM numbered
            WHERE is_strange AND (begins = 1 OR coalesce(at_s - same_before_s > 86400, true))
        ),
        watched AS (
            SELECT actor FROM runs
            WHERE 0.01 * power(0.25 * 0.05, failures - 1) <= $fdr
                AND (failures >= 5 OR (leads_in = 1 AND failures >= 4))
            UNION
            SELECT actor
            FROM (
                SELECT
                    actor,
                    sum(begins) OVER (
                        PARTITION BY actor ORDER BY at_s RANGE BETWEEN 604799 PRECEDING AND CURRENT ROW
                    ) AS begun,
                    sum(is_fresh) OVER (
                        PARTITION BY actor ORDER BY at_s RANGE BETWEEN 86399 PRECEDING AND CURRENT ROW
                    ) AS fresh
                FROM marks
            ) AS summed
            WHERE begun >= 5 OR fresh >= 4
        ),
        knocks AS (
            SELECT ip_address, actor, at_s
            FROM numbered
            WHERE is_stranger AND coalesce(at_s - same_before_s > 259200, true)
        ),
        sprayed AS (
            SELECT DISTINCT ip_address
            FROM (
                SELECT
                    ip_address,
                    count(*) OVER (
                        PARTITION BY ip_address ORDER BY at_s RANGE BETWEEN 259199 PRECEDING AND CURRENT ROW
                    ) AS knocks
                FROM knocks
            ) AS counted
            WHERE knocks >= 5
        ),
        visits AS (
            SELECT
                ip_address,
                coalesce(actor_email, actor_id, actor_api_key_id) AS actor,
                CAST(epoch(effective_at) AS BIGINT) AS at_s,
                0 AS knock
            FROM events JOIN catalogue ON catalogue.type = events.type
            WHERE effect = 'login'
                AND ip_address IN (SELECT ip_address FROM sprayed)
                AND coalesce(actor_email, actor_id, actor_api_key_id) IS NOT NULL
            UNION ALL
            SELECT ip_address, actor, at_s, 1 FROM knocks WHERE ip_address IN (SELECT ip_address FROM sprayed)
        ),
        looks AS (
            SELECT ip_address, length_s, max(at_s) AS ends_s
            FROM visits CROSS JOIN (VALUES (3600), (86400), (259200)) AS lengths(length_s)
            WHERE knock = 1
            GROUP BY ip_address, length_s, at_s // 3600
        ),
        sprays AS (
            SELECT
                looks.ip_address AS ip_address,
                length_s,
                ends_s,
                min(CASE WHEN knock = 1 AND at_s > ends_s - length_s THEN at_s END) AS starts_s,
                count(DISTINCT CASE WHEN knock = 1 AND at_s > ends_s - length_s THEN actor END) AS knocks,
                count(DISTINCT CASE WHEN at_s > ends_s - length_s THEN actor END) AS actors,
                count(DISTINCT CASE WHEN knock = 1 AND at_s <= ends_s - length_s THEN actor END) AS earlier_knocks,
                count(DISTINCT CASE WHEN at_s <= ends_s - length_s THEN actor END) AS earlier_actors
            FROM looks
            JOIN visits
                ON visits.ip_address = looks.ip_address
                AND at_s > ends_s - length_s - 86400 * $history_days
                AND at_s <= ends_s
            GROUP BY looks.ip_address, length_s, ends_s
        ),
        lives AS (
            SELECT
                coalesce(actor_email, actor_id, actor_api_key_id) AS actor,
                (max(max(epoch(effective_at))) OVER () - min(epoch(effective_at))) / 86400 AS days
            FROM events JOIN catalogue ON catalogue.type = events.type
            WHERE effect IN ('login', 'login_failed')
                AND coalesce(actor_email, actor_id, actor_api_key_id) IS NOT NULL
            GROUP BY coalesce(actor_email, actor_id, actor_api_key_id)
        ),
        hours AS (
            SELECT
                actor,
                at_s // 3600 AS hour,
                count(*) AS attempts,
                count(CASE WHEN entered THEN 1 END) AS logins,
                count(CASE WHEN entered AND is_new THEN 1 END) AS new_logins
            FROM steps
            GROUP BY actor, at_s // 3600
        ),
        measures AS (
            SELECT
                'runs' AS measure,
                sum(failures - 1) * least(1, 10 / sum(failures)) AS total,
                least(sum(failures), 10) AS weight
            FROM runs
            WHERE failures <= 8
            GROUP BY actor
            UNION ALL
            SELECT
                'quick',
                sum(quick) * least(1, 10 / nullif(sum(failures - 1), 0)),
                least(sum(failures - 1), 10)
            FROM runs
            WHERE failures <= 8
            GROUP BY actor
            UNION ALL
            SELECT 'again', sum(attempts) - count(*), count(*)
            FROM hours
            WHERE logins > 0 OR attempts < 5
            GROUP BY actor
            UNION ALL
            SELECT 'daily', sum(attempts), max(days)
            FROM hours JOIN lives ON lives.actor = hours.actor
            WHERE logins > 0 OR attempts < 5
            GROUP BY hours.actor
            UNION ALL
            SELECT 'places', sum(new_logins) - 1, sum(logins) - 1
            FROM hours
            GROUP BY actor
            HAVING sum(new_logins) > 0
            UNION ALL
            SELECT 'failures', least(coalesce(failed, 0), 20), days
            FROM lives
            LEFT JOIN (SELECT actor AS who, count(*) AS failed FROM numbered GROUP BY actor) AS each ON who = actor
            UNION ALL
            SELECT 'begun', least(coalesce(begun, 0), 5), days
            FROM lives
            LEFT JOIN (SELECT actor AS who, sum(begins) AS begun FROM marks GROUP BY actor) AS each ON who = actor
            UNION ALL
            SELECT 'fresh', least(coalesce(fresh, 0), 5), days
            FROM lives
            LEFT JOIN (SELECT actor AS who, sum(is_fresh) AS fresh FROM marks GROUP BY actor) AS each ON who = actor
            UNION ALL
            SELECT 'knocks', least(coalesce(knocks, 0), actors), actors + least(coalesce(knocks, 0), actors)
            FROM (SELECT ip_address, count(DISTINCT actor) AS actors FROM homes GROUP BY ip_address) AS known
            LEFT JOIN (
                SELECT ip_address AS place, count(DISTINCT actor) AS knocks FROM knocks GROUP BY ip_address
            ) AS each ON place = ip_address
            UNION ALL
            SELECT 'shut_out', coalesce(shut_out, 0), coalesce(shut_out, 0) + logins
            FROM (
                SELECT floor(epoch(effective_at) / 3600) AS hour, count(*) AS logins
                FROM events JOIN catalogue ON catalogue.type = events.type
                WHERE effect = 'login'
                GROUP BY floor(epoch(effective_at) / 3600)
            ) AS open
            LEFT JOIN (
                SELECT at_s // 3600 AS closed, count(DISTINCT actor) AS shut_out
                FROM judged
                WHERE is_familiar AND coalesce(epoch(answer.at) - at_s > 3600, true)
                GROUP BY at_s // 3600
            ) AS shut ON closed = hour
        )
        SELECT
            'moments' AS kind,
            measure AS subject,
            CAST(NULL AS BIGINT) AS starts_s,
            CAST(NULL AS BIGINT) AS ends_s,
            [CAST(count(*) AS DOUBLE), sum(weight), sum(weight * weight), sum(total), sum(total * total / weight)]
                AS numbers,
            CAST(NULL AS STRUCT("at" TIMESTAMPTZ, id VARCHAR)[]) AS attempts,
            CAST(NULL AS VARCHAR[]) AS names
        FROM measures
        WHERE weight > 0
        GROUP BY measure
        UNION ALL
        SELECT
            'tests',
            NULL,
            (SELECT min(at_s) FROM attempts),
            (SELECT max(at_s) FROM attempts),
            [
                CAST((SELECT 4 * count(*) + 2 * sum(leads_in) FROM runs) AS DOUBLE),
                3 * (SELECT sum(begins) + sum(is_fresh) FROM marks),
                3 * (SELECT count(*) FROM knocks),
                (SELECT count(*) FROM slots)
            ],
            NULL,
            NULL
        UNION ALL
        SELECT
            'run',
            actor,
            min(at_s),
            max(at_s),
            [
                CAST(count(*) AS DOUBLE),
                max(CASE WHEN begins = 1 AND is_strange THEN 1 ELSE 0 END),
                max(CASE WHEN leads_in THEN 1 ELSE 0 END),
                count(CASE WHEN is_strange THEN 1 END),
                count(CASE WHEN is_foreign THEN 1 END),
                sum(is_quick)
            ],
            list({'at': effective_at, 'id': id} ORDER BY effective_at, id),
            array_agg(DISTINCT ip_address) FILTER (WHERE ip_address IS NOT NULL)
        FROM numbered
        WHERE actor IN (SELECT actor FROM watched)
        GROUP BY actor, run
        UNION ALL
        SELECT 'answer', actor, begins_s, NULL, NULL, list(DISTINCT answer ORDER BY answer), NULL
        FROM (
            SELECT
                actor,
                min(at_s) OVER (PARTITION BY actor, run) AS begins_s,
                CASE WHEN leads_in THEN next_step ELSE answer_soon END AS answer
            FROM numbered
            WHERE actor IN (SELECT actor FROM watched)
        ) AS answered
        WHERE answer IS NOT NULL
        GROUP BY actor, begins_s
        UNION ALL
        SELECT 'life', actor, NULL, NULL, [days], NULL, NULL
        FROM lives
        WHERE actor IN (SELECT actor FROM watched)
        UNION ALL
        SELECT 'fresh', actor, at_s, at_s, NULL, NULL, NULL
        FROM marks
        WHERE is_fresh = 1 AND actor IN (SELECT actor FROM watched)
        UNION ALL
        SELECT
            'day',
            actor,
            hour // 24 * 86400,
            NULL,
            [CAST(sum(attempts) AS DOUBLE), count(*), sum(logins), sum(new_logins)],
            NULL,
            NULL
        FROM hours
        WHERE actor IN (SELECT actor FROM watched)
        GROUP BY actor, hour // 24
        UNION ALL
        SELECT
            'spray',
            ip_address,
            starts_s,
            ends_s,
            [CAST(knocks AS DOUBLE), actors, earlier_knocks, earlier_actors],
            NULL,
            NULL
        FROM sprays
        UNION ALL
        SELECT
            'try',
            failures.ip_address,
            min(failures.at_s),
            max(failures.at_s),
            NULL,
            list({'at': failures.effective_at, 'id': failures.id} ORDER BY failures.effective_at, failures.id),
            array_agg(DISTINCT failures.actor) FILTER (WHERE failures.actor IS NOT NULL)
        FROM failures LEFT JOIN numbered ON numbered.id = failures.id
        WHERE failures.ip_address IN (SELECT ip_address FROM sprayed) AND (failures.actor IS NULL OR is_new)
        GROUP BY failures.ip_address, failures.at_s // 3600
        UNION ALL
        SELECT 'entry', ip_address, NULL, NULL, NULL, list(first_login ORDER BY first_login), NULL
        FROM homes
        WHERE ip_address IN (SELECT ip_address FROM sprayed)
        GROUP BY ip_address
        UNION ALL
        SELECT DISTINCT 'place', ip_address, starts_s, ends_s, NULL, NULL, NULL FROM explained
        UNION ALL
        SELECT
            'outage',
            NULL,
            outages.starts_s,
            outages.ends_s,
            [CAST(max(present) AS DOUBLE), max(shut_out)],
            list({'at': effective_at, 'id': id} ORDER BY effective_at, id),
            array_agg(DISTINCT actor)
        FROM outages JOIN explained USING (starts_s, ends_s)
        GROUP BY outages.starts_s, outages.ends_s
        ORDER BY kind, subject, starts_s
    """
