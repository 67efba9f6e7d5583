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
from auditframe.reports._tested import TESTED
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

    Expected is the day's number of logins, at least one, times the failures a login of the days before, to which three
    days of five logins and half a failure each are added for a source of which little is known. The limit comes from a
    negative binomial that scatters as these days do. In what is learned, a day beyond its own limit counts as one at
    its limit, so that an attack does not raise the next days', and a day without any attempt is no day.

    Args:
        history_days: How many days before a day are looked at [days].
    """
    return """
        WITH counted AS (
            SELECT
                count(CASE WHEN effect = 'login' THEN 1 END) AS logins,
                count(CASE WHEN effect = 'login_failed' THEN 1 END) AS failures,
                count(DISTINCT CASE
                    WHEN effect = 'login_failed' THEN coalesce(lower(actor_email), actor_id, actor_api_key_id)
                END) AS actors,
                min(effective_at) AS first_at,
                max(effective_at) AS last_at
            FROM events JOIN catalogue ON catalogue.type = events.type
            WHERE effect IN ('login', 'login_failed')
            GROUP BY floor(epoch(effective_at) / 86400)
        ),
        seconds AS (
            SELECT effective_at, min(id) AS first_id, max(id) AS last_id
            FROM events JOIN catalogue ON catalogue.type = events.type
            WHERE effect IN ('login', 'login_failed')
                AND effective_at IN (SELECT first_at FROM counted UNION ALL SELECT last_at FROM counted)
            GROUP BY effective_at
        )
        SELECT
            CAST(first_at AS DATE) AS day,
            logins,
            failures,
            actors,
            opening.first_id AS first_event_id,
            closing.last_id AS last_event_id,
            CAST(floor(epoch(first_at) / 86400) AS BIGINT) AS day_number,
            CAST(floor(epoch(first_at) / 86400) AS BIGINT) - $history_days AS since
        FROM counted
        JOIN seconds AS opening ON opening.effective_at = first_at
        JOIN seconds AS closing ON closing.effective_at = last_at
        ORDER BY day
    """


@check(
    severity="critical",
    columns=INCIDENT_COLUMNS,
    plot=Marks(start="start", end="end", colour="pattern", beside="login_failures_per_day"),
    controls=_CONTROLS,
    finish=find_anomalies,
    relations=TESTED,
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
    and to everybody once three accounts did, or a hundredth of all where that is more; so is a network. A run weighs
    the more, the more of address, network and client are strange to the account. What only fails more than usual in
    its sum, as on a Monday, is nothing. An incident all of whose addresses are familiar is low; another medium or high;
    one step more when a login from there followed. A failure without an actor is no account's, one without an address
    no address's. Near the start of the source little is known, and short runs are not found. An account that fails
    from the first day on, for a week and more, and never gets in is not judged: it did so before the source began.
    The explanation page on login anomalies has the model, its assumptions and what it was measured to find.

    Args:
        fdr: The share of findings that may be false, on average [1].
        history_days: How many days before a window are its history [days].
    """
    return """
        WITH slots AS (
            SELECT ten AS slot FROM tens WHERE attempts >= 10
            UNION ALL
            SELECT ten // 6 FROM tens GROUP BY ten // 6 HAVING sum(attempts) >= 10
            UNION ALL
            SELECT (ten + 3) // 6 FROM tens GROUP BY (ten + 3) // 6 HAVING sum(attempts) >= 10
        ),
        pasts AS (
            SELECT
                suspects.account AS account,
                suspects.run AS run,
                sum(CASE WHEN runs.failures <= 8 THEN runs.failures - 1 ELSE 0 END) AS went_on,
                sum(CASE WHEN runs.failures <= 8 THEN 1 ELSE 0 END) AS usual,
                sum(CASE WHEN runs.failures <= 8 THEN runs.quick ELSE 0 END) AS quick,
                sum(least(runs.failures, 20)) AS failed
            FROM suspects
            JOIN runs
                ON runs.account = suspects.account
                AND runs.starts_s >= suspects.starts_s - 86400 * $history_days
                AND runs.starts_s < suspects.starts_s
            GROUP BY suspects.account, suspects.run
        ),
        hours AS (
            SELECT account, ten // 6 AS hour, count(*) AS attempts, count(*) FILTER (WHERE entered) AS logins
            FROM visits
            WHERE account IN (SELECT account FROM suspects)
            GROUP BY account, ten // 6
        ),
        habits AS (
            SELECT
                suspects.account AS account,
                suspects.run AS run,
                sum(attempts) AS attempts,
                count(*) AS hours,
                sum(logins) AS logins
            FROM suspects
            JOIN hours
                ON hours.account = suspects.account
                AND 3600 * hour >= starts_s - 86400 * $history_days
                AND 3600 * hour + 3600 <= starts_s
            GROUP BY suspects.account, suspects.run
        ),
        moves AS (
            SELECT
                suspects.account AS account,
                suspects.run AS run,
                count(CASE WHEN homes.strangeness >= suspects.strangeness THEN 1 END) AS strangers
            FROM suspects
            JOIN homes
                ON homes.account = suspects.account
                AND at_s >= starts_s - 86400 * $history_days
                AND at_s < starts_s
                AND at_s > entered_s
            GROUP BY suspects.account, suspects.run
        ),
        told AS (
            SELECT account, run FROM suspects
            UNION
            SELECT runs.account, run
            FROM runs
            JOIN scans
                ON scans.account = runs.account
                AND runs.starts_s <= scans.ends_s
                AND runs.ends_s >= scans.starts_s
            WHERE strange > 0 AND number >= 4
        ),
        trails AS (
            SELECT
                tries.account AS account,
                tries.run AS run,
                place,
                max(tries.strangeness) AS strangeness,
                min(runs.starts_s) AS starts_s,
                max(step) AS last_failure,
                max(at_s) AS last_s
            FROM tries
            JOIN told ON told.account = tries.account AND told.run = tries.run
            JOIN runs ON runs.account = tries.account AND runs.run = tries.run
            WHERE tries.strangeness > 0 OR strange = 0
            GROUP BY tries.account, tries.run, place
        ),
        answers AS (
            SELECT trails.account AS account, starts_s, {'at': effective_at, 'id': id} AS answer
            FROM trails
            JOIN homes ON homes.account = trails.account AND homes.place = trails.place
            JOIN steps ON steps.step = homes.step
            WHERE trails.strangeness > 0 AND homes.step > last_failure AND at_s - last_s <= 86400
            UNION
            SELECT trails.account, starts_s, min({'at': effective_at, 'id': id})
            FROM trails
            JOIN haunts ON haunts.account = trails.account AND haunts.place = trails.place
            JOIN steps ON steps.haunt = haunts.haunt AND entered
            WHERE trails.strangeness = 0
                AND step > last_failure
                AND floor(epoch(effective_at)) - last_s <= 3600
            GROUP BY trails.account, starts_s, trails.place
        ),
        accounts AS (SELECT DISTINCT account, actor FROM haunts),
        places AS (SELECT DISTINCT place, ip_address FROM haunts)
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
        SELECT 'own', actor, NULL, NULL, [CAST(total AS DOUBLE), weight], NULL, [measure]
        FROM measures JOIN accounts ON accounts.account = measures.account
        WHERE measure NOT IN ('knocks', 'shut_out')
            AND measures.account IN (SELECT account FROM suspects UNION SELECT account FROM scans WHERE number >= 4)
        UNION ALL
        SELECT
            'tests',
            NULL,
            NULL,
            NULL,
            [
                CAST((SELECT count(*) FROM runs) AS DOUBLE),
                (SELECT count(*) FROM scans),
                (SELECT count(*) FROM sprays),
                (SELECT count(*) FROM slots)
            ],
            NULL,
            NULL
        UNION ALL
        SELECT
            'suspect',
            actor,
            starts_s,
            ends_s,
            [
                CAST(failures AS DOUBLE),
                suspects.quick,
                strangeness,
                leads_in,
                coalesce(went_on, 0),
                coalesce(usual, 0),
                coalesce(pasts.quick, 0),
                coalesce(failed, 0),
                coalesce(attempts, 0),
                coalesce(hours, 0),
                CASE WHEN entered_s < starts_s THEN coalesce(logins, 0) - 1 END,
                coalesce(strangers, 0),
                since_s
            ],
            NULL,
            NULL
        FROM suspects
        JOIN accounts ON accounts.account = suspects.account
        LEFT JOIN pasts ON pasts.account = suspects.account AND pasts.run = suspects.run
        LEFT JOIN habits ON habits.account = suspects.account AND habits.run = suspects.run
        LEFT JOIN moves ON moves.account = suspects.account AND moves.run = suspects.run
        UNION ALL
        SELECT pattern, actor, starts_s, ends_s, [CAST(number AS DOUBLE), earlier, length_s, since_s], NULL, NULL
        FROM scans
        JOIN lives ON lives.account = scans.account
        JOIN accounts ON accounts.account = scans.account
        WHERE number >= 4 AND is_judged
        UNION ALL
        SELECT
            'run',
            actor,
            min(at_s),
            max(at_s),
            [CAST(count(CASE WHEN strangeness > 0 THEN 1 END) AS DOUBLE)],
            list({'at': effective_at, 'id': id}),
            array_agg(DISTINCT ip_address) FILTER (WHERE ip_address IS NOT NULL)
        FROM tries
        JOIN told ON told.account = tries.account AND told.run = tries.run
        JOIN steps ON steps.step = tries.step
        JOIN haunts ON haunts.haunt = steps.haunt
        GROUP BY actor, tries.run
        UNION ALL
        SELECT 'answer', actor, starts_s, NULL, NULL, list(answer), NULL
        FROM answers JOIN accounts ON accounts.account = answers.account
        GROUP BY actor, starts_s
        UNION ALL
        SELECT
            'spray',
            ip_address,
            starts_s,
            ends_s,
            [CAST(knocks AS DOUBLE), actors, earlier_knocks, earlier_actors],
            NULL,
            NULL
        FROM sprays JOIN places ON places.place = sprays.place
        WHERE knocks >= 5
        UNION ALL
        SELECT
            'try',
            ip_address,
            min(at_s),
            max(at_s),
            NULL,
            list({'at': effective_at, 'id': id}),
            array_agg(DISTINCT actor) FILTER (WHERE actor IS NOT NULL)
        FROM judged
        JOIN steps ON steps.step = judged.step
        JOIN haunts ON haunts.haunt = steps.haunt
        WHERE NOT judged.entered
            AND (judged.account IS NULL OR is_new)
            AND judged.place IN (SELECT place FROM sprays WHERE knocks >= 5)
        GROUP BY ip_address, at_s // 3600
        UNION ALL
        SELECT 'entry', ip_address, NULL, NULL, NULL, list({'at': effective_at, 'id': id}), NULL
        FROM homes
        JOIN steps ON steps.step = homes.step
        JOIN haunts ON haunts.haunt = steps.haunt
        WHERE homes.place IN (SELECT place FROM sprays WHERE knocks >= 5)
        GROUP BY ip_address
        UNION ALL
        SELECT DISTINCT 'place', ip_address, starts_s, ends_s, NULL, NULL, NULL
        FROM explained JOIN places ON places.place = explained.place
        UNION ALL
        SELECT
            'outage',
            NULL,
            outages.starts_s,
            outages.ends_s,
            [CAST(max(present) AS DOUBLE), max(shut_out)],
            list({'at': effective_at, 'id': id}),
            array_agg(DISTINCT actor)
        FROM outages
        JOIN explained ON explained.starts_s = outages.starts_s AND explained.ends_s = outages.ends_s
        JOIN steps ON steps.step = explained.step
        JOIN haunts ON haunts.haunt = steps.haunt
        GROUP BY outages.starts_s, outages.ends_s
        ORDER BY kind, subject, starts_s
    """
