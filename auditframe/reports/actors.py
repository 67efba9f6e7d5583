"""What each actor did, and who has fallen silent."""

from __future__ import annotations

from auditframe.reports._base import check, report
from auditframe.reports._columns import ACTOR, EVENT_ID, ReportColumn
from auditframe.reports._parameters import Moment
from auditframe.reports._specs import Points


@report(
    columns=(
        ACTOR,
        ReportColumn("effective_at", "instant", "When it took effect, in UTC."),
        ReportColumn("gap_s", "number", "Time since the actor's event before; null for the first one.", "s"),
        ReportColumn("type", "text", "The event type."),
        ReportColumn("effect", "text", "What such an event does, after the catalogue; other if it does not say."),
        ReportColumn("resource_id", "text", "Id of what it was done to; null if the event does not say."),
        ReportColumn("project_id", "text", "In which project; null if the event names none."),
        ReportColumn("ip_address", "text", "From where; null for API keys and if the session does not say."),
        ReportColumn("ip_country", "text", "Country of the address, as a code; null if the event does not say."),
        ReportColumn("actor_api_key_id", "text", "The API key that was used; null for a session."),
        EVENT_ID,
    ),
    plot=Points(at="effective_at", label="type"),
    controls=("SOC 2 CC7.3", "ISO/IEC 27001:2022 A.8.15", "NIST SP 800-53 r5 AU-6", "NIST SP 800-53 r5 AU-12"),
    is_roomy=True,
)
def actor_timeline(*, actor: str | None = None) -> str:
    """What did an actor do, step by step?

    One row an event, in time order; events of the same second stand in the order of their ids, which is fixed but
    arbitrary. The gap is the time since the event before of the same actor among the rows. Events that name nobody
    are listed only when every actor is, and have no gap, because they need not be one actor's. A failed sign-in
    names the account that was tried, and is no proof that its owner did it.

    Args:
        actor: Only this actor: an e-mail address in any spelling, or the id of a user, service account or API key
            exactly as events write it; None for everybody.
    """
    return """
        SELECT
            coalesce(lower(actor_email), actor_id, actor_api_key_id) AS actor,
            effective_at,
            CASE
                WHEN coalesce(actor_email, actor_id, actor_api_key_id) IS NOT NULL
                THEN round(
                    epoch(effective_at) - lag(epoch(effective_at)) OVER (
                        PARTITION BY coalesce(lower(actor_email), actor_id, actor_api_key_id) ORDER BY effective_at, id
                    ),
                    6
                )
            END AS gap_s,
            events.type AS type,
            coalesce(catalogue.effect, 'other') AS effect,
            resource_id,
            project_id,
            ip_address,
            ip_country,
            actor_api_key_id,
            id AS event_id
        FROM events LEFT JOIN catalogue ON catalogue.type = events.type
        WHERE CAST($actor AS VARCHAR) IS NULL
            OR lower(actor_email) = lower(CAST($actor AS VARCHAR))
            OR actor_id = CAST($actor AS VARCHAR)
            OR actor_api_key_id = CAST($actor AS VARCHAR)
        ORDER BY effective_at, id
    """


