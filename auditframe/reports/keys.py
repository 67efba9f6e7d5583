"""API keys: where each came from, what it may do, and what it did."""

from __future__ import annotations

from auditframe.reports._accounts import KEYS_AND_PEOPLE
from auditframe.reports._base import check, report
from auditframe.reports._columns import ReportColumn
from auditframe.reports._keys import KEYS
from auditframe.reports._parameters import Moment
from auditframe.reports._specs import Bars, Points, Spans


@report(
    columns=(
        ReportColumn("key_id", "text", "Tracking id of the API key."),
        ReportColumn("project_id", "text", "Project of the key; null if unknown or not always the same."),
        ReportColumn("creator", "text", "Who made the key; null if the source has no such event or it names nobody."),
        ReportColumn("created_at", "instant", "When the key was made, in UTC; null if before the first event."),
        ReportColumn("scopes", "texts", "The scopes last asked for; null if no event says."),
        ReportColumn("last_change_at", "instant", "When the key was last altered, in UTC; null if never."),
        ReportColumn("deleted_at", "instant", "When the key was deleted, in UTC; null if it was not."),
        ReportColumn("deleted_by", "text", "Who deleted it; null if it was not or the event names nobody."),
        ReportColumn("last_used_at", "instant", "When the key last caused an event, in UTC; null if it never did."),
        ReportColumn("events_as_actor", "integer", "How many events the key caused.", "events"),
        ReportColumn("event_ids", "texts", "Ids of the events about the key, in time order; empty if there is none."),
    ),
    plot=Spans(
        label=("key_id",),
        start="created_at",
        end="deleted_at",
        marks=(("last_change_at", "last altered"), ("last_used_at", "last event caused")),
    ),
    controls=("SOC 2 CC6.1", "ISO/IEC 27001:2022 A.5.17", "NIST SP 800-53 r5 IA-5"),
)
def api_keys() -> str:
    """Which API keys are there, and what became of them?

    One row for each key that an event was about or that caused an event, keys older than the source first, then in
    the order of creation. The audit log holds no calls to models: last_used_at is the last entry in this log that the
    key caused, and a null there does not say that the key is unused. Keys of the organization's projects only: admin
    and project keys that are managed through a tenant have no documented payload, so nothing of them can be read.
    """
    return """
        WITH about AS (
            SELECT
                resource_id AS key_id,
                events.id AS id,
                effective_at,
                project_id,
                coalesce(actor_email, actor_id, actor_api_key_id) AS actor,
                coalesce(effect, 'other') AS effect,
                coalesce(detail_changes_requested_scopes, detail_data_scopes) AS scopes
            FROM events LEFT JOIN catalogue ON catalogue.type = events.type
            WHERE area = 'api_key' AND resource_id IS NOT NULL
        ),
        ranked AS (
            SELECT
                *,
                row_number() OVER (PARTITION BY key_id, effect ORDER BY effective_at, id) AS nth,
                row_number() OVER (PARTITION BY key_id, effect ORDER BY effective_at DESC, id DESC) AS nth_last,
                row_number() OVER (
                    PARTITION BY key_id, scopes IS NULL ORDER BY effective_at DESC, id DESC
                ) AS nth_last_scopes
            FROM about
        ),
        managed AS (
            SELECT
                key_id,
                CASE WHEN min(project_id) = max(project_id) THEN min(project_id) END AS project_id,
                max(CASE WHEN effect = 'create' AND nth = 1 THEN actor END) AS creator,
                min(CASE WHEN effect = 'create' THEN effective_at END) AS created_at,
                max(CASE WHEN nth_last_scopes = 1 THEN scopes END) AS scopes,
                max(CASE WHEN effect = 'change' THEN effective_at END) AS last_change_at,
                max(CASE WHEN effect = 'delete' THEN effective_at END) AS deleted_at,
                max(CASE WHEN effect = 'delete' AND nth_last = 1 THEN actor END) AS deleted_by,
                list(id ORDER BY effective_at, id) AS event_ids
            FROM ranked
            GROUP BY key_id
        ),
        acting AS (
            SELECT actor_api_key_id AS key_id, max(effective_at) AS last_used_at, count(*) AS events_as_actor
            FROM events
            WHERE actor_api_key_id IS NOT NULL
            GROUP BY actor_api_key_id
        )
        SELECT
            coalesce(managed.key_id, acting.key_id) AS key_id,
            project_id,
            creator,
            created_at,
            scopes,
            last_change_at,
            deleted_at,
            deleted_by,
            last_used_at,
            coalesce(events_as_actor, 0) AS events_as_actor,
            coalesce(event_ids, CAST([] AS VARCHAR[])) AS event_ids
        FROM managed FULL JOIN acting ON managed.key_id = acting.key_id
        ORDER BY created_at ASC NULLS FIRST, coalesce(managed.key_id, acting.key_id)
    """


