"""The relations of habits: in which hours of the day people act, and which of them they keep to."""

from __future__ import annotations

import pyarrow as pa

from auditframe.reports._relations import Relation

# What is judged, and what it is measured against: sessions of named people, without sign-outs and failed sign-ins.
# Actors are numbered and hours counted, because there are millions of them; each step leaves its memory to the next.
# Shares are quotients: 29 of 50 days are 0.58 in floating point, too, but 0.58 * 50 is less than 29.

_QUARTERS = Relation(
    "quarters",
    {"quarter": pa.int64(), "hour_number": pa.int32()},
    "A quarter of an hour in which a session did something, counted from 1970 in UTC, and the hour in the zone that it "
    "lies in, counted likewise. No zone's clock differs from UTC by a part of a quarter.",
    sql="""
        SELECT quarter, CAST(floor(epoch(first_at AT TIME ZONE $zone) / 3600) AS INTEGER) AS hour_number
        FROM (
            SELECT CAST(floor(epoch(effective_at) / 900) AS BIGINT) AS quarter, min(effective_at) AS first_at
            FROM events
            WHERE actor_type = 'session'
            GROUP BY CAST(floor(epoch(effective_at) / 900) AS BIGINT)
        ) AS seen
    """,
)

_PERSONS = Relation(
    "persons",
    {"nth": pa.int32(), "actor": pa.string()},
    "Somebody who had a session, numbered.",
    sql="""
        SELECT CAST(row_number() OVER (ORDER BY actor) AS INTEGER) AS nth, actor
        FROM (SELECT DISTINCT coalesce(lower(actor_email), actor_id) AS actor FROM events WHERE actor_type = 'session')
            AS named
        WHERE actor IS NOT NULL
    """,
)

_HOURS = Relation(
    "hours",
    {"person": pa.int32(), "hour_number": pa.int32()},
    "An hour in which a person acted.",
    sql="""
        SELECT DISTINCT nth AS person, hour_number
        FROM events
        JOIN quarters ON quarter = CAST(floor(epoch(effective_at) / 900) AS BIGINT)
        JOIN persons ON actor = coalesce(lower(actor_email), actor_id)
        WHERE actor_type = 'session'
            AND area <> 'logout'
            AND type NOT IN (SELECT type FROM catalogue WHERE effect = 'login_failed')
    """,
)

_DAYS = Relation(
    "days",
    {"person": pa.int32(), "day": pa.int32(), "earlier_days": pa.int64()},
    "A day on which a person acted, and on how many before it they did.",
    sql="""
        SELECT person, day, row_number() OVER (PARTITION BY person ORDER BY day) - 1 AS earlier_days
        FROM (SELECT DISTINCT person, hour_number // 24 AS day FROM hours) AS acted
    """,
)

_EARLY_HOURS = Relation(
    "early_hours",
    {"person": pa.int32(), "hour_number": pa.int32(), "days_same": pa.int64()},
    "An hour in which a person acted, and on how many days before in the same hour of the clock; without those of "
    "which there were too many for it to be rare, however long the past.",
    sql="""
        WITH pasts AS (
            SELECT
                person,
                max(earlier_days) AS most_days,
                min(CASE WHEN earlier_days >= $min_days THEN day END) AS judged_from
            FROM days
            GROUP BY person
        ),
        clocks AS (
            -- Of the hours of the clock that are common from the start, none is looked at.
            SELECT hours.person AS person, hour_number % 24 AS clock, most_days
            FROM hours JOIN pasts ON pasts.person = hours.person
            WHERE judged_from IS NOT NULL
            GROUP BY hours.person, hour_number % 24, most_days
            HAVING count(CASE WHEN hour_number // 24 < judged_from THEN 1 END) / greatest(most_days, 1) <= $max_share
        )
        SELECT person, hour_number, days_same
        FROM (
            SELECT
                hours.person AS person,
                hour_number,
                most_days,
                row_number() OVER (PARTITION BY hours.person, clock ORDER BY hour_number) - 1 AS days_same
            FROM hours JOIN clocks ON clocks.person = hours.person AND clock = hour_number % 24
        ) AS counted
        WHERE days_same / greatest(most_days, 1) <= $max_share
    """,
)

_JUDGED_HOURS = Relation(
    "judged_hours",
    {"person": pa.int32(), "hour_number": pa.int32(), "earlier_days": pa.int64()},
    "An hour in which a person with a past acted, and that is rare by itself.",
    sql="""
        SELECT early_hours.person AS person, hour_number, earlier_days
        FROM early_hours JOIN days ON days.person = early_hours.person AND day = hour_number // 24
        WHERE earlier_days >= $min_days AND days_same / greatest(earlier_days, 1) <= $max_share
    """,
)

_RARE_HOURS = Relation(
    "rare_hours",
    {"person": pa.int32(), "hour_number": pa.int32(), "earlier_days": pa.int64(), "days_near": pa.int64()},
    "An hour in which a person acted, on how many days they had before, and on how many of these within two hours of "
    "that time of day; only those that are rare.",
    sql="""
        SELECT
            judged_hours.person AS person,
            judged_hours.hour_number AS hour_number,
            min(earlier_days) AS earlier_days,
            -- What is near the same hour of the day before is more than 20 h away: never the same night.
            count(DISTINCT earlier.hour_number - step) AS days_near
        FROM judged_hours
        CROSS JOIN (VALUES (-2), (-1), (0), (1), (2)) AS around(step)
        LEFT JOIN hours AS earlier
            ON earlier.person = judged_hours.person
            AND earlier.hour_number % 24 = (judged_hours.hour_number + step) % 24
            AND earlier.hour_number - step < judged_hours.hour_number
        GROUP BY judged_hours.person, judged_hours.hour_number
        HAVING count(DISTINCT earlier.hour_number - step) = 0
            OR count(DISTINCT earlier.hour_number - step) / nullif(min(earlier_days), 0) <= $max_share
    """,
)

HOURS_OF_PEOPLE = (_QUARTERS, _PERSONS, _HOURS, _DAYS, _EARLY_HOURS, _JUDGED_HOURS, _RARE_HOURS)
"""The relations, each asked after those that it names."""
