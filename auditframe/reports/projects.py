"""Projects: how each came and went, and how much it may use."""

from __future__ import annotations

from auditframe.reports._base import report
from auditframe.reports._columns import ACTOR, EVENT_ID, EVENT_IDS, ReportColumn
from auditframe.reports._parameters import Moment
from auditframe.reports._specs import Points, Spans


@report(
    columns=(
        ReportColumn("project_id", "text", "Id of the project."),
        ReportColumn("title", "text", "The title last given to it; null if unknown."),
        ReportColumn("created_at", "instant", "When it was opened, in UTC; null if before the first event."),
        ReportColumn("created_by", "text", "Who opened it; null if unknown."),
        ReportColumn("renames", "integer", "How many times a title was asked for after that.", "events"),
        ReportColumn("renamed_at", "instant", "When this was last done, in UTC; null if never."),
        ReportColumn("archived_at", "instant", "When it was archived, in UTC; null if it was not."),
        ReportColumn("archived_by", "text", "Who archived it; null if it was not or the event names nobody."),
        ReportColumn("deleted_at", "instant", "When it was deleted, in UTC; null if it was not."),
        ReportColumn("deleted_by", "text", "Who deleted it; null if it was not or the event names nobody."),
        ReportColumn("ended_at", "instant", "The earlier of the two, in UTC; null if it is open."),
        ReportColumn("age_days", "number", "How long it was, or has been, open; null without created_at.", "days"),
        ReportColumn("events", "integer", "How many events happened in it.", "events"),
        ReportColumn("keys_left", "texts", "Ids of its API keys that outlived it, sorted; null if it is open."),
        ReportColumn("service_accounts_left", "texts", "The same of its service accounts; null if it is open."),
        EVENT_IDS,
    ),
    plot=Spans(
        label=("project_id",),
        start="created_at",
        end="ended_at",
        marks=(("renamed_at", "last renamed"),),
        meaning="from opening to archiving or deletion",
    ),
    controls=("SOC 2 CC6.5", "SOC 2 CC8.1", "ISO/IEC 27001:2022 A.8.32", "NIST SP 800-53 r5 AC-2"),
)
def project_lifecycle(*, as_of: Moment = None) -> str:
    """Which projects are there, and how did each come and go?

    One row for each project that an event is about or happened in, projects older than the source first, then in the
    order of their opening. A key or service account outlived its project if an event of the source shows it in the
    project and none says that it was deleted up to the second in which the project ended; whether it still works in
    there, the log does not tell. Keys that no event is about are not seen. The event ids are those of the events about
    the project itself.

    Args:
        as_of: The state at this moment, to the microsecond: later events do not count; None for the newest event's.
    """
    return """
        WITH bounds AS (
            SELECT coalesce(CAST($as_of AS TIMESTAMPTZ), max(effective_at)) AS as_of FROM events
        ),
        about AS (
            SELECT
                resource_id AS project_id,
                events.id AS id,
                effective_at,
                coalesce(effect, 'other') AS effect,
                verb,
                coalesce(actor_email, actor_id, actor_api_key_id) AS actor,
                coalesce(detail_changes_requested_title, detail_data_title, detail_data_name) AS title
            FROM events CROSS JOIN bounds LEFT JOIN catalogue ON catalogue.type = events.type
            WHERE area = 'project' AND resource_id IS NOT NULL AND effective_at <= as_of
        ),
        ranked AS (
            SELECT
                *,
                row_number() OVER (PARTITION BY project_id, verb ORDER BY effective_at, id) AS nth,
                row_number() OVER (
                    PARTITION BY project_id, title IS NULL ORDER BY effective_at DESC, id DESC
                ) AS nth_last_title
            FROM about
        ),
        managed AS (
            SELECT
                project_id,
                max(CASE WHEN nth_last_title = 1 THEN title END) AS title,
                min(CASE WHEN effect = 'create' THEN effective_at END) AS created_at,
                max(CASE WHEN effect = 'create' AND nth = 1 THEN actor END) AS created_by,
                count(CASE WHEN effect = 'change' THEN title END) AS renames,
                max(CASE WHEN effect = 'change' AND title IS NOT NULL THEN effective_at END) AS renamed_at,
                min(CASE WHEN verb = 'archived' THEN effective_at END) AS archived_at,
                max(CASE WHEN verb = 'archived' AND nth = 1 THEN actor END) AS archived_by,
                min(CASE WHEN verb = 'deleted' THEN effective_at END) AS deleted_at,
                max(CASE WHEN verb = 'deleted' AND nth = 1 THEN actor END) AS deleted_by,
                min(CASE WHEN effect = 'delete' THEN effective_at END) AS ended_at,
                list(id ORDER BY effective_at, id) AS event_ids
            FROM ranked
            GROUP BY project_id
        ),
        lived AS (
            SELECT
                project_id,
                CASE WHEN min(project_name) = max(project_name) THEN min(project_name) END AS title,
                count(*) AS events
            FROM events CROSS JOIN bounds
            WHERE project_id IS NOT NULL AND effective_at <= as_of
            GROUP BY project_id
        ),
        held AS (
            SELECT DISTINCT
                area,
                project_id,
                resource_id AS held_id,
                min(CASE WHEN effect = 'delete' THEN effective_at END) OVER (PARTITION BY area, resource_id)
                    AS deleted_at
            FROM events CROSS JOIN bounds LEFT JOIN catalogue ON catalogue.type = events.type
            WHERE area IN ('api_key', 'service_account') AND resource_id IS NOT NULL AND effective_at <= as_of
        ),
        outlived AS (
            SELECT
                held.project_id AS project_id,
                list(held_id ORDER BY held_id) FILTER (WHERE area = 'api_key') AS keys_left,
                list(held_id ORDER BY held_id) FILTER (WHERE area = 'service_account') AS service_accounts_left
            FROM held JOIN managed ON managed.project_id = held.project_id
            WHERE held.deleted_at IS NULL OR floor(epoch(held.deleted_at)) > floor(epoch(managed.ended_at))
            GROUP BY held.project_id
        )
        SELECT
            coalesce(managed.project_id, lived.project_id) AS project_id,
            coalesce(managed.title, lived.title) AS title,
            created_at,
            created_by,
            coalesce(renames, 0) AS renames,
            renamed_at,
            archived_at,
            archived_by,
            deleted_at,
            deleted_by,
            ended_at,
            (epoch(coalesce(ended_at, as_of)) - epoch(created_at)) / 86400.0 AS age_days,
            coalesce(events, 0) AS events,
            CASE WHEN ended_at IS NOT NULL THEN coalesce(keys_left, CAST([] AS VARCHAR[])) END AS keys_left,
            CASE WHEN ended_at IS NOT NULL THEN coalesce(service_accounts_left, CAST([] AS VARCHAR[])) END
                AS service_accounts_left,
            coalesce(event_ids, CAST([] AS VARCHAR[])) AS event_ids
        FROM managed
        FULL JOIN lived ON lived.project_id = managed.project_id
        LEFT JOIN outlived ON outlived.project_id = managed.project_id
        CROSS JOIN bounds
        ORDER BY created_at ASC NULLS FIRST, coalesce(managed.project_id, lived.project_id)
    """