@check(
    severity="low",
    columns=(
        ReportColumn("kind", "text", "returned, inactive or never: came back, is silent, or was never heard of."),
        ReportColumn("last_at", "instant", "When the last event before the silence was, in UTC; null for never."),
        ReportColumn("quiet_days", "integer", "How many whole days the silence lasted, or has lasted by now.", "days"),
    ),
    plot=Points(at="effective_at", label="kind"),
    controls=("SOC 2 CC6.2", "ISO/IEC 27001:2022 A.5.16", "ISO/IEC 27001:2022 A.5.18", "NIST SP 800-53 r5 AC-2"),
)
def dormant_actors(*, quiet_days: int = 45, as_of: Moment = None) -> str:
    """Which accounts of people were silent for long, and which of them came back?

    One row a silence. A reviewer of access needs two lists: accounts that nobody uses and that should be closed
    (inactive, and never for those that were made members and not heard of since), and accounts that woke up again and
    may be somebody else's by now (returned). An account that wakes up moves from the one list to the other. Who was
    taken out of the organization or the tenant (user.deleted, tenant.user.removed) at the last event or after it is not
    listed as silent; a removal that names a project is taken for one from that project alone.

    What counts is what an account did, by a session or an API key. A failed sign-in does not count, for anybody can
    fail in somebody's name. Service accounts and keys without an owner are left out: what they mostly do, calls to
    models, is not in this log. A person's calls are not in it either, so inactive says that an account does nothing
    here, not that its keys are idle. An account is known by its id, and where an event gives none, by its e-mail
    address in any spelling; of an address that two ids used, such events belong to neither and are an account of their
    own. The address shown is the last one, as it was written. A member of whom no event speaks cannot be seen, and a
    time that nobody collected looks like everybody's silence. For never, the actor is the id of the account, and the
    silence begins with the last event that gave it membership.

    Args:
        quiet_days: How long a silence must be; exactly so long is enough. CIS Controls v8 (5.3) says 45 days
            [days].
        as_of: Until when the log is read, this instant included; None for the newest event.
    """
    # A silence never fits into a stretch of its own length, so the first and last event of each stretch are enough.
    return """
        WITH asked AS (
            SELECT coalesce(CAST($as_of AS TIMESTAMPTZ), max(effective_at)) AS as_of FROM events
        ),
        acts AS (
            SELECT
                actor_email,
                actor_id,
                floor(epoch(effective_at) / (86400 * greatest($quiet_days, 1))) AS stretch,
                min(effective_at) AS first_at,
                max(effective_at) AS last_at
            FROM events
            WHERE actor_kind = 'user'
                AND effective_at <= coalesce(CAST($as_of AS TIMESTAMPTZ), CAST('9999-12-31' AS TIMESTAMPTZ))
                AND type NOT IN (SELECT type FROM catalogue WHERE effect = 'login_failed')
            GROUP BY actor_email, actor_id, floor(epoch(effective_at) / (86400 * greatest($quiet_days, 1)))
        ),
        mailboxes AS (
            -- Whose an address is, for events that give no id; of one that several accounts had nobody can say.
            SELECT lower(actor_email) AS mailbox, min(actor_id) AS owner_id
            FROM acts
            WHERE actor_email IS NOT NULL
            GROUP BY lower(actor_email)
            HAVING min(actor_id) = max(actor_id)
        ),
        named AS (
            SELECT acts.*, coalesce(actor_id, owner_id, lower(actor_email)) AS account
            FROM acts LEFT JOIN mailboxes ON mailbox = lower(actor_email)
        ),
        accounts AS (
            SELECT
                account,
                max(actor_id) AS user_id,
                coalesce(
                    max_by(actor_email, (last_at, actor_email)) FILTER (WHERE actor_email IS NOT NULL), account
                ) AS actor
            FROM named
            WHERE account IS NOT NULL
            GROUP BY account
        ),
        stretches AS (
            SELECT account, stretch, min(first_at) AS first_at, max(last_at) AS last_at
            FROM named
            WHERE account IS NOT NULL
            GROUP BY account, stretch
        ),
        spells AS (
            SELECT
                account,
                last_at,
                lead(first_at) OVER (PARTITION BY account ORDER BY stretch) AS back_at
            FROM stretches
        ),
        silences AS (
            SELECT account, last_at, back_at, epoch(coalesce(back_at, as_of)) - epoch(last_at) AS quiet_s
            FROM spells CROSS JOIN asked
            WHERE epoch(coalesce(back_at, as_of)) - epoch(last_at) >= $quiet_days * 86400
        ),
        areas(area) AS (
            -- Joined, for a list after IN is compared only when all the columns are read.
            VALUES ('user'), ('tenant.user')
        ),
        lasts AS (
            SELECT max(effective_at) AS last_at
            FROM events
            JOIN areas ON areas.area = events.area
            JOIN catalogue ON catalogue.type = events.type
            WHERE effect IN ('grant', 'revoke')
                AND (effect = 'grant' OR project_id IS NULL)
                AND effective_at <= coalesce(CAST($as_of AS TIMESTAMPTZ), CAST('9999-12-31' AS TIMESTAMPTZ))
            GROUP BY resource_id
        ),
        looked AS (
            SELECT
                id,
                effective_at,
                area,
                coalesce(effect, 'other') AS effect,
                actor_kind,
                actor_email,
                actor_id,
                project_id,
                resource_id
            FROM events LEFT JOIN catalogue ON catalogue.type = events.type
            WHERE effective_at IN (
                SELECT last_at FROM silences
                UNION ALL SELECT back_at FROM silences WHERE back_at IS NOT NULL
                UNION ALL SELECT last_at FROM lasts
            )
        ),
        seconds AS (
            SELECT
                coalesce(actor_id, owner_id, lower(actor_email)) AS account,
                effective_at,
                min(id) AS first_id,
                max(id) AS last_id
            FROM looked LEFT JOIN mailboxes ON mailbox = lower(actor_email)
            WHERE actor_kind = 'user' AND effect <> 'login_failed'
            GROUP BY coalesce(actor_id, owner_id, lower(actor_email)), effective_at
        ),
        memberships AS (
            SELECT
                resource_id,
                effective_at,
                id,
                effect,
                row_number() OVER (PARTITION BY resource_id ORDER BY effective_at DESC, id DESC) AS nth_last
            FROM looked
            WHERE area IN ('user', 'tenant.user')
                AND (effect = 'grant' OR (effect = 'revoke' AND project_id IS NULL))
                AND resource_id IS NOT NULL
        ),
        found AS (
            SELECT
                CASE WHEN back_at IS NULL THEN 'inactive' ELSE 'returned' END AS kind,
                accounts.actor AS actor,
                user_id,
                silences.last_at AS last_at,
                coalesce(back_at, silences.last_at) AS effective_at,
                CAST(floor(quiet_s / 86400) AS BIGINT) AS quiet_days,
                CASE WHEN back_at IS NULL THEN [closing.last_id] ELSE [closing.last_id, opening.first_id] END
                    AS event_ids
            FROM silences
            JOIN accounts ON accounts.account = silences.account
            JOIN seconds AS closing ON closing.account = silences.account AND closing.effective_at = silences.last_at
            LEFT JOIN seconds AS opening ON opening.account = silences.account AND opening.effective_at = back_at
            LEFT JOIN memberships ON memberships.resource_id = user_id AND nth_last = 1
            WHERE back_at IS NOT NULL OR NOT coalesce(
                effect = 'revoke' AND memberships.effective_at >= silences.last_at, false
            )
            UNION ALL
            SELECT
                'never',
                resource_id,
                resource_id,
                NULL,
                effective_at,
                CAST(floor((epoch(as_of) - epoch(effective_at)) / 86400) AS BIGINT),
                [id]
            FROM memberships CROSS JOIN asked
            WHERE nth_last = 1
                AND effect = 'grant'
                AND epoch(as_of) - epoch(effective_at) >= $quiet_days * 86400
                AND resource_id NOT IN (SELECT actor_id FROM acts WHERE actor_id IS NOT NULL)
        )
        SELECT
            'dormant_actors:' || event_ids[1] || ':' || kind AS finding,
            'low' AS severity,
            effective_at,
            actor,
            user_id AS resource_id,
            event_ids,
            actor || CASE kind
                WHEN 'returned' THEN ' did something again on ' || strftime(effective_at, '%Y-%m-%d') || ', after '
                    || quiet_days || ' days without an event; ask whether it was really them, and whether the '
                    || 'account was still to be open.'
                WHEN 'inactive' THEN ' has caused no event since ' || strftime(effective_at, '%Y-%m-%d') || ', for '
                    || quiet_days || ' days; ask whether the account is still needed.'
                ELSE ' was made a member on ' || strftime(effective_at, '%Y-%m-%d') || ' and has caused no event in '
                    || 'the ' || quiet_days || ' days since; ask whether the account is needed.'
            END AS why,
            kind,
            last_at,
            quiet_days
        FROM found
        ORDER BY effective_at, finding
    """
