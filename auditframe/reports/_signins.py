"""The relations of sign-ins: what is familiar to an account, what failed, and what soon followed."""

from __future__ import annotations

import pyarrow as pa

from auditframe.reports._relations import Relation

_INSTANT = pa.timestamp("us", tz="UTC")
_STEP = pa.struct([("at", _INSTANT), ("id", pa.string())])

_HAUNTS = Relation(
    "haunts",
    {
        "actor": pa.string(),
        "ip_address": pa.string(),
        "network": pa.string(),
        "client": pa.string(),
        "logins": pa.int64(),
        "first_login": _STEP,
    },
    "How often, and since when, an account signed in with an address, a network (its number) and a client.",
    sql="""
        SELECT
            coalesce(actor_email, actor_id, actor_api_key_id) AS actor,
            ip_address,
            ip_asn AS network,
            user_agent AS client,
            count(*) AS logins,
            min({'at': effective_at, 'id': events.id}) AS first_login
        FROM events JOIN catalogue ON catalogue.type = events.type
        WHERE effect = 'login' AND coalesce(actor_email, actor_id, actor_api_key_id) IS NOT NULL
        GROUP BY coalesce(actor_email, actor_id, actor_api_key_id), ip_address, ip_asn, user_agent
    """,
)

_FAMILIAR = Relation(
    "familiar",
    {"aspect": pa.string(), "value": pa.string(), "actor": pa.string(), "since": _STEP},
    "An address, a network or a client, and the first login of an account with it; without an account, the login that "
    "made it everybody's: that of the third account, or of a hundredth of all where that is more.",
    sql="""
        WITH own AS (
            SELECT 'address' AS aspect, ip_address AS value, actor, min(first_login) AS since
            FROM haunts
            WHERE ip_address IS NOT NULL
            GROUP BY ip_address, actor
            UNION ALL
            SELECT 'network', network, actor, min(first_login)
            FROM haunts
            WHERE network IS NOT NULL
            GROUP BY network, actor
            UNION ALL
            SELECT 'client', client, actor, min(first_login)
            FROM haunts
            WHERE client IS NOT NULL
            GROUP BY client, actor
        ),
        ranked AS (
            SELECT *, row_number() OVER (PARTITION BY aspect, value ORDER BY since) AS nth
            FROM own
            WHERE aspect <> 'client'
        )
        SELECT aspect, value, actor, since FROM own
        UNION ALL
        SELECT aspect, value, NULL, since
        FROM ranked
        WHERE nth = (SELECT greatest(3, (count(DISTINCT actor) + 99) // 100) FROM own)
    """,
)

_HOMES = Relation(
    "homes",
    {"actor": pa.string(), "ip_address": pa.string(), "first_login": _STEP, "strangeness": pa.int32()},
    "The first login of an account from an address: how many of address, network and client were strange to it; none "
    "if the address was not.",
    sql="""
        WITH firsts AS (
            SELECT
                actor,
                ip_address,
                min(first_login) AS first_login,
                arg_min({'network': network, 'client': client}, first_login) AS had
            FROM haunts
            WHERE ip_address IS NOT NULL
            GROUP BY actor, ip_address
        )
        SELECT
            firsts.actor AS actor,
            ip_address,
            first_login,
            CASE
                WHEN coalesce(crowd.since < first_login, false) THEN 0
                ELSE 1
                    + CASE
                        WHEN had.network IS NULL
                            OR coalesce(seen.since < first_login, false)
                            OR coalesce(nets.since < first_login, false) THEN 0
                        ELSE 1
                    END
                    + CASE WHEN had.client IS NULL OR coalesce(used.since < first_login, false) THEN 0 ELSE 1 END
            END AS strangeness
        FROM firsts
        LEFT JOIN familiar AS crowd ON crowd.aspect = 'address' AND crowd.value = ip_address AND crowd.actor IS NULL
        LEFT JOIN familiar AS seen
            ON seen.aspect = 'network' AND seen.value = had.network AND seen.actor = firsts.actor
        LEFT JOIN familiar AS nets ON nets.aspect = 'network' AND nets.value = had.network AND nets.actor IS NULL
        LEFT JOIN familiar AS used
            ON used.aspect = 'client' AND used.value = had.client AND used.actor = firsts.actor
    """,
)

