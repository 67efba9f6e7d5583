"""What is unlike an actor's own past."""

from __future__ import annotations

from auditframe.reports._base import check
from auditframe.reports._columns import ReportColumn
from auditframe.reports._parameters import Zone
from auditframe.reports._specs import Points


@check(
    severity="low",
    columns=(
        ReportColumn("last_at", "instant", "When the last of these events took effect, in UTC."),
        ReportColumn("events", "integer", "How many events these are.", "events"),
        ReportColumn("earlier_days", "integer", "On how many days before the actor had acted.", "days"),
        ReportColumn("days_near", "integer", "On how many of these within two hours of that time of day.", "days"),
    ),
    plot=Points(at="effective_at", label="actor"),
    controls=("SOC 2 CC7.2", "ISO/IEC 27001:2022 A.8.16", "NIST SP 800-53 r5 AC-2", "NIST SP 800-53 r5 AU-6"),
)
def off_hours_activity(*, zone: Zone = "UTC", min_days: int = 30, max_share: float = 0.02) -> str:
    """Who acted at hours of the day at which they practically never act?

    One row for an actor and a spell of such hours; hours of the clock that begin at most six hours apart, such as
    those of one night, are one spell. An hour is measured against the actor's own past alone: the days before on
    which they acted, and on how many of them they did so in that hour of the clock or one of the two before or after
    it. What is judged is no part of what it is measured against, and neither is what comes later, so that no later
    day takes a finding away. Judged are the sessions of named people, without sign-outs, which may be a session's end
    and nobody's deed, and without failed sign-ins. API keys and service accounts run at all hours and are left out.
    Actors with too few days of past are not judged: ask it of a long enough part of the log. A change of shift or of
    continent is found until it is no longer rare. Days of the week are not looked at.

    Args:
        zone: The time zone whose hours are meant; another one moves hours and their past alike, but a zone with
            daylight saving time keeps the habits of those who live in it at the same hour all year.
        min_days: Judge nobody who had acted on fewer days before [days].
        max_share: The largest share of these days near that hour at which an hour still counts as unusual [1].
    """
    # Quarters of an hour are moved to the zone: no zone's clock differs from UTC by a part of one, and so few instants
    # have to be. Actors are numbered, because millions of their hours are sorted. Only hours that are rare by
    # themselves (days_same) are measured with those near them. What is near the same hour of the day before is more
    # than 20 h away: never the same night.
    return """
        WITH quarters AS (
            SELECT CAST(floor(epoch(effective_at) / 900) AS BIGINT) AS quarter, min(effective_at) AS first_at
            FROM events
            WHERE actor_type = 'session'
            GROUP BY CAST(floor(epoch(effective_at) / 900) AS BIGINT)
        ),
        moved AS (
            SELECT quarter, CAST(floor(epoch(first_at AT TIME ZONE $zone) / 3600) AS BIGINT) AS hour_number
            FROM quarters
        ),
        actors AS (
            SELECT actor, row_number() OVER (ORDER BY actor) AS nth
            FROM (SELECT DISTINCT coalesce(actor_email, actor_id) AS actor FROM events WHERE actor_type = 'session')
                AS named
            WHERE actor IS NOT NULL
        ),
        hours AS (
            SELECT DISTINCT nth AS actor, hour_number
            FROM events
            JOIN moved ON quarter = CAST(floor(epoch(effective_at) / 900) AS BIGINT)
            JOIN actors ON actor = coalesce(actor_email, actor_id)
            WHERE actor_type = 'session'
                AND area <> 'logout'
                AND type NOT IN (SELECT type FROM catalogue WHERE effect = 'login_failed')
        ),
        ranked AS (
            SELECT
                *,
                dense_rank() OVER (PARTITION BY actor ORDER BY hour_number // 24) - 1 AS earlier_days,
                row_number() OVER (PARTITION BY actor, hour_number % 24 ORDER BY hour_number) - 1 AS days_same
            FROM hours
        ),
        measured AS (
            SELECT
                ranked.actor AS actor,
                ranked.hour_number AS hour_number,
                min(earlier_days) AS earlier_days,
                count(DISTINCT earlier.hour_number - step) AS days_near
            FROM ranked
            CROSS JOIN (VALUES (-2), (-1), (0), (1), (2)) AS around(step)
            LEFT JOIN hours AS earlier
                ON earlier.actor = ranked.actor
                AND earlier.hour_number % 24 = (ranked.hour_number + step) % 24
                AND earlier.hour_number - step < ranked.hour_number
            WHERE earlier_days >= $min_days AND days_same <= $max_share * earlier_days
            GROUP BY ranked.actor, ranked.hour_number
        ),
        rare AS (
            SELECT
                *,
                CASE
                    WHEN hour_number - lag(hour_number) OVER (PARTITION BY actor ORDER BY hour_number) <= 6 THEN 0
                    ELSE 1
                END AS begins
            FROM measured
            WHERE days_near <= $max_share * earlier_days
        ),
        spells AS (
            SELECT *, sum(begins) OVER (PARTITION BY actor ORDER BY hour_number) AS spell FROM rare
        ),
        found AS (
            SELECT
                actors.actor AS actor,
                spell,
                min(effective_at) AS first_at,
                max(effective_at) AS last_at,
                count(*) AS events,
                min(earlier_days) AS earlier_days,
                max(days_near) AS days_near,
                CASE WHEN min(resource_id) = max(resource_id) THEN min(resource_id) END AS resource_id,
                list(id ORDER BY effective_at, id) AS event_ids
            FROM spells
            JOIN actors ON nth = spells.actor
            JOIN moved ON moved.hour_number = spells.hour_number
            JOIN events
                ON coalesce(actor_email, actor_id) = actors.actor
                AND CAST(floor(epoch(effective_at) / 900) AS BIGINT) = quarter
            WHERE actor_type = 'session'
                AND area <> 'logout'
                AND type NOT IN (SELECT type FROM catalogue WHERE effect = 'login_failed')
            GROUP BY actors.actor, spell
        )
        SELECT
            'off_hours_activity:' || event_ids[1] AS finding,
            'low' AS severity,
            first_at AS effective_at,
            actor,
            resource_id,
            event_ids,
            actor || CASE WHEN events = 1 THEN ' acted at ' ELSE ' acted ' || events || ' times from ' END
                || strftime(first_at AT TIME ZONE $zone, '%Y-%m-%d %H:%M') || CASE
                    WHEN events = 1 THEN ''
                    ELSE ' to ' || strftime(last_at AT TIME ZONE $zone, '%Y-%m-%d %H:%M')
                END
                || ' (' || $zone || '): of the ' || earlier_days || ' days before on which they acted, they did so '
                || 'within two hours of that time of day on ' || days_near || '.' AS why,
            last_at,
            events,
            earlier_days,
            days_near
        FROM found
        ORDER BY first_at, finding
    """


