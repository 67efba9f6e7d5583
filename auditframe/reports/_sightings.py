"""The relations of sightings: what each actor was seen with, and since when."""

from __future__ import annotations

import pyarrow as pa

from auditframe.reports._relations import Relation

_INSTANT = pa.timestamp("us", tz="UTC")

_ACTS = Relation(
    "acts",
    {
        "actor": pa.string(),
        "ip_address": pa.string(),
        "ip_asn": pa.string(),
        "ip_country": pa.string(),
        "user_agent": pa.string(),
        "ja4": pa.string(),
        "actor_api_key_id": pa.string(),
        "first_at": _INSTANT,
    },
    "What an actor acted with, more than failing to sign in, and when first.",
    sql="""
        SELECT
            coalesce(lower(actor_email), actor_id, actor_api_key_id) AS actor,
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
            coalesce(lower(actor_email), actor_id, actor_api_key_id), ip_address, ip_asn, ip_country, user_agent, ja4,
            actor_api_key_id
    """,
)

_SIGHTINGS = Relation(
    "sightings",
    {
        "actor": pa.string(),
        "kind": pa.string(),
        "raw_value": pa.string(),
        "value": pa.string(),
        "ip_address": pa.string(),
        "first_at": _INSTANT,
    },
    "A network, country, user agent, fingerprint or API key that an actor acted with, as events write it and as it is "
    "compared, from which address, and when first.",
    sql="""
        WITH blocks AS (
            SELECT
                *,
                CASE
                    WHEN ip_address LIKE '%.%' THEN split_part(ip_address, '.', 1) || '.'
                        || split_part(ip_address, '.', 2) || '.' || split_part(ip_address, '.', 3) || '.0/24'
                    ELSE regexp_replace(
                        split_part(ip_address, ':', 1) || ':'
                            || coalesce(nullif(split_part(split_part(ip_address, '::', 1), ':', 2), ''), '0') || ':'
                            || coalesce(nullif(split_part(split_part(ip_address, '::', 1), ':', 3), ''), '0'),
                        '(:0)+$', ''
                    ) || '::/48'
                END AS block
            FROM acts
        ),
        networks AS (
            SELECT
                *,
                min(first_at) OVER (PARTITION BY actor, block) AS block_at,
                min(first_at) OVER (PARTITION BY actor, ip_asn) AS number_at
            FROM blocks
        )
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
    """,
)

SIGHTINGS = (_ACTS, _SIGHTINGS)
"""The relations, the second asked after the first."""
