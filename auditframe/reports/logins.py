"""Signing in: who could not, from which countries, and what came of it."""

from __future__ import annotations

from auditframe.reports._base import check, report
from auditframe.reports._columns import ReportColumn
from auditframe.reports._specs import Bars, Points


@report(
    columns=(
        ReportColumn(
            "actor", "text", "Who failed: e-mail address in lower case, else id, else API key; null if none is named."
        ),
        ReportColumn("ip_address", "text", "The address that the attempts came from; null if the events name none."),
        ReportColumn("failures", "integer", "How many attempts failed.", "events"),
        ReportColumn("first_at", "instant", "When the first attempt failed, in UTC."),
        ReportColumn("last_at", "instant", "When the last attempt failed, in UTC."),
        ReportColumn("error_codes", "texts", "The different reasons given, sorted; empty if none was."),
        ReportColumn("succeeded", "flag", "Whether the actor signed in after the last failure; null without an actor."),
        ReportColumn("next_success_at", "instant", "When the actor first did so, in UTC; null if never."),
        ReportColumn("next_success_id", "text", "Id of that event; null if never."),
        ReportColumn("event_ids", "texts", "Ids of the failures, in time order."),
    ),
    plot=Bars(
        label=("actor", "ip_address"),
        value="failures",
        flag="succeeded",
        flag_meanings=("signed in afterwards", "did not sign in afterwards"),
    ),
    controls=("SOC 2 CC6.1", "ISO/IEC 27001:2022 A.8.5", "NIST SP 800-53 r5 AC-7"),
)
def login_failures(*, min_failures: int = 1) -> str:
    """Who failed to sign in, from where, and did it work later?

    One row for each pair of actor and IP address, the most failures first. The success that followed may have come
    from any address. Events of the same second stand in the order of their ids, which is fixed but arbitrary. A
    failure that names no actor, or no address, falls into a group of its own kind; without an actor nobody can say
    whether a success followed, so that stays null.

    Args:
        min_failures: Leave out pairs with fewer failures [events].
    """
    return """
        WITH failed AS (
            SELECT
                coalesce(lower(actor_email), actor_id, actor_api_key_id) AS actor,
                ip_address,
                count(*) AS failures,
                min(effective_at) AS first_at,
                max(effective_at) AS last_at,
                coalesce(
                    array_sort(array_agg(DISTINCT detail_error_code) FILTER (WHERE detail_error_code IS NOT NULL)),
                    CAST([] AS VARCHAR[])
                ) AS error_codes,
                list(events.id ORDER BY effective_at, events.id) AS event_ids
            FROM events JOIN catalogue ON catalogue.type = events.type
            WHERE effect = 'login_failed'
            GROUP BY coalesce(lower(actor_email), actor_id, actor_api_key_id), ip_address
            HAVING count(*) >= $min_failures
        ),
        lasts AS (
            SELECT actor, ip_address, last_at, event_ids[CAST(cardinality(event_ids) AS BIGINT)] AS last_id
            FROM failed
            WHERE actor IS NOT NULL
        ),
        later AS (
            SELECT lasts.actor AS actor, last_at, min(effective_at) AS login_at
            FROM lasts
            JOIN (
                SELECT coalesce(lower(actor_email), actor_id, actor_api_key_id) AS actor, effective_at
                FROM events JOIN catalogue ON catalogue.type = events.type
                WHERE effect = 'login'
            ) AS logins ON logins.actor = lasts.actor AND effective_at > last_at
            GROUP BY lasts.actor, last_at
        ),
        moments AS (
            -- Where the next success can be: in the second of the last failure, or in that of the first login later.
            SELECT actor, ip_address, last_at, last_id, last_at AS moment FROM lasts
            UNION ALL
            SELECT lasts.actor, ip_address, lasts.last_at, last_id, login_at
            FROM lasts JOIN later ON later.actor = lasts.actor AND later.last_at = lasts.last_at
        ),
        named AS (
            SELECT
                moments.actor AS actor,
                moments.ip_address AS ip_address,
                min({'at': effective_at, 'id': events.id}) AS success
            FROM events
            JOIN catalogue ON catalogue.type = events.type
            JOIN moments
                ON moments.actor = coalesce(lower(actor_email), actor_id, actor_api_key_id) AND moment = effective_at
            WHERE effect = 'login' AND (effective_at > last_at OR events.id > last_id)
            GROUP BY moments.actor, moments.ip_address
        )
        SELECT
            failed.actor AS actor,
            failed.ip_address AS ip_address,
            failures,
            first_at,
            last_at,
            error_codes,
            CASE WHEN failed.actor IS NOT NULL THEN success IS NOT NULL END AS succeeded,
            success.at AS next_success_at,
            success.id AS next_success_id,
            event_ids
        FROM failed LEFT JOIN named
            ON named.actor = failed.actor AND named.ip_address IS NOT DISTINCT FROM failed.ip_address
        ORDER BY failures DESC, failed.actor ASC NULLS LAST, failed.ip_address ASC NULLS LAST
    """