@check(
    severity="info",
    columns=(
        ReportColumn("kind", "text", "What is new: network, country, user_agent, ja4 or api_key."),
        ReportColumn("value", "text", "The new network, country, user agent, fingerprint, or id of the API key."),
        ReportColumn("earlier_values", "integer", "With how many others the actor was seen before.", "values"),
        ReportColumn("ip_address", "text", "The address it came from; null for API keys and if nothing says."),
    ),
    plot=Points(at="effective_at", label="kind"),
    controls=("SOC 2 CC6.1", "SOC 2 CC7.2", "ISO/IEC 27001:2022 A.8.16", "NIST SP 800-53 r5 AU-6"),
)
def first_seen(*, learn_days: int = 14) -> str:
    """Who was seen with a network, country, client or API key that they had never used before?

    One row for an actor and a new thing, at the first event with it; one event can show several new things. A new
    starter is no news: nothing is reported until the actor has been seen for some days with other things of the
    kind, or, for API keys, in any way. What an event does not say is never new. A network is known when its number
    (ip_asn) or its block of addresses (/24, or /48 of IPv6) is; events without a number go by the block. Of a user
    agent the digits are left out, so that an update of a browser is none. Events of failed sign-ins are not counted:
    an attacker's failures would make his network a known one before he gets in. A corporate proxy that is switched
    on gives everybody a new JA4 on one day; that is no attack, and much alike on one day is the sign of it.

    Args:
        learn_days: How long an actor is known before anything is news; exactly so long is enough [days].
    """
    return """
        WITH acts AS (
            SELECT
                coalesce(actor_email, actor_id, actor_api_key_id) AS actor,
                ip_address,
                ip_asn,
                ip_country,
                user_agent,
                ja4,
                actor_api_key_id,
                min(effective_at) AS first_at
            FROM events
            WHERE coalesce(actor_email, actor_id, actor_api_key_id) IS NOT NULL
                AND type NOT IN (SELECT type FROM catalogue WHERE effect = 'login_failed')
            GROUP BY
                coalesce(actor_email, actor_id, actor_api_key_id), ip_address, ip_asn, ip_country, user_agent, ja4,
                actor_api_key_id
        ),
        blocks AS (
            SELECT
                *,
                CASE
                    WHEN ip_address LIKE '%.%' THEN split_part(ip_address, '.', 1) || '.'
                        || split_part(ip_address, '.', 2) || '.' || split_part(ip_address, '.', 3) || '.0/24'
                    ELSE split_part(ip_address, ':', 1) || ':'
                        || coalesce(nullif(split_part(split_part(ip_address, '::', 1), ':', 2), ''), '0') || ':'
                        || coalesce(nullif(split_part(split_part(ip_address, '::', 1), ':', 3), ''), '0') || '::/48'
                END AS block
            FROM acts
        ),
        networks AS (
            SELECT
                *,
                min(first_at) OVER (PARTITION BY actor, block) AS block_at,
                min(first_at) OVER (PARTITION BY actor, ip_asn) AS number_at
            FROM blocks
        ),
        shown AS (
            SELECT actor, 'network' AS kind, ip_asn AS raw_value, coalesce('AS' || replace(ip_asn, 'AS', ''), block)
                AS value, ip_address, first_at
            FROM networks
            WHERE (block IS NULL OR first_at = block_at) AND (ip_asn IS NULL OR first_at = number_at)
            UNION ALL
            SELECT actor, 'country', ip_country, ip_country, ip_address, first_at FROM acts
            UNION ALL
            SELECT actor, 'user_agent', user_agent, translate(user_agent, '0123456789._', ''), ip_address, first_at
            FROM acts
            UNION ALL
            SELECT actor, 'ja4', ja4, ja4, ip_address, first_at FROM acts
            UNION ALL
            SELECT actor, 'api_key', actor_api_key_id, actor_api_key_id, ip_address, first_at FROM acts
        ),
        known AS (
            SELECT actor, min(first_at) AS known_from FROM acts GROUP BY actor
        ),
        sightings AS (
            SELECT actor, kind, value, min(first_at) AS first_at
            FROM shown
            WHERE value IS NOT NULL
            GROUP BY actor, kind, value
        ),
        counted AS (
            SELECT
                sightings.actor AS actor,
                kind,
                value,
                first_at,
                row_number() OVER (PARTITION BY sightings.actor, kind ORDER BY first_at, value) - 1 AS earlier_values,
                CASE
                    WHEN kind = 'api_key' THEN known_from
                    ELSE min(first_at) OVER (PARTITION BY sightings.actor, kind)
                END AS learned_from
            FROM sightings JOIN known ON known.actor = sightings.actor
        ),
        news AS (
            SELECT * FROM counted
            WHERE first_at > learned_from AND epoch(first_at) - epoch(learned_from) >= $learn_days * 86400
        ),
        named AS (
            SELECT
                news.*,
                raw_value,
                events.ip_address AS ip_address,
                id,
                row_number() OVER (PARTITION BY news.actor, news.kind, news.value ORDER BY id) AS nth
            FROM news
            JOIN shown
                ON shown.actor = news.actor AND shown.kind = news.kind AND shown.value = news.value
                AND shown.first_at = news.first_at
            JOIN events
                ON coalesce(actor_email, actor_id, actor_api_key_id) = news.actor
                AND effective_at = news.first_at
                AND events.ip_address IS NOT DISTINCT FROM shown.ip_address
                AND raw_value IS NOT DISTINCT FROM CASE news.kind
                    WHEN 'network' THEN ip_asn
                    WHEN 'country' THEN ip_country
                    WHEN 'user_agent' THEN user_agent
                    WHEN 'ja4' THEN ja4
                    ELSE actor_api_key_id
                END
            WHERE type NOT IN (SELECT type FROM catalogue WHERE effect = 'login_failed')
        ),
        worded AS (
            SELECT *, CASE kind WHEN 'user_agent' THEN raw_value ELSE value END AS shown_value FROM named WHERE nth = 1
        )
        SELECT
            'first_seen:' || id || ':' || kind AS finding,
            'info' AS severity,
            first_at AS effective_at,
            actor,
            NULL AS resource_id,
            [id] AS event_ids,
            actor || ' was first seen with the ' || CASE kind
                WHEN 'user_agent' THEN 'user agent'
                WHEN 'ja4' THEN 'client fingerprint (JA4)'
                WHEN 'api_key' THEN 'API key'
                ELSE kind
            END || ' ' || shown_value || ' on ' || strftime(first_at, '%Y-%m-%d') || '; in the '
                || CAST(floor((epoch(first_at) - epoch(learned_from)) / 86400) AS BIGINT)
                || ' days before that this log knows them, it shows ' || earlier_values || ' other'
                || CASE WHEN earlier_values = 1 THEN '.' ELSE 's.' END AS why,
            kind,
            shown_value AS value,
            earlier_values,
            ip_address
        FROM worded
        ORDER BY first_at, finding
    """
