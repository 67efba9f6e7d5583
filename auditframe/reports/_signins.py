"""The relations of sign-ins: who tried with what, which of them matter one by one, and how strange these are."""

from __future__ import annotations

import pyarrow as pa

from auditframe.reports._relations import Relation

_INSTANT = pa.timestamp("us", tz="UTC")

# Grouped and numbered in two steps: in one, both would have to find room in the memory at once.
_WAYS = Relation(
    "ways",
    {
        "actor": pa.string(),
        "ip_address": pa.string(),
        "network": pa.string(),
        "client": pa.string(),
        "logins": pa.int64(),
        "first_login_at": _INSTANT,
    },
    "Whoever signed in or tried to, with an address, a network (its number) and a client, and how often it succeeded.",
    sql="""
        SELECT
            coalesce(lower(actor_email), actor_id, actor_api_key_id) AS actor,
            ip_address,
            ip_asn AS network,
            user_agent AS client,
            count(CASE WHEN effect = 'login' THEN 1 END) AS logins,
            min(CASE WHEN effect = 'login' THEN effective_at END) AS first_login_at
        FROM events JOIN catalogue ON catalogue.type = events.type
        WHERE effect IN ('login', 'login_failed')
        GROUP BY coalesce(lower(actor_email), actor_id, actor_api_key_id), ip_address, ip_asn, user_agent
    """,
)

_HAUNTS = Relation(
    "haunts",
    {"haunt": pa.int32(), "account": pa.int32(), "place": pa.int32(), **_WAYS.columns},
    "A way to sign in, with numbers for it, for the account and for the address (place).",
    sql="""
        SELECT
            CAST(row_number() OVER (ORDER BY actor, ip_address, network, client) AS INTEGER) AS haunt,
            CASE WHEN actor IS NOT NULL THEN CAST(dense_rank() OVER (ORDER BY actor) AS INTEGER) END AS account,
            CASE WHEN ip_address IS NOT NULL THEN CAST(dense_rank() OVER (ORDER BY ip_address) AS INTEGER) END
                AS place,
            *
        FROM ways
    """,
)

_VISITS = Relation(
    "visits",
    {"account": pa.int32(), "ten": pa.int32(), "entered": pa.bool_()},
    "A sign-in: on which account, in which ten minutes, and whether it succeeded.",
    sql="""
        SELECT account, CAST(floor(epoch(effective_at) / 600) AS INTEGER) AS ten, effect = 'login' AS entered
        FROM events
        JOIN catalogue ON catalogue.type = events.type
        LEFT JOIN (SELECT DISTINCT account, actor FROM haunts) AS accounts
            ON accounts.actor = coalesce(lower(actor_email), actor_id, actor_api_key_id)
        WHERE effect IN ('login', 'login_failed')
    """,
)

# Few logins of many matter, so accounts and times are looked at before all of a haunt is.
_NOTABLE = Relation(
    "notable",
    {"id": pa.string(), "effective_at": _INSTANT, "haunt": pa.int32(), "entered": pa.bool_()},
    "A sign-in that failed, or a login that is the first of its kind or falls into an hour in which one of the account "
    "failed, or into the next.",
    sql="""
        WITH busy AS (
            SELECT account, ten // 6 AS hour FROM visits WHERE NOT entered AND account IS NOT NULL
            UNION
            SELECT account, ten // 6 + 1 FROM visits WHERE NOT entered AND account IS NOT NULL
        ),
        looked AS (
            SELECT
                events.id AS id,
                effective_at,
                effect = 'login' AS entered,
                accounts.account AS account,
                ip_address,
                ip_asn,
                user_agent,
                hour
            FROM events
            JOIN catalogue ON catalogue.type = events.type
            LEFT JOIN (SELECT DISTINCT account, actor FROM haunts) AS accounts
                ON accounts.actor = coalesce(lower(actor_email), actor_id, actor_api_key_id)
            LEFT JOIN busy
                ON busy.account = accounts.account AND hour = CAST(floor(epoch(effective_at) / 3600) AS INTEGER)
            WHERE effect = 'login_failed'
                OR effect = 'login' AND accounts.account IS NOT NULL
                    AND (hour IS NOT NULL OR effective_at IN (SELECT first_login_at FROM haunts))
        )
        SELECT id, effective_at, haunt, entered
        FROM looked JOIN haunts
            ON haunts.account IS NOT DISTINCT FROM looked.account
            AND haunts.ip_address IS NOT DISTINCT FROM looked.ip_address
            AND network IS NOT DISTINCT FROM ip_asn
            AND client IS NOT DISTINCT FROM user_agent
        WHERE NOT entered OR hour IS NOT NULL OR effective_at = first_login_at
    """,
)

