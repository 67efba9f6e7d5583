"""Places and devices: logins too far apart, and clients that are not what they say."""

from __future__ import annotations

from auditframe.reports._base import check
from auditframe.reports._columns import ReportColumn
from auditframe.reports._specs import Points


@check(
    severity="medium",
    columns=(
        ReportColumn("from_place", "text", "City and country of the earlier login; null if the event names neither."),
        ReportColumn("to_place", "text", "City and country of the later login; null if the event names neither."),
        ReportColumn("from_address", "text", "Address of the earlier login; null if the event names none."),
        ReportColumn("to_address", "text", "Address of the later login; null if the event names none."),
        ReportColumn("distance_km", "number", "Great-circle distance between the two.", "km"),
        ReportColumn("hours", "number", "Time between the two.", "h"),
        ReportColumn("speed_kmh", "number", "Distance over time; null for two logins of the same second.", "km/h"),
        ReportColumn("from_event_id", "text", "Id of the earlier login."),
        ReportColumn("to_event_id", "text", "Id of the later login."),
    ),
    plot=Points(at="effective_at", label="actor"),
    controls=("SOC 2 CC6.1", "SOC 2 CC6.6", "SOC 2 CC7.2", "ISO/IEC 27001:2022 A.8.16", "NIST SP 800-53 r5 AU-6"),
)
def impossible_travel(*, max_kmh: float = 900.0, min_km: float = 500.0, egress_actors: int = 3) -> str:
    """Who signed in from two places faster than anybody travels?

    One row for each two consecutive logins of an actor whose places are farther apart than the time between them
    allows. Either somebody else holds the password, or one of the places is only where a tunnel ends. Places are the
    coordinates that the API gives for the address; a login without them, or with some that are nowhere on earth, is
    passed over. An address that moved is no jump. The same jump between the same two networks, there or back, is medium
    at its first time and low from then on; an address without a network number stands for its network, and a jump one
    end of which has neither is always medium. An actor's e-mail address is in lower case.

    A corporate tunnel is learned from the data and not reported: an address that several actors jump to or from on two
    days or more each, or a network in which they do so at addresses that two actors or more signed in from. The day of
    a jump is that of the later login. So a source of one day knows no tunnel, and an attacker who keeps that many
    accounts busy from one address for days passes for one. Behind such a tunnel everybody seems to be at its end:
    nothing is found there.

    Args:
        max_kmh: The highest speed that is possible; only above it a jump is reported [km/h].
        min_km: Shorter jumps are left out, because places of addresses are imprecise [km].
        egress_actors: From how many such actors on a network is a tunnel [actors].
    """
    return """
        WITH places AS (
            SELECT
                coalesce(lower(actor_email), actor_id, actor_api_key_id) AS actor,
                ip_address,
                min(ip_latitude) AS south,
                max(ip_latitude) AS north,
                min(ip_longitude) AS west,
                max(ip_longitude) AS east
            FROM events JOIN catalogue ON catalogue.type = events.type
            WHERE effect = 'login'
            GROUP BY coalesce(lower(actor_email), actor_id, actor_api_key_id), ip_address
        ),
        wanderers AS (
            -- Who never left a box of this size made no jump, and need not be sorted.
            SELECT actor
            FROM places
            GROUP BY actor
            HAVING 6372 * radians(max(north) - min(south) + max(east) - min(west)) >= $min_km
        ),
        logins AS (
            SELECT
                events.id AS id,
                effective_at,
                CAST(round(epoch(effective_at) * 1000000) AS BIGINT) AS at_us,
                actor,
                ip_address,
                ip_asn,
                nullif(concat_ws(', ', ip_city, ip_country), '') AS place,
                ip_latitude AS latitude,
                ip_longitude AS longitude
            FROM events
            JOIN catalogue ON catalogue.type = events.type
            JOIN wanderers ON wanderers.actor = coalesce(lower(actor_email), actor_id, actor_api_key_id)
            WHERE effect = 'login' AND ip_latitude BETWEEN -90 AND 90 AND ip_longitude BETWEEN -180 AND 180
        ),
        paired AS (
            SELECT
                *,
                lag(id) OVER earlier AS from_id,
                lag(at_us) OVER earlier AS from_us,
                lag(ip_address) OVER earlier AS from_address,
                lag(ip_asn) OVER earlier AS from_asn,
                lag(place) OVER earlier AS from_place,
                lag(latitude) OVER earlier AS from_latitude,
                lag(longitude) OVER earlier AS from_longitude
            FROM logins
            WINDOW earlier AS (PARTITION BY actor ORDER BY effective_at, id)
        ),
        measured AS (
            SELECT
                *,
                2 * 6371.0088 * asin(sqrt(least(1.0,
                    pow(sin(radians(latitude - from_latitude) / 2), 2)
                    + cos(radians(latitude)) * cos(radians(from_latitude))
                        * pow(sin(radians(longitude - from_longitude) / 2), 2)
                ))) AS km,
                (at_us - from_us) / 3600000000 AS hours,
                floor(at_us / 1000000) = floor(from_us / 1000000) AS is_same_second
            FROM paired
            WHERE from_id IS NOT NULL
                AND (latitude <> from_latitude OR longitude <> from_longitude)
                AND coalesce(ip_address <> from_address, true)
        ),
        jumps AS (
            SELECT
                *,
                coalesce(ip_asn, ip_address) AS network,
                coalesce(from_asn, from_address) AS from_network
            FROM measured
            WHERE km >= $min_km AND km > $max_kmh * hours
        ),
        ends AS (
            SELECT actor, floor(epoch(effective_at) / 86400) AS day, ip_address, ip_asn FROM jumps
            UNION ALL
            SELECT actor, floor(epoch(effective_at) / 86400), from_address, from_asn FROM jumps
        ),
        shared AS (
            SELECT ip_address
            FROM places
            WHERE ip_address IS NOT NULL
            GROUP BY ip_address
            HAVING min(actor) < max(actor)
        ),
        habits AS (
            SELECT 'address' AS kind, ip_address AS network, actor
            FROM ends
            WHERE ip_address IS NOT NULL
            GROUP BY ip_address, actor
            HAVING min(day) < max(day)
            UNION ALL
            SELECT 'asn', ip_asn, actor
            FROM ends JOIN shared USING (ip_address)
            WHERE ip_asn IS NOT NULL
            GROUP BY ip_asn, actor
            HAVING min(day) < max(day)
        ),
        tunnels AS (SELECT kind, network FROM habits GROUP BY kind, network HAVING count(*) >= $egress_actors),
        addresses AS (SELECT network AS ip_address FROM tunnels WHERE kind = 'address'),
        asns AS (SELECT network AS ip_asn FROM tunnels WHERE kind = 'asn'),
        reported AS (
            SELECT
                *,
                row_number() OVER (
                    -- Of one network and none, least and greatest are both the one.
                    PARTITION BY
                        actor, least(network, from_network), greatest(network, from_network),
                        network IS NULL OR from_network IS NULL
                    ORDER BY effective_at, id
                ) AS nth
            FROM jumps
            WHERE NOT EXISTS (SELECT 1 FROM addresses WHERE addresses.ip_address = jumps.ip_address)
                AND NOT EXISTS (SELECT 1 FROM addresses WHERE addresses.ip_address = jumps.from_address)
                AND NOT EXISTS (SELECT 1 FROM asns WHERE asns.ip_asn = jumps.ip_asn)
                AND NOT EXISTS (SELECT 1 FROM asns WHERE asns.ip_asn = jumps.from_asn)
        )
        SELECT
            'impossible_travel:' || from_id AS finding,
            CASE WHEN nth = 1 OR network IS NULL OR from_network IS NULL THEN 'medium' ELSE 'low' END AS severity,
            effective_at,
            actor,
            CAST(NULL AS VARCHAR) AS resource_id,
            [from_id, id] AS event_ids,
            actor || ' signed in from ' || coalesce(from_place, from_latitude || ', ' || from_longitude) || ' and '
                || CASE
                    WHEN is_same_second THEN 'in the same second'
                    WHEN hours < 1 THEN (at_us - from_us) // 60000000 || ' min '
                        || (at_us - from_us) // 1000000 % 60 || ' s later'
                    ELSE CAST(hours AS DECIMAL(18, 1)) || ' h later'
                END || ' from ' || coalesce(place, latitude || ', ' || longitude) || ', '
                || CAST(round(km) AS BIGINT) || ' km away'
                || CASE
                    WHEN is_same_second THEN '.'
                    ELSE ': ' || CAST(round(km / hours) AS BIGINT) || ' km/h.'
                END AS why,
            from_place,
            place AS to_place,
            from_address,
            ip_address AS to_address,
            round(km, 1) AS distance_km,
            round(hours, 2) AS hours,
            CASE WHEN NOT is_same_second THEN round(km / hours, 1) END AS speed_kmh,
            from_id AS from_event_id,
            id AS to_event_id
        FROM reported
        ORDER BY effective_at, id
    """