@check(
    severity="medium",
    columns=(
        ReportColumn("created_at", "instant", "When the key was made, in UTC; null if before the first event."),
        ReportColumn("last_change_at", "instant", "When the key was last altered, in UTC; null if never."),
        ReportColumn("age_days", "integer", "Whole days since it was made, or first seen if that is unknown.", "days"),
        ReportColumn("unaltered_days", "integer", "Whole days since it was made, first seen or last altered.", "days"),
        ReportColumn("last_used_at", "instant", "When the key last caused an event, in UTC; null if it never did."),
    ),
    plot=Bars(label=("resource_id",), value="unaltered_days"),
    controls=("SOC 2 CC6.1", "ISO/IEC 27001:2022 A.5.17", "NIST SP 800-53 r5 IA-5"),
    relations=KEYS,
)
def stale_keys(*, max_age_days: int = 90, as_of: Moment = None) -> str:
    """Which living API keys have not been renewed or altered for too long?

    One row for each key that is alive and was neither made nor altered in the last max_age_days, the longest first;
    effective_at is when that was. A key is alive while no event deletes it and none archives or deletes its project.
    The API renews no key in place: a new secret is a new key, so an alteration says only that somebody looked at it.
    The age of a key that is older than the source is unknown. It counts from the first event that names the key, so
    the key is that old at least. The log holds no calls to models: a key without last_used_at may well be in use.

    Args:
        max_age_days: Leave out keys that were made or altered so short a time ago, or exactly so long [days].
        as_of: When ages are taken; later events are left out. None for the time of the newest event.
    """
    return """
        WITH aged AS (
            SELECT
                *,
                greatest(since, last_change_at) AS touched_at,
                CAST(floor((epoch(as_of) - epoch(since)) / 86400) AS BIGINT) AS age_days,
                CAST(floor((epoch(as_of) - epoch(greatest(since, last_change_at))) / 86400) AS BIGINT) AS unaltered_days
            FROM living_keys
        )
        SELECT
            'stale_keys:' || since_id || ':' || key_id AS finding,
            'medium' AS severity,
            touched_at AS effective_at,
            coalesce(creator, owner) AS actor,
            key_id AS resource_id,
            event_ids,
            'The API key ' || key_id || ' is '
                || CASE WHEN created_at IS NULL THEN 'at least ' ELSE '' END
                || CAST(age_days AS VARCHAR) || ' days old and was '
                || CASE
                    WHEN last_change_at IS NOT NULL
                        THEN 'last altered ' || CAST(unaltered_days AS VARCHAR) || ' days ago'
                    WHEN created_at IS NULL THEN 'not altered in that time'
                    ELSE 'never altered'
                END
                || CASE
                    WHEN last_used_at IS NULL THEN '. This log shows nothing that it did.'
                    ELSE '. It last caused an event on ' || strftime(last_used_at, '%Y-%m-%d') || '.'
                END AS why,
            created_at,
            last_change_at,
            age_days,
            unaltered_days,
            last_used_at
        FROM aged
        WHERE epoch(as_of) - epoch(touched_at) > $max_age_days * 86400
        ORDER BY touched_at, key_id
    """