@report(
    columns=(
        ReportColumn("country", "text", "Country of the addresses, as a code; null where the events name none."),
        ReportColumn("actors", "integer", "How many different actors signed in from there.", "actors"),
        ReportColumn("logins", "integer", "How often somebody signed in from there.", "events"),
        ReportColumn("failures", "integer", "How many attempts from there failed.", "events"),
        ReportColumn("first_at", "instant", "When the first attempt from there was made, failed or not, in UTC."),
        ReportColumn("last_at", "instant", "When the last one was made, in UTC."),
        ReportColumn("once", "texts", "The actors who signed in from there one single time, sorted."),
        ReportColumn("first_event_id", "text", "Id of the first attempt."),
        ReportColumn("last_event_id", "text", "Id of the last attempt."),
    ),
    plot=Bars(label=("country",), value="logins"),
    controls=("SOC 2 CC6.1", "SOC 2 CC6.6", "ISO/IEC 27001:2022 A.8.15", "NIST SP 800-53 r5 AU-6"),
)
def logins_by_country() -> str:
    """From which countries do people sign in?

    One row a country, the most logins first. It is the country that the API attributes to the address, so whoever comes
    through a corporate network or a VPN counts where that ends. A country with failures and no login is one from which
    attempts are made and nobody works. once names those for whom a country is an exception, or new; of events that
    name no country nobody can say so, and it stays empty. Attempts that name no actor count as events and not as
    actors.
    """
    return """
        WITH visits AS (
            SELECT
                ip_country AS country,
                coalesce(lower(actor_email), actor_id, actor_api_key_id) AS actor,
                count(CASE WHEN effect = 'login' THEN 1 END) AS logins,
                count(CASE WHEN effect = 'login_failed' THEN 1 END) AS failures,
                min(effective_at) AS first_at,
                max(effective_at) AS last_at,
                arg_min(events.id, {'at': effective_at, 'id': events.id}) AS first_id,
                arg_max(events.id, {'at': effective_at, 'id': events.id}) AS last_id
            FROM events JOIN catalogue ON catalogue.type = events.type
            WHERE effect IN ('login', 'login_failed')
            GROUP BY ip_country, coalesce(lower(actor_email), actor_id, actor_api_key_id)
        )
        SELECT
            country,
            count(CASE WHEN logins > 0 THEN actor END) AS actors,
            sum(logins) AS logins,
            sum(failures) AS failures,
            min(first_at) AS first_at,
            max(last_at) AS last_at,
            coalesce(
                array_sort(array_agg(actor) FILTER (WHERE logins = 1 AND actor IS NOT NULL AND country IS NOT NULL)),
                CAST([] AS VARCHAR[])
            ) AS once,
            arg_min(first_id, {'at': first_at, 'id': first_id}) AS first_event_id,
            arg_max(last_id, {'at': last_at, 'id': last_id}) AS last_event_id
        FROM visits
        GROUP BY country
        ORDER BY sum(logins) DESC, sum(failures) DESC, country ASC NULLS LAST
    """