@check(
    severity="medium",
    columns=(
        ReportColumn("client", "text", "The family of clients that the sessions announce: engine, or product name."),
        ReportColumn("handshake", "text", "The first part of their JA4: protocol, version and counts."),
        ReportColumn("usual_handshakes", "texts", "What this family usually shows here, sorted."),
        ReportColumn("networks", "texts", "Numbers of the networks they came from, sorted; empty if none is named."),
        ReportColumn("last_at", "instant", "When the last of these events took effect, in UTC."),
        ReportColumn("events", "integer", "How many events have this client and handshake.", "events"),
    ),
    plot=Points(at="effective_at", label="actor"),
    controls=("SOC 2 CC6.1", "SOC 2 CC7.2", "ISO/IEC 27001:2022 A.8.16", "NIST SP 800-53 r5 AU-6"),
    is_roomy=True,
)
def fingerprint_changes(*, min_actors: int = 3) -> str:
    """Whose session announces a client that its TLS handshake does not fit?

    One row for each actor, client and handshake that do not go together: a script that calls itself a browser, or a
    stolen session that is used elsewhere. All events with a session count, since a stolen session never signs in. The
    handshake is the first part of the JA4, such as t13d1516h2; the two hashes after it differ between releases.

    What fits is learned from the data, failed logins left out. A handshake is usual for a client when enough actors
    show the two together, in two networks or in an established one, which is one that as many actors use on two days or
    more each. A handshake is usual in an established network when enough actors show it there. So a TLS proxy is no
    finding: it shows its own handshake for every browser behind it, and what clients show there teaches nothing about
    them. A proxy is what shows one whole JA4 for two families of clients or more, to enough actors together, in an
    established network. A network is the number that the event gives, else the one that other events with actor, client
    and handshake give the address, the greatest of several, else the address; what gives none of these fits when its
    handshake is usual in any established network.

    Nor is a new release a finding, once enough actors run it; the first ones may be reported until then. A client of
    which nothing usual is known is not judged. It is medium for an actor who showed a usual handshake with the same
    client before, other than in a failed login, and low for one who always looked like this: some virus scanners act as
    a proxy on one computer. Actors are compared, and named, by e-mail address in lower case, else by id, else by API
    key.

    Args:
        min_actors: How many actors make something usual [actors].
    """
    return """
        WITH sessions AS (
            SELECT
                coalesce(lower(actor_email), actor_id, actor_api_key_id) AS actor,
                user_agent,
                ja4,
                ip_address,
                ip_asn,
                coalesce(effect, 'other') = 'login_failed' AS failed,
                min({'at': effective_at, 'id': events.id}) AS first_event,
                min(CAST(effective_at AS DATE)) AS first_day,
                max(CAST(effective_at AS DATE)) AS last_day
            FROM events LEFT JOIN catalogue ON catalogue.type = events.type
            WHERE user_agent IS NOT NULL
                AND ja4 IS NOT NULL
                AND coalesce(actor_email, actor_id, actor_api_key_id) IS NOT NULL
            GROUP BY
                coalesce(lower(actor_email), actor_id, actor_api_key_id), user_agent, ja4, ip_address, ip_asn,
                coalesce(effect, 'other') = 'login_failed'
        ),
        places AS (
            SELECT ip_address, max(ip_asn) AS asn
            FROM sessions
            WHERE ip_address IS NOT NULL AND ip_asn IS NOT NULL
            GROUP BY ip_address
        ),
        looks AS (
            SELECT
                sessions.*,
                split_part(ja4, '_', 1) AS handshake,
                coalesce(ip_asn, asn, sessions.ip_address) AS network,
                CASE
                    WHEN user_agent LIKE '%Firefox/%' THEN 'Firefox'
                    WHEN user_agent LIKE '%CriOS/%' OR user_agent LIKE '%FxiOS/%' OR user_agent LIKE '%EdgiOS/%'
                        THEN 'Safari'
                    WHEN user_agent LIKE '%Chrome/%' OR user_agent LIKE '%Chromium/%' THEN 'Chromium'
                    WHEN user_agent LIKE '%Safari/%' THEN 'Safari'
                    ELSE split_part(split_part(user_agent, ' ', 1), '/', 1)
                END AS client
            FROM sessions LEFT JOIN places ON places.ip_address = sessions.ip_address
        ),
        known AS (SELECT * FROM looks WHERE NOT failed),
        regulars AS (
            SELECT network, actor
            FROM known
            WHERE network IS NOT NULL
            GROUP BY network, actor
            HAVING min(first_day) < max(last_day)
        ),
        established AS (SELECT network FROM regulars GROUP BY network HAVING count(*) >= $min_actors),
        local AS (
            SELECT network, handshake
            FROM known JOIN established USING (network)
            GROUP BY network, handshake
            HAVING count(DISTINCT actor) >= $min_actors
        ),
        proxies AS (
            SELECT network, handshake
            FROM known JOIN established USING (network)
            GROUP BY network, handshake, ja4
            HAVING count(DISTINCT actor) >= $min_actors AND min(client) < max(client)
        ),
        usual AS (
            SELECT client, handshake
            FROM known LEFT JOIN established ON established.network = known.network
            WHERE NOT EXISTS (
                SELECT 1 FROM proxies WHERE proxies.network = known.network AND proxies.handshake = known.handshake
            )
            GROUP BY client, handshake
            HAVING count(DISTINCT actor) >= $min_actors
                AND (count(DISTINCT known.network) >= 2 OR count(established.network) > 0)
        ),
        habits AS (
            SELECT client, array_sort(array_agg(handshake)) AS usual_handshakes FROM usual GROUP BY client
        ),
        fitting AS (
            SELECT actor, client, min(first_event) AS first_fit
            FROM known JOIN usual USING (client, handshake)
            GROUP BY actor, client
        ),
        strange AS (
            SELECT *
            FROM looks
            WHERE NOT EXISTS (
                    SELECT 1 FROM usual WHERE usual.client = looks.client AND usual.handshake = looks.handshake
                )
                AND NOT EXISTS (
                    SELECT 1 FROM local
                    WHERE local.handshake = looks.handshake AND local.network = coalesce(looks.network, local.network)
                )
        ),
        found AS (
            SELECT
                strange.actor AS actor,
                client,
                handshake,
                usual_handshakes,
                min({'at': effective_at, 'id': events.id}) AS first_event,
                arg_min(events.id, {'at': effective_at, 'id': events.id}) AS first_id,
                min(effective_at) AS first_at,
                max(effective_at) AS last_at,
                count(*) AS events,
                list(events.id ORDER BY effective_at, events.id) AS ids,
                coalesce(
                    array_sort(array_agg(DISTINCT events.ip_asn) FILTER (WHERE events.ip_asn IS NOT NULL)),
                    CAST([] AS VARCHAR[])
                ) AS networks
            FROM strange
            JOIN habits USING (client)
            JOIN events
                ON coalesce(lower(actor_email), actor_id, actor_api_key_id) = strange.actor
                AND events.user_agent = strange.user_agent
                AND events.ja4 = strange.ja4
                AND events.ip_address IS NOT DISTINCT FROM strange.ip_address
                AND events.ip_asn IS NOT DISTINCT FROM strange.ip_asn
            LEFT JOIN catalogue ON catalogue.type = events.type
            WHERE failed = (coalesce(effect, 'other') = 'login_failed')
            GROUP BY strange.actor, client, handshake, usual_handshakes
        )
        SELECT
            'fingerprint_changes:' || first_id AS finding,
            CASE WHEN coalesce(first_fit < first_event, false) THEN 'medium' ELSE 'low' END AS severity,
            first_at AS effective_at,
            found.actor AS actor,
            CAST(NULL AS VARCHAR) AS resource_id,
            ids AS event_ids,
            found.actor || ' appeared with a client that calls itself ' || found.client || ' and whose TLS handshake, '
                || handshake || ', ' || found.client || ' does not show here; usual is '
                || array_to_string(usual_handshakes, ' or ') || '. '
                || CASE
                    WHEN coalesce(first_fit < first_event, false) THEN 'Before, the same actor showed a usual one.'
                    ELSE 'The same actor never showed a usual one before.'
                END AS why,
            found.client AS client,
            handshake,
            usual_handshakes,
            networks,
            last_at,
            events
        FROM found LEFT JOIN fitting ON fitting.actor = found.actor AND fitting.client = found.client
        ORDER BY first_at, first_id
    """