@check(
    severity="high",
    columns=(
        ReportColumn("removed", "text", "Id of the user or service account that was removed."),
        ReportColumn("part", "text", "Its part in the key: owner, in whose name the key acts, or creator."),
        ReportColumn("project_id", "text", "Project of the key; null if unknown or not always the same."),
        ReportColumn("alive_days", "integer", "Whole days that the key has outlived the removal.", "days"),
        ReportColumn("last_used_at", "instant", "When the key last caused an event, in UTC; null if it never did."),
    ),
    plot=Points(at="effective_at", label="actor"),
    controls=("SOC 2 CC6.2", "SOC 2 CC6.5", "ISO/IEC 27001:2022 A.5.18", "NIST SP 800-53 r5 AC-2"),
    relations=KEYS_AND_PEOPLE,
)
def orphaned_keys(*, as_of: Moment = None) -> str:
    """Which API keys outlived the user or service account behind them?

    One row for each key that is alive and each of its people that was removed and did not come back, the severest
    first, then the longest orphaned; effective_at is the removal. The owner is in whose name the key acts, which only
    an event that the key caused can tell; a key that acted for several has none. The severity is high, but medium if a
    creator left whose key acts for somebody else, or if the removal of a user names another project than the key's: it
    may be from that alone. Somebody comes back when added or made again or, as in members_as_of, by accepting an
    invite: after a removal from a project, to that one; after one from the organization, to it or any of its projects;
    after one from the tenant, anywhere. Removals name an id. The id of a creator who is known by e-mail address alone
    is learned from other events, unless these give the address several ids. OpenAI documents no payload of the
    tenant's: a removal there is assumed to name whom as user_id or user.id, else as id, and the end of a membership as
    user_id alone. A key is alive while no event deletes it and none archives or deletes its project; whether OpenAI
    ends a key together with its owner, without such an event, the specification does not say. Who was removed before
    the source begins is not known.

    Args:
        as_of: When keys must be alive; later events are left out. None for the time of the newest event.
    """
    return """
        WITH moment AS (
            SELECT max(as_of) AS as_of FROM living_keys
        ),
        moves AS (
            SELECT
                id,
                effective_at,
                effect IN ('grant', 'create') AS returns,
                left(area, 7) = 'tenant.' AS of_tenant,
                CASE WHEN area = 'user' THEN project_id END AS project_id,
                CASE
                    WHEN area = 'tenant.membership' THEN TRY(payload ->> '$.user_id')
                    ELSE coalesce(TRY(payload ->> '$.user_id'), TRY(payload ->> '$.user.id'), resource_id)
                END AS person
            FROM account_events CROSS JOIN moment
            WHERE area IN (
                    'user', 'tenant.user', 'tenant.membership', 'service_account', 'tenant.service_account'
                )
                AND (effect IN ('grant', 'revoke', 'delete') OR (effect = 'create' AND area LIKE '%service_account'))
                AND effective_at <= as_of
            UNION ALL
            SELECT id, effective_at, effect = 'grant', false, project_id, user_id
            FROM memberships CROSS JOIN moment
            WHERE invited AND effective_at <= as_of
        ),
        removals AS (
            SELECT * FROM moves
            WHERE NOT returns AND NOT EXISTS (
                SELECT 1 FROM moves AS back
                WHERE back.person = moves.person AND back.returns
                    AND (moves.of_tenant OR NOT back.of_tenant)
                    AND (moves.project_id IS NULL OR back.project_id = moves.project_id)
                    AND (back.effective_at > moves.effective_at
                        OR (back.effective_at = moves.effective_at AND back.id > moves.id))
            )
        ),
        namings AS (
            SELECT lower(actor_email) AS email, actor_id AS person, events.id AS id, effective_at,
                row_number() OVER (PARTITION BY lower(actor_email) ORDER BY effective_at, events.id) AS nth,
                min(actor_id) OVER (PARTITION BY lower(actor_email))
                    = max(actor_id) OVER (PARTITION BY lower(actor_email)) AS is_only
            FROM events
            WHERE actor_id IS NOT NULL
                AND lower(actor_email) IN (SELECT creator_email FROM living_keys WHERE creator_id IS NULL)
                AND effective_at <= coalesce(CAST($as_of AS TIMESTAMPTZ), CAST('9999-12-31' AS TIMESTAMPTZ))
        ),
        behind AS (
            SELECT key_id, 'owner' AS part, owner AS actor, owner_id AS person, CAST(NULL AS VARCHAR) AS named_id,
                CAST(NULL AS TIMESTAMPTZ) AS named_at
            FROM living_keys
            UNION ALL
            SELECT key_id, 'creator', creator, coalesce(creator_id, namings.person), namings.id, namings.effective_at
            FROM living_keys LEFT JOIN namings
                ON namings.email = creator_email AND creator_id IS NULL AND nth = 1 AND is_only
            WHERE owner_id IS NULL OR owner_id <> coalesce(creator_id, namings.person)
        ),
        judged AS (
            SELECT
                living_keys.*, part, behind.actor AS actor, behind.person AS person, named_id, named_at,
                removals.id AS removal_id,
                removals.effective_at AS removed_at,
                removals.project_id AS left_project,
                part = 'creator' AND owner_id IS NOT NULL AS acts_for_another,
                coalesce(removals.project_id <> coalesce(living_keys.project_id, ''), false) AS left_another
            FROM behind
            JOIN removals ON removals.person = behind.person
            JOIN living_keys ON living_keys.key_id = behind.key_id
        ),
        ranked AS (
            SELECT
                *,
                CASE WHEN acts_for_another OR left_another THEN 'medium' ELSE 'high' END AS severity,
                row_number() OVER (
                    PARTITION BY key_id, person ORDER BY left_another, removed_at, removal_id
                ) AS nth
            FROM judged
        ),
        evidence AS (
            SELECT key_id, person, created_id AS id, created_at AS at_ FROM ranked WHERE nth = 1
            UNION
            SELECT key_id, person, removal_id, removed_at FROM ranked WHERE nth = 1
            UNION
            SELECT key_id, person, last_used_id, last_used_at FROM ranked WHERE nth = 1
            UNION
            SELECT key_id, person, named_id, named_at FROM ranked WHERE nth = 1
        ),
        rested AS (
            SELECT key_id, person, list(id ORDER BY at_, id) AS event_ids
            FROM evidence WHERE id IS NOT NULL GROUP BY key_id, person
        )
        SELECT
            'orphaned_keys:' || removal_id || ':' || ranked.key_id AS finding,
            severity,
            removed_at AS effective_at,
            actor,
            ranked.key_id AS resource_id,
            rested.event_ids AS event_ids,
            'The API key ' || ranked.key_id || ' is alive though its ' || part || ' ' || actor || ' was removed on '
                || strftime(removed_at, '%Y-%m-%d')
                || CASE WHEN left_another THEN ', maybe from the project ' || left_project || ' alone' ELSE '' END
                || CASE WHEN acts_for_another THEN '; it acts for ' || owner ELSE '' END
                || CASE
                    WHEN last_used_at IS NULL THEN '. This log shows nothing that it did.'
                    ELSE '. It last caused an event on ' || strftime(last_used_at, '%Y-%m-%d')
                        || CASE WHEN last_used_at > removed_at THEN ', after the removal.' ELSE '.' END
                END AS why,
            ranked.person AS removed,
            part,
            project_id,
            floor((epoch(as_of) - epoch(removed_at)) / 86400) AS alive_days,
            last_used_at
        FROM ranked JOIN rested ON rested.key_id = ranked.key_id AND rested.person = ranked.person
        WHERE nth = 1
        ORDER BY severity = 'medium', removed_at, ranked.key_id, part DESC
    """


