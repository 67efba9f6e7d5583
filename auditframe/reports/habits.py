"""What is unlike an actor's own past."""

from __future__ import annotations

from auditframe.reports._base import check
from auditframe.reports._columns import ReportColumn
from auditframe.reports._hours import HOURS_OF_PEOPLE
from auditframe.reports._parameters import Zone
from auditframe.reports._sightings import SIGHTINGS
from auditframe.reports._specs import Points


@check(
    severity="low",
    columns=(
        ReportColumn("last_at", "instant", "When the last of these events took effect, in UTC."),
        ReportColumn("events", "integer", "How many events these are.", "events"),
        ReportColumn("earlier_days", "integer", "On how many days before these hours the actor had acted.", "days"),
        ReportColumn("days_near", "integer", "On how many of these within two hours of that time of day.", "days"),
    ),
    plot=Points(at="effective_at", label="actor"),
    relations=HOURS_OF_PEOPLE,
    controls=("SOC 2 CC7.2", "ISO/IEC 27001:2022 A.8.16", "NIST SP 800-53 r5 AC-2", "NIST SP 800-53 r5 AU-6"),
)
def off_hours_activity(*, zone: Zone = "UTC", min_days: int = 30, max_share: float = 0.02) -> str:
    """Who acted at hours of the day at which they practically never act?

    One row for an actor and a spell of such hours; hours of the clock that begin at most six hours apart, such as
    those of one night, are one spell. An hour is measured against the actor's own past alone: the days before on
    which they acted, and on how many of them they did so in that hour of the clock or one of the two before or after
    it. These five hours lie around the same hour of an earlier day, even past its midnight: a night is never its own
    past. Of a spell of several hours the first one's past is shown. What is judged is no part of what it is measured
    against, and neither is what comes later, so that no later day takes a finding away. Judged are the sessions of
    named people, without sign-outs, which may be a session's end and nobody's deed, and without failed sign-ins. API
    keys and service accounts run at all hours and are left out. Actors with too few days of past are not judged: ask
    it of a long enough part of the log. A change of shift or of continent is found until it is no longer rare. Days of
    the week are not looked at. People are compared, and named, by e-mail address in lower case, else by id.

    Args:
        zone: The time zone whose hours are meant; another one moves hours and their past alike, but a zone with
            daylight saving time keeps the habits of those who live in it at the same hour all year.
        min_days: Judge nobody who had acted on fewer days before [days].
        max_share: The largest share of these days near that hour at which an hour still counts as unusual [1].
    """
    return """
        WITH begun AS (
            SELECT
                *,
                CASE
                    WHEN hour_number - lag(hour_number) OVER (PARTITION BY person ORDER BY hour_number) <= 6 THEN 0
                    ELSE 1
                END AS begins
            FROM rare_hours
        ),
        spells AS (
            SELECT *, sum(begins) OVER (PARTITION BY person ORDER BY hour_number) AS spell FROM begun
        ),
        found AS (
            SELECT
                persons.actor AS actor,
                spell,
                min(effective_at) AS first_at,
                max(effective_at) AS last_at,
                count(*) AS events,
                arg_min(earlier_days, spells.hour_number) AS earlier_days,
                arg_min(days_near, spells.hour_number) AS days_near,
                CASE WHEN min(resource_id) = max(resource_id) THEN min(resource_id) END AS resource_id,
                list(id ORDER BY effective_at, id) AS event_ids
            FROM spells
            JOIN persons ON nth = person
            JOIN quarters ON quarters.hour_number = spells.hour_number
            JOIN events
                ON coalesce(lower(actor_email), actor_id) = persons.actor
                AND CAST(floor(epoch(effective_at) / 900) AS BIGINT) = quarter
            WHERE actor_type = 'session'
                AND area <> 'logout'
                AND type NOT IN (SELECT type FROM catalogue WHERE effect = 'login_failed')
            GROUP BY persons.actor, spell
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
    relations=SIGHTINGS,
    controls=("SOC 2 CC6.1", "SOC 2 CC7.2", "ISO/IEC 27001:2022 A.8.16", "NIST SP 800-53 r5 AU-6"),
)
def first_seen(*, learn_days: int = 14) -> str:
    """Who was seen with a network, country, client or API key that they had never used before?

    One row for an actor and a new thing, at the first event with it; one event can show several new things. A new
    starter is no news: nothing is reported until the actor has been seen for some days with other things of the
    kind, or, for API keys, in any way. What they are seen with at the very instant at which that begins is never news.
    What an event does not say is never new. A network is known when its number (ip_asn) or its block of addresses (/24,
    or /48 of IPv6) is; events without a number go by the block. User agents are compared without any digit, dot or
    underscore, so that an update of a browser is no news. Events of failed sign-ins are not counted: an attacker's
    failures would make his network a known one before he gets in. A corporate proxy that is switched on gives everybody
    a new JA4 on one day; that is no attack, and much alike on one day is the sign of it. Actors are compared, and
    named, by e-mail address in lower case, else by id, else by API key.

    Args:
        learn_days: How long an actor is known before anything is news; exactly so long is enough [days].
    """
    return """
        WITH known AS (
            SELECT actor, min(first_at) AS known_from FROM acts GROUP BY actor
        ),
        firsts AS (
            SELECT actor, kind, value, min(first_at) AS first_at
            FROM sightings
            WHERE value IS NOT NULL
            GROUP BY actor, kind, value
        ),
        counted AS (
            SELECT
                firsts.actor AS actor,
                kind,
                value,
                first_at,
                row_number() OVER (PARTITION BY firsts.actor, kind ORDER BY first_at, value) - 1 AS earlier_values,
                CASE
                    WHEN kind = 'api_key' THEN known_from
                    ELSE min(first_at) OVER (PARTITION BY firsts.actor, kind)
                END AS learned_from
            FROM firsts JOIN known ON known.actor = firsts.actor
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
            JOIN sightings
                ON sightings.actor = news.actor AND sightings.kind = news.kind AND sightings.value = news.value
                AND sightings.first_at = news.first_at
            JOIN events
                ON coalesce(lower(actor_email), actor_id, actor_api_key_id) = news.actor
                AND effective_at = news.first_at
                AND events.ip_address IS NOT DISTINCT FROM sightings.ip_address
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