_STEPS = Relation(
    "steps",
    {
        "step": pa.int32(),
        "id": pa.string(),
        "effective_at": _INSTANT,
        "haunt": pa.int32(),
        "entered": pa.bool_(),
    },
    "A notable sign-in, numbered by time and id.",
    sql="""
        SELECT CAST(row_number() OVER (ORDER BY effective_at, id) AS INTEGER) AS step, id, effective_at, haunt, entered
        FROM notable
    """,
)

_FAMILIAR = Relation(
    "familiar",
    {"aspect": pa.string(), "value": pa.string(), "account": pa.int32(), "since": pa.int32()},
    "An address, a network or a client, and the first login of an account with it; without an account, the login that "
    "made it everybody's: that of the third account, or of a hundredth of all where that is more.",
    sql="""
        WITH firsts AS (
            SELECT account, ip_address, network, client, first_login
            FROM haunts
            JOIN (SELECT haunt, min(step) AS first_login FROM steps WHERE entered GROUP BY haunt) AS logins
                ON logins.haunt = haunts.haunt
        ),
        own AS (
            SELECT 'address' AS aspect, ip_address AS value, account, min(first_login) AS since
            FROM firsts
            WHERE ip_address IS NOT NULL
            GROUP BY ip_address, account
            UNION ALL
            SELECT 'network', network, account, min(first_login)
            FROM firsts
            WHERE network IS NOT NULL
            GROUP BY network, account
            UNION ALL
            SELECT 'client', client, account, min(first_login)
            FROM firsts
            WHERE client IS NOT NULL
            GROUP BY client, account
        ),
        ranked AS (
            SELECT *, row_number() OVER (PARTITION BY aspect, value ORDER BY since) AS nth
            FROM own
            WHERE aspect <> 'client'
        )
        SELECT aspect, value, account, since FROM own
        UNION ALL
        SELECT aspect, value, NULL, since
        FROM ranked
        WHERE nth = (SELECT greatest(3, (count(DISTINCT account) + 99) // 100) FROM own)
    """,
)

_JUDGED = Relation(
    "judged",
    {
        "step": pa.int32(),
        "at_s": pa.int64(),
        "account": pa.int32(),
        "place": pa.int32(),
        "entered": pa.bool_(),
        "is_new": pa.bool_(),
        "enters_s": pa.int64(),
        "strangeness": pa.int32(),
    },
    "A sign-in that failed, or the first login of an account from an address: how many of address, network and client "
    "were strange to it, none if the address was not; and when the account first got in from the address.",
    sql="""
        WITH known AS (
            SELECT
                haunt,
                haunts.account AS account,
                place,
                place IS NULL AS is_nowhere,
                own.since AS own,
                crowd.since AS crowd,
                network IS NULL AS is_unnamed,
                least(seen.since, nets.since) AS network,
                client IS NULL AS is_bare,
                used.since AS client
            FROM haunts
            LEFT JOIN familiar AS own
                ON own.aspect = 'address' AND own.value = ip_address AND own.account = haunts.account
            LEFT JOIN familiar AS crowd
                ON crowd.aspect = 'address' AND crowd.value = ip_address AND crowd.account IS NULL
            LEFT JOIN familiar AS seen
                ON seen.aspect = 'network' AND seen.value = network AND seen.account = haunts.account
            LEFT JOIN familiar AS nets ON nets.aspect = 'network' AND nets.value = network AND nets.account IS NULL
            LEFT JOIN familiar AS used
                ON used.aspect = 'client' AND used.value = client AND used.account = haunts.account
        )
        SELECT
            steps.step AS step,
            CAST(floor(epoch(steps.effective_at)) AS BIGINT) AS at_s,
            account,
            place,
            steps.entered AS entered,
            place IS NOT NULL AND NOT coalesce(own < steps.step, false) AS is_new,
            CAST(floor(epoch(entry.effective_at)) AS BIGINT) AS enters_s,
            CASE
                WHEN place IS NULL OR coalesce(own < steps.step, false) OR coalesce(crowd < steps.step, false) THEN 0
                ELSE 1
                    + CASE WHEN is_unnamed OR coalesce(network < steps.step, false) THEN 0 ELSE 1 END
                    + CASE WHEN is_bare OR coalesce(client < steps.step, false) THEN 0 ELSE 1 END
            END AS strangeness
        FROM steps
        JOIN known ON known.haunt = steps.haunt
        LEFT JOIN steps AS entry ON entry.step = own
        WHERE NOT steps.entered OR steps.step = own
    """,
)

_HOMES = Relation(
    "homes",
    {
        "step": pa.int32(),
        "at_s": pa.int64(),
        "account": pa.int32(),
        "place": pa.int32(),
        "strangeness": pa.int32(),
    },
    "The first login of an account from an address, and how strange it was.",
    sql="SELECT step, at_s, account, place, strangeness FROM judged WHERE entered",
)

SIGN_INS = (_WAYS, _HAUNTS, _VISITS, _NOTABLE, _STEPS, _FAMILIAR, _JUDGED, _HOMES)
"""The relations, each asked after those that it names."""