@check(
    severity="medium",
    columns=(
        ReportColumn("access", "text", "The widest that it may: all, admin or write."),
        ReportColumn("broad_scopes", "texts", "The scopes that say so, sorted."),
        ReportColumn("scopes", "texts", "All the scopes that were last asked for, as the event lists them."),
        ReportColumn("project_id", "text", "Project of the key; null if unknown or not always the same."),
    ),
    plot=Points(at="effective_at", label="access"),
    controls=("SOC 2 CC6.3", "ISO/IEC 27001:2022 A.8.2", "NIST SP 800-53 r5 AC-6"),
    relations=KEYS,
)
def broad_scope_keys(*, as_of: Moment = None) -> str:
    """Which living API keys may do everything, administer, or write everywhere?

    One row for each key that is alive and whose scopes as last asked for include such a scope, the widest first; actor
    and effective_at are of the event that set them, in either of the two places where OpenAI puts them; an earlier
    event may have made the key as broad before, which change_log shows. A scope is read by its words: all or * at its
    end gives all; admin, management or owner anywhere gives admin, unless it ends in read; write, manage or delete as
    its only word, or as the last of two, gives write. Writing in one area, as api.files.write does, is not broad.
    OpenAI says of such a list only that it holds the scopes allowed for the key, and nothing of a key without one: that
    is no row here, and api_keys shows its scopes as null. A key is alive while no event deletes it and none archives or
    deletes its project.

    Args:
        as_of: When keys must be alive; later events are left out. None for the time of the newest event.
    """
    return r"""
        WITH listed AS (
            SELECT DISTINCT key_id, each.scope AS scope, lower(each.scope) AS words
            FROM living_keys CROSS JOIN unnest(scopes) AS each(scope)
        ),
        judged AS (
            SELECT
                key_id,
                scope,
                CASE
                    WHEN regexp_matches(words, '(^|[.:/_-])(all|[*])$') THEN 1
                    WHEN regexp_matches(words, '(^|[.:/_-])(admin|management|owner)([.:/_-]|$)')
                        AND NOT regexp_matches(words, '(^|[.:/_-])read$') THEN 2
                    WHEN regexp_matches(words, '^([^.:/_-]+[.:/_-])?(write|manage|delete)$') THEN 3
                END AS rank
            FROM listed
        ),
        broad AS (
            SELECT
                key_id,
                min(rank) AS rank,
                list(scope ORDER BY scope) AS broad_scopes,
                string_agg(scope, ', ' ORDER BY scope) AS named
            FROM judged WHERE rank IS NOT NULL GROUP BY key_id
        )
        SELECT
            'broad_scope_keys:' || scopes_id AS finding,
            'medium' AS severity,
            scopes_at AS effective_at,
            scopes_by AS actor,
            living_keys.key_id AS resource_id,
            [scopes_id] AS event_ids,
            'The API key ' || living_keys.key_id || CASE rank
                    WHEN 1 THEN ' may do everything'
                    WHEN 2 THEN ' may administer'
                    ELSE ' may write everywhere'
                END || ' by the scopes last asked for, on ' || strftime(scopes_at, '%Y-%m-%d') || ': ' || named || '.'
                AS why,
            CASE rank WHEN 1 THEN 'all' WHEN 2 THEN 'admin' ELSE 'write' END AS access,
            broad_scopes,
            scopes,
            project_id
        FROM living_keys JOIN broad ON broad.key_id = living_keys.key_id
        ORDER BY rank, scopes_at, living_keys.key_id
    """
