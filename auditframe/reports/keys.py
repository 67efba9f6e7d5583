"""API keys: where each came from, what it may do, and what it did."""

from __future__ import annotations

from auditframe.reports._base import report
from auditframe.reports._columns import ReportColumn
from auditframe.reports._specs import Spans


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