@check(
    severity="high",
    columns=(
        ReportColumn("failures", "integer", "How many attempts failed before the success.", "events"),
        ReportColumn("first_failure_at", "instant", "When the first of them failed, in UTC."),
        ReportColumn(
            "failure_addresses", "texts", "The addresses that they came from, sorted; empty if none is named."
        ),
        ReportColumn("ip_address", "text", "The address that the success came from; null if the event names none."),
        ReportColumn(
            "known_address", "flag", "Whether the actor had signed in from it before; null without an address."
        ),
        ReportColumn("success_event_id", "text", "Id of the success."),
    ),
    plot=Points(at="effective_at", label="actor"),
    controls=("SOC 2 CC6.1", "SOC 2 CC7.2", "ISO/IEC 27001:2022 A.8.5", "NIST SP 800-53 r5 AC-7"),
)
def success_after_failures(*, min_failures: int = 5, within_minutes: int = 60) -> str:
    """Whose login worked right after many failed attempts?

    One row for each success that ends a run of failures of the same actor: a password that was guessed, or one that
    was hard to type. Failures count from the last success on, and only those less than the given time before the
    success; whoever mistypes twice is no finding. Attempts of one second stand in the order of their ids. It is high
    when the success came from a network that the actor had never signed in from; medium when it was another address
    of a network that is known, when no address is named, when the events do not tell its network or those of earlier
    logins, or when the source holds no earlier login of the actor to compare with; low when the actor had signed in
    from that very address before. Accounts are compared by e-mail address in lower case, else by id, else by API key.
    Attempts that name no actor are nobody's: they are left out.

    Args:
        min_failures: Leave out shorter runs [events].
        within_minutes: A failure counts when it is less than this before the success [minutes].
    """
    return """
        WITH failures AS (
            SELECT
                coalesce(lower(actor_email), actor_id, actor_api_key_id) AS actor,
                floor(epoch(effective_at) / greatest(60 * $within_minutes, 1)) AS nth
            FROM events JOIN catalogue ON catalogue.type = events.type
            WHERE effect = 'login_failed' AND coalesce(actor_email, actor_id, actor_api_key_id) IS NOT NULL
        ),
        troubled AS (
            -- What lies within the time lies within two spans of the clock side by side.
            SELECT DISTINCT actor
            FROM failures CROSS JOIN (VALUES (0), (1)) AS either(later)
            GROUP BY actor, nth + later
            HAVING count(*) >= $min_failures
        ),
        attempts AS (
            SELECT
                effect,
                events.id AS id,
                effective_at,
                CAST(round(epoch(effective_at) * 1000000) AS BIGINT) AS at_us,
                actor,
                ip_address,
                ip_asn
            FROM events
            JOIN catalogue ON catalogue.type = events.type
            JOIN troubled ON troubled.actor = coalesce(lower(actor_email), actor_id, actor_api_key_id)
            WHERE effect IN ('login', 'login_failed')
        ),
        numbered AS (
            SELECT
                *,
                count(CASE WHEN effect = 'login' THEN 1 END) OVER (
                    PARTITION BY actor ORDER BY effective_at, id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
                ) AS logins_before
            FROM attempts
        ),
        runs AS (
            SELECT
                entry.id AS success_id,
                arg_min(failed.id, {'at': failed.effective_at, 'id': failed.id}) AS first_id,
                count(*) AS failures,
                min(failed.effective_at) AS first_at,
                min(failed.at_us) AS first_us,
                list(failed.id ORDER BY failed.effective_at, failed.id) AS failure_ids,
                coalesce(
                    array_sort(array_agg(DISTINCT failed.ip_address) FILTER (WHERE failed.ip_address IS NOT NULL)),
                    CAST([] AS VARCHAR[])
                ) AS failure_addresses
            FROM numbered AS entry
            JOIN numbered AS failed
                ON failed.actor = entry.actor
                AND failed.logins_before = entry.logins_before
                AND failed.effect = 'login_failed'
                AND entry.at_us - failed.at_us < 60000000 * CAST($within_minutes AS BIGINT)
            WHERE entry.effect = 'login'
            GROUP BY entry.id
            HAVING count(*) >= $min_failures
        ),
        judged AS (
            SELECT
                runs.success_id,
                count(CASE WHEN earlier.ip_address = entry.ip_address THEN 1 END) > 0 AS address_known,
                count(CASE WHEN earlier.ip_asn = entry.ip_asn THEN 1 END) > 0 AS network_known,
                count(CASE WHEN earlier.ip_asn <> entry.ip_asn THEN 1 END) > 0 AS network_other
            FROM runs
            JOIN numbered AS entry ON entry.id = runs.success_id
            LEFT JOIN numbered AS earlier
                ON earlier.actor = entry.actor
                AND earlier.effect = 'login'
                AND earlier.logins_before < entry.logins_before
            GROUP BY runs.success_id
        )
        SELECT
            'success_after_failures:' || first_id AS finding,
            CASE
                WHEN address_known THEN 'low'
                WHEN network_other AND NOT network_known AND ip_address IS NOT NULL THEN 'high'
                ELSE 'medium'
            END AS severity,
            effective_at,
            actor,
            CAST(NULL AS VARCHAR) AS resource_id,
            list_concat(failure_ids, [success_id]) AS event_ids,
            actor || ' signed in after ' || failures || ' failed attempts in ' || ((at_us - first_us) // 60000000 + 1)
                || ' min, from ' || CASE
                    WHEN ip_address IS NULL THEN 'an address that is not named.'
                    WHEN address_known THEN 'an address of earlier logins, ' || ip_address || '.'
                    WHEN logins_before = 0 THEN ip_address || '; no earlier login is there to compare it with.'
                    WHEN network_known THEN 'a new address in a network of earlier logins, ' || ip_address || '.'
                    WHEN NOT network_other THEN 'a new address, ' || ip_address
                        || '; the events do not tell whether its network is new, too.'
                    ELSE 'a network that it had never signed in from, at ' || ip_address || '.'
                END AS why,
            failures,
            first_at AS first_failure_at,
            failure_addresses,
            ip_address,
            CASE WHEN ip_address IS NOT NULL THEN address_known END AS known_address,
            success_id AS success_event_id
        FROM runs JOIN judged USING (success_id) JOIN numbered ON numbered.id = runs.success_id
        ORDER BY effective_at, finding
    """