@report(
    columns=(
        ReportColumn("effective_at", "instant", "When it took effect, in UTC."),
        ReportColumn("project_id", "text", "Whose limit it is; null if the event names no project."),
        ReportColumn("resource_id", "text", "Id of the rate limit, which holds for some models; null if not given."),
        ReportColumn("field", "text", "Which limit, by the API's name; null if the default came back for all."),
        ReportColumn("unit", "text", "What before and after count; null with field."),
        ReportColumn("before", "integer", "The limit until then; null if unknown.", "as the column unit says"),
        ReportColumn("after", "integer", "The limit asked for; null for the default.", "as the column unit says"),
        ReportColumn(
            "factor", "number", "How many times as much it is; null if before or after is null, or before is 0.", "1"
        ),
        ACTOR,
        EVENT_ID,
        ReportColumn("previous_event_id", "text", "Id of the event that set the limit before; null if unknown."),
    ),
    plot=Points(at="effective_at", label="field"),
    controls=("SOC 2 CC8.1", "ISO/IEC 27001:2022 A.8.32", "NIST SP 800-53 r5 CM-3"),
    is_roomy=True,
)
def rate_limit_changes() -> str:
    """Which rate limits were raised or lowered, and by how much?

    One row for each limit that an event sets, in time order. The limit before is what an earlier event of the source
    set for the same rate limit in the same project; null means that it was set before the source begins, or that it was
    the default, which the log never states. Where a rate limit was deleted, each of its limits that was known goes back
    to the default, which is a row each; if none was known, it is one row without a field. An event without a rate
    limit's id has no past.
    """
    return """
        WITH touched AS (
            SELECT
                events.id AS id,
                effective_at,
                project_id,
                resource_id,
                CASE WHEN resource_id IS NULL THEN events.id END AS alone,
                effect = 'delete' AS ends,
                coalesce(actor_email, actor_id, actor_api_key_id) AS actor,
                detail_changes_requested_max_requests_per_1_minute,
                detail_changes_requested_max_tokens_per_1_minute,
                detail_changes_requested_max_images_per_1_minute,
                detail_changes_requested_max_audio_megabytes_per_1_minute,
                detail_changes_requested_max_requests_per_1_day,
                detail_changes_requested_batch_1_day_max_input_tokens
            FROM events JOIN catalogue ON catalogue.type = events.type
            WHERE area = 'rate_limit'
        ),
        numbered AS (
            SELECT
                *,
                sum(CASE WHEN ends THEN 1 ELSE 0 END) OVER (
                    PARTITION BY project_id, resource_id, alone ORDER BY effective_at, id
                    RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
                ) - CASE WHEN ends THEN 1 ELSE 0 END AS life
            FROM touched
        ),
        asked AS (
            SELECT
                id, effective_at, project_id, resource_id, alone, life, actor,
                listed.field AS field,
                CASE listed.field
                    WHEN 'max_requests_per_1_minute' THEN 'requests/min'
                    WHEN 'max_tokens_per_1_minute' THEN 'tokens/min'
                    WHEN 'max_images_per_1_minute' THEN 'images/min'
                    WHEN 'max_audio_megabytes_per_1_minute' THEN 'MB/min'
                    WHEN 'max_requests_per_1_day' THEN 'requests/day'
                    WHEN 'batch_1_day_max_input_tokens' THEN 'tokens/day'
                END AS unit,
                CASE listed.field
                    WHEN 'max_requests_per_1_minute' THEN detail_changes_requested_max_requests_per_1_minute
                    WHEN 'max_tokens_per_1_minute' THEN detail_changes_requested_max_tokens_per_1_minute
                    WHEN 'max_images_per_1_minute' THEN detail_changes_requested_max_images_per_1_minute
                    WHEN 'max_audio_megabytes_per_1_minute'
                        THEN detail_changes_requested_max_audio_megabytes_per_1_minute
                    WHEN 'max_requests_per_1_day' THEN detail_changes_requested_max_requests_per_1_day
                    WHEN 'batch_1_day_max_input_tokens' THEN detail_changes_requested_batch_1_day_max_input_tokens
                END AS after
            FROM numbered CROSS JOIN unnest([
                'max_requests_per_1_minute', 'max_tokens_per_1_minute', 'max_images_per_1_minute',
                'max_audio_megabytes_per_1_minute', 'max_requests_per_1_day', 'batch_1_day_max_input_tokens'
            ]) AS listed(field)
        ),
        dropped AS (
            SELECT numbered.id, effective_at, numbered.project_id, numbered.resource_id, alone, actor, field, unit
            FROM numbered
            LEFT JOIN (
                SELECT DISTINCT project_id, resource_id, life, field, unit FROM asked WHERE after IS NOT NULL
            ) AS known
                ON known.project_id IS NOT DISTINCT FROM numbered.project_id
                AND known.resource_id = numbered.resource_id
                AND known.life = numbered.life
            WHERE ends
        ),
        listed AS (
            SELECT id, effective_at, project_id, resource_id, alone, actor, field, unit, after
            FROM asked
            WHERE after IS NOT NULL
            UNION ALL
            SELECT id, effective_at, project_id, resource_id, alone, actor, field, unit, CAST(NULL AS BIGINT)
            FROM dropped
        ),
        replayed AS (
            SELECT
                *,
                lag(after) OVER past AS before,
                lag(id) OVER past AS previous_event_id
            FROM listed
            WINDOW past AS (PARTITION BY project_id, resource_id, alone, field ORDER BY effective_at, id)
        )
        SELECT
            effective_at,
            project_id,
            resource_id,
            field,
            unit,
            before,
            after,
            CAST(after AS DOUBLE) / nullif(before, 0) AS factor,
            actor,
            id AS event_id,
            CASE WHEN field IS NOT NULL THEN previous_event_id END AS previous_event_id
        FROM replayed
        ORDER BY effective_at, id, field
    """