_FAILURES = Relation(
    "failures",
    {
        "id": pa.string(),
        "effective_at": _INSTANT,
        "at_s": pa.int64(),
        "actor": pa.string(),
        "ip_address": pa.string(),
        "is_new": pa.bool_(),
        "enters_s": pa.int64(),
        "strangeness": pa.int32(),
    },
    "A sign-in that failed: how many of address, network and client were strange to the account, and when the account "
    "first got in from the address.",
    sql="""
        WITH failed AS (
            SELECT
                {'at': effective_at, 'id': events.id} AS step,
                coalesce(actor_email, actor_id, actor_api_key_id) AS actor,
                ip_address,
                ip_asn AS network,
                user_agent AS client
            FROM events JOIN catalogue ON catalogue.type = events.type
            WHERE effect = 'login_failed'
        )
        SELECT
            step.id AS id,
            step.at AS effective_at,
            CAST(floor(epoch(step.at)) AS BIGINT) AS at_s,
            failed.actor AS actor,
            ip_address,
            ip_address IS NOT NULL AND NOT coalesce(own.since < step, false) AS is_new,
            CAST(floor(epoch(own.since.at)) AS BIGINT) AS enters_s,
            CASE
                WHEN ip_address IS NULL
                    OR coalesce(own.since < step, false)
                    OR coalesce(crowd.since < step, false) THEN 0
                ELSE 1
                    + CASE
                        WHEN network IS NULL
                            OR coalesce(seen.since < step, false)
                            OR coalesce(nets.since < step, false) THEN 0
                        ELSE 1
                    END
                    + CASE WHEN client IS NULL OR coalesce(used.since < step, false) THEN 0 ELSE 1 END
            END AS strangeness
        FROM failed
        LEFT JOIN familiar AS own
            ON own.aspect = 'address' AND own.value = ip_address AND own.actor = failed.actor
        LEFT JOIN familiar AS crowd ON crowd.aspect = 'address' AND crowd.value = ip_address AND crowd.actor IS NULL
        LEFT JOIN familiar AS seen
            ON seen.aspect = 'network' AND seen.value = network AND seen.actor = failed.actor
        LEFT JOIN familiar AS nets ON nets.aspect = 'network' AND nets.value = network AND nets.actor IS NULL
        LEFT JOIN familiar AS used
            ON used.aspect = 'client' AND used.value = client AND used.actor = failed.actor
    """,
)

_ENTRIES = Relation(
    "entries",
    {
        "id": pa.string(),
        "effective_at": _INSTANT,
        "at_s": pa.int64(),
        "actor": pa.string(),
        "ip_address": pa.string(),
    },
    "A login of an account in an hour in which a sign-in of it failed, or in the next.",
    sql="""
        SELECT
            events.id AS id,
            effective_at,
            CAST(floor(epoch(effective_at)) AS BIGINT) AS at_s,
            coalesce(actor_email, actor_id, actor_api_key_id) AS actor,
            ip_address
        FROM events JOIN catalogue ON catalogue.type = events.type
        WHERE effect = 'login'
            AND {
                'who': coalesce(actor_email, actor_id, actor_api_key_id),
                'hour': CAST(floor(epoch(effective_at)) AS BIGINT) // 3600
            } IN (
                SELECT {'who': actor, 'hour': at_s // 3600} FROM failures WHERE actor IS NOT NULL
                UNION
                SELECT {'who': actor, 'hour': at_s // 3600 + 1} FROM failures WHERE actor IS NOT NULL
            )
    """,
)

SIGN_INS = (_HAUNTS, _FAMILIAR, _HOMES, _FAILURES, _ENTRIES)
"""The relations, each asked after those that it names."""
