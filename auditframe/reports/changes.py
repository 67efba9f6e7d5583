"""What was done to the things of the organization."""

from __future__ import annotations

from auditframe.reports._base import check, report
from auditframe.reports._columns import ACTOR, EVENT_ID, ReportColumn
from auditframe.reports._relations import APPROVALS
from auditframe.reports._specs import Points


@report(
    columns=(
        ReportColumn("resource_id", "text", "Id of what it happened to."),
        ReportColumn("effective_at", "instant", "When it took effect, in UTC."),
        ReportColumn("type", "text", "The event type."),
        ReportColumn("effect", "text", "What such an event does, after the catalogue; other if it does not say."),
        ReportColumn("via", "text", "resource if the event is about it, else the column that names it."),
        ReportColumn("actor", "text", "Who did it: e-mail address, else id, else API key; null if nobody is named."),
        ReportColumn("ip_address", "text", "From where; null for API keys and if the session does not say."),
        ReportColumn("project_id", "text", "In which project; null if the event names none."),
        ReportColumn("detail", "json", "The whole payload of the event; null if it has none."),
        ReportColumn("event_id", "text", "Id of the event."),
    ),
    plot=Points(at="effective_at", label="type"),
    controls=("SOC 2 CC8.1", "ISO/IEC 27001:2022 A.8.32", "NIST SP 800-53 r5 AU-12"),
    is_roomy=True,
)
def resource_history(*, resource_id: str | None = None) -> str:
    """What happened to a resource, and who did it?

    One row for each event and each resource that it names, in time order. An event names a resource as what it is
    about, or in its payload: as the resource, principal or role of an assignment, in a list of certificates or
    allow-lists, or as a project, service account, identity provider, workspace or connector; via says where, and only
    the first of these places when one event names a resource twice. What merely happened inside a project is not the
    project's history. Payloads that OpenAI does not document are read where they use the same names.

    Args:
        resource_id: Only this resource; None for every one.
    """
    return """
        WITH mentions AS (
            SELECT 1 AS place, 'resource' AS via, resource_id AS named, id FROM events
            UNION ALL
            SELECT 2, 'detail_resource_id', detail_resource_id, id FROM events
            UNION ALL
            SELECT 3, 'detail_principal_id', detail_principal_id, id FROM events
            UNION ALL
            SELECT 4, 'detail_role_id', detail_role_id, id FROM events
            UNION ALL
            SELECT 5, 'detail_certificates_id', listed.one, id
            FROM (SELECT id, detail_certificates_id FROM events WHERE detail_certificates_id IS NOT NULL) AS several
            CROSS JOIN unnest(detail_certificates_id) AS listed(one)
            UNION ALL
            SELECT 6, 'detail_configs_id', listed.one, id
            FROM (SELECT id, detail_configs_id FROM events WHERE detail_configs_id IS NOT NULL) AS several
            CROSS JOIN unnest(detail_configs_id) AS listed(one)
            UNION ALL
            SELECT 7, 'detail_data_project_id', detail_data_project_id, id FROM events
            UNION ALL
            SELECT 8, 'detail_project_id', detail_project_id, id FROM events
            UNION ALL
            SELECT 9, 'detail_service_account_id', detail_service_account_id, id FROM events
            UNION ALL
            SELECT 10, 'detail_identity_provider_id', detail_identity_provider_id, id FROM events
            UNION ALL
            SELECT 11, 'detail_changes_requested_resource_id', detail_changes_requested_resource_id, id FROM events
            UNION ALL
            SELECT 12, 'detail_workspace_id', detail_workspace_id, id FROM events
            UNION ALL
            SELECT 13, 'detail_connector_id', detail_connector_id, id FROM events
        ),
        ranked AS (
            SELECT named, id, via, place, row_number() OVER (PARTITION BY id, named ORDER BY place) AS nth
            FROM mentions
            WHERE named IS NOT NULL
                AND (CAST($resource_id AS VARCHAR) IS NULL OR named = CAST($resource_id AS VARCHAR))
        )
        SELECT
            named AS resource_id,
            effective_at,
            events.type AS type,
            coalesce(catalogue.effect, 'other') AS effect,
            via,
            coalesce(actor_email, actor_id, actor_api_key_id) AS actor,
            ip_address,
            project_id,
            detail,
            events.id AS event_id
        FROM ranked
        JOIN events ON events.id = ranked.id
        LEFT JOIN catalogue ON catalogue.type = events.type
        WHERE nth = 1
        ORDER BY effective_at, events.id, place, named
    """


@report(
    columns=(
        ReportColumn("effective_at", "instant", "When it took effect, in UTC."),
        ReportColumn("type", "text", "The event type."),
        ReportColumn("effect", "text", "What such an event does, after the catalogue; other if it does not say."),
        ReportColumn("resource_id", "text", "What it was done to; null if the event does not say."),
        ReportColumn("field", "text", "What was set, by the API's name for it."),
        ReportColumn("before", "text", "The value until then, lists as sorted JSON; null if none or unknown."),
        ReportColumn("before_known", "flag", "Whether the source tells what was there before, be it nothing."),
        ReportColumn("after", "text", "The value that was asked for, lists as sorted JSON; null after a deletion."),
        ReportColumn("changed", "flag", "Whether the value differs; null if the one before, or after, is unknown."),
        ACTOR,
        ReportColumn("project_id", "text", "In which project; null if the event names none."),
        EVENT_ID,
        ReportColumn("previous_event_id", "text", "Id of the event that set the value before; null if there is none."),
    ),
    plot=Points(at="effective_at", label="field"),
    controls=("SOC 2 CC8.1", "ISO/IEC 27001:2022 A.8.32", "NIST SP 800-53 r5 CM-3"),
    is_roomy=True,
)
def change_log(*, resource_id: str | None = None) -> str:
    """What was changed, from what to what?

    One row for each field that an event sets, in time order. An event holds the value that was asked for and never the
    one before: that is the last one that an earlier event of the source set in the same field of the same thing, or
    nothing when the event makes the thing. Where neither tells, before_known is false: the value is older than the
    source. Fields of users and rate limits are told apart by project, permissions on a resource by role, and after a
    deletion everything begins anew; an event without a resource has no past. A deletion has a row for each value that
    it states itself. A request for what was set already is a row whose changed is false. Permissions of a role are
    altered by what is added and removed, and a workload identity provider by a part of its data: after says so, and the
    whole that results is unknown. What names a thing or says why something failed is no field: lists of certificates
    and allow-lists, the role of an assignment, the kind of a deleted resource, and errors. Payloads that OpenAI does
    not document are read where they use the same names.

    Args:
        resource_id: Only this resource; None for every one.
    """
    return """
        WITH touched AS (
            SELECT
                events.*,
                coalesce(effect, 'other') AS effect,
                -- What a role may do on a resource, and no life of that resource.
                coalesce(verb IN ('bound_to_resource', 'unbound_from_resource'), false) AS binds,
                coalesce(effect IN ('create', 'grant') OR verb = 'registered', false) AND NOT binds AS begins,
                -- Deleting some things turns a control off, which is what the catalogue calls it then.
                coalesce(effect IN ('delete', 'revoke') OR verb = 'deleted', false) AND NOT binds AS ends
            FROM events LEFT JOIN catalogue ON catalogue.type = events.type
            WHERE coalesce(effect, 'other') NOT IN ('login', 'login_failed', 'logout')
                AND (CAST($resource_id AS VARCHAR) IS NULL OR resource_id = CAST($resource_id AS VARCHAR))
        ),
        said AS (
            SELECT
                id,
                effective_at,
                type,
                area,
                effect,
                coalesce(actor_email, actor_id, actor_api_key_id) AS actor,
                resource_id,
                project_id,
                CASE WHEN binds THEN detail_role_id END AS role_id,
                CASE WHEN area IN ('user', 'rate_limit') THEN project_id END AS place,
                CASE WHEN resource_id IS NULL THEN id END AS alone,
                begins,
                ends,
                listed.field AS field,
                CASE listed.field
                    WHEN '' THEN CASE WHEN begins OR ends THEN 'a life' END
                    WHEN 'scopes'
                        THEN '' || to_json(array_sort(coalesce(detail_changes_requested_scopes, detail_data_scopes)))
                    WHEN 'group_name' THEN coalesce(detail_changes_requested_group_name, detail_data_group_name)
                    WHEN 'role' THEN coalesce(detail_changes_requested_role, detail_data_role)
                    WHEN 'name' THEN coalesce(detail_changes_requested_name, detail_data_name, detail_name)
                    WHEN 'title' THEN coalesce(detail_changes_requested_title, detail_data_title)
                    WHEN 'description' THEN detail_changes_requested_description
                    WHEN 'allowed_ips' THEN '' || to_json(array_sort(detail_allowed_ips))
                    WHEN 'threads_ui_visibility' THEN detail_changes_requested_threads_ui_visibility
                    WHEN 'usage_dashboard_visibility' THEN detail_changes_requested_usage_dashboard_visibility
                    WHEN 'api_call_logging' THEN detail_changes_requested_api_call_logging
                    WHEN 'api_call_logging_project_ids' THEN detail_changes_requested_api_call_logging_project_ids
                    WHEN 'max_requests_per_1_minute'
                        THEN CAST(detail_changes_requested_max_requests_per_1_minute AS VARCHAR)
                    WHEN 'max_tokens_per_1_minute'
                        THEN CAST(detail_changes_requested_max_tokens_per_1_minute AS VARCHAR)
                    WHEN 'max_images_per_1_minute'
                        THEN CAST(detail_changes_requested_max_images_per_1_minute AS VARCHAR)
                    WHEN 'max_audio_megabytes_per_1_minute'
                        THEN CAST(detail_changes_requested_max_audio_megabytes_per_1_minute AS VARCHAR)
                    WHEN 'max_requests_per_1_day' THEN CAST(detail_changes_requested_max_requests_per_1_day AS VARCHAR)
                    WHEN 'batch_1_day_max_input_tokens'
                        THEN CAST(detail_changes_requested_batch_1_day_max_input_tokens AS VARCHAR)
                    WHEN 'role_name' THEN coalesce(detail_changes_requested_role_name, detail_role_name)
                    WHEN 'permissions' THEN coalesce(
                        '' || to_json(array_sort(detail_permissions)),
                        'in part ' || nullif(concat_ws(
                            ', ',
                            'added ' || to_json(array_sort(detail_changes_requested_permissions_added)),
                            'removed ' || to_json(array_sort(detail_changes_requested_permissions_removed))
                        ), ''))
                    WHEN 'resource_type' THEN coalesce(
                        detail_changes_requested_resource_type,
                        CASE WHEN NOT binds AND type <> 'resource.deleted' THEN detail_resource_type END)
                    WHEN 'resource_id' THEN coalesce(
                        detail_changes_requested_resource_id, CASE WHEN NOT binds THEN detail_resource_id END)
                    WHEN 'metadata' THEN detail_changes_requested_metadata
                    WHEN 'data' THEN coalesce(detail_data, 'in part ' || detail_changes_requested)
                    WHEN 'email' THEN detail_data_email
                    WHEN 'project_id' THEN coalesce(detail_data_project_id, detail_project_id)
                    WHEN 'fine_tuned_model_checkpoint' THEN detail_data_fine_tuned_model_checkpoint
                    WHEN 'principal_id' THEN detail_principal_id
                    WHEN 'principal_type' THEN detail_principal_type
                    WHEN 'enabled' THEN CAST(detail_enabled AS VARCHAR)
                    WHEN 'identity_provider_id' THEN detail_identity_provider_id
                    WHEN 'service_account_id' THEN detail_service_account_id
                END AS value
            FROM touched CROSS JOIN unnest([
                '', 'scopes', 'group_name', 'role', 'name', 'title', 'description', 'allowed_ips',
                'threads_ui_visibility', 'usage_dashboard_visibility', 'api_call_logging',
                'api_call_logging_project_ids', 'max_requests_per_1_minute', 'max_tokens_per_1_minute',
                'max_images_per_1_minute', 'max_audio_megabytes_per_1_minute', 'max_requests_per_1_day',
                'batch_1_day_max_input_tokens', 'role_name', 'permissions', 'resource_type', 'resource_id', 'metadata',
                'data', 'email', 'project_id', 'fine_tuned_model_checkpoint', 'principal_id', 'principal_type',
                'enabled', 'identity_provider_id', 'service_account_id'
            ]) AS listed(field)
        ),
        numbered AS (
            SELECT
                *,
                field IN ('data', 'permissions') AND value LIKE 'in part %' AS partial,
                sum(CASE WHEN field = '' THEN 1 ELSE 0 END) OVER (
                    PARTITION BY area, resource_id, role_id, place, alone ORDER BY effective_at, id
                    RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
                ) - CASE WHEN ends THEN 1 ELSE 0 END AS life
            FROM said
            WHERE value IS NOT NULL
        ),
        replayed AS (
            SELECT
                *,
                lag(value) OVER past AS previous,
                lag(partial) OVER past AS previous_partial,
                lag(id) OVER past AS previous_event_id
            FROM numbered
            WHERE field <> ''
            WINDOW past AS (
                PARTITION BY area, resource_id, role_id, place, alone, life, field ORDER BY effective_at, id
            )
        ),
        compared AS (
            SELECT
                *,
                CASE WHEN ends THEN value WHEN NOT previous_partial THEN previous END AS before,
                ends OR coalesce(NOT previous_partial, begins) AS before_known,
                CASE WHEN NOT ends THEN value END AS after
            FROM replayed
        )
        SELECT
            effective_at,
            type,
            effect,
            resource_id,
            field,
            before,
            before_known,
            after,
            CASE WHEN before_known AND NOT partial THEN before IS DISTINCT FROM after END AS changed,
            actor,
            project_id,
            id AS event_id,
            previous_event_id
        FROM compared
        ORDER BY effective_at, id, field
    """


@check(
    severity="medium",
    columns=(
        ReportColumn("type", "text", "The event type."),
        ReportColumn(
            "nearest",
            "text",
            "The approved change that names its actor or resource and would cover it but for one thing; null if none.",
        ),
    ),
    plot=Points(at="effective_at", label="type"),
    controls=("SOC 2 CC6.8", "SOC 2 CC8.1", "ISO/IEC 27001:2022 A.8.32", "NIST SP 800-53 r5 CM-3"),
    relations=(APPROVALS,),
)
def unapproved_changes(*, approved: str | None = None) -> str:
    """Which changes did nobody approve?

    One row for each change that no approved change covers, in time order. A change is whatever creates, alters or
    deletes something, grants or takes access, or turns a control on or off; an event about several allow-lists or
    certificates is a change of each. Approved changes are a CSV file with the columns change (its name), actor,
    resource_id, starts_at and ends_at: the actor is an e-mail address in any case, or the id of a user, service account
    or API key; the change falls at starts_at or later and before ends_at; an empty field matches everything, and a line
    that fills no field but change is refused, for it would approve everything. Spaces around a value are part of it. An
    event that names no actor, or no resource, is covered only where that field is empty. Without a file the answer is
    empty and a warning says so, for nobody said what is approved. Why names an approval that differs in one thing: of
    several one that differs in time, else in person, else in resource, and of those the first by name. A finding is as
    severe as the catalogue holds such an event to be, and at most medium.

    Args:
        approved: The path of the CSV file of approved changes; None to judge nothing.
    """
    return """
        WITH happened AS (
            SELECT
                events.id AS id,
                effective_at,
                events.type AS type,
                actor_email,
                actor_id,
                actor_api_key_id,
                resource_id,
                coalesce(detail_configs_id, detail_certificates_id) AS several
            FROM events JOIN catalogue ON catalogue.type = events.type
            WHERE CAST($approved AS VARCHAR) IS NOT NULL
                AND effect IN ('create', 'change', 'delete', 'grant', 'revoke', 'control_on', 'control_off')
        ),
        changes AS (
            SELECT id, effective_at, type, actor_email, actor_id, actor_api_key_id, resource_id AS about_id, resource_id
            FROM happened
            WHERE NOT coalesce(cardinality(several) > 0, false)
            UNION ALL
            SELECT DISTINCT id, effective_at, type, actor_email, actor_id, actor_api_key_id, resource_id, listed.one
            FROM (SELECT * FROM happened WHERE cardinality(several) > 0) AS lists
            CROSS JOIN unnest(several) AS listed(one)
        ),
        uncovered AS (
            SELECT changes.*
            FROM changes ANTI JOIN approvals
                ON coalesce(
                    approvals.actor IS NULL
                        OR lower(approvals.actor) = lower(actor_email)
                        OR approvals.actor IN (actor_id, actor_api_key_id),
                    false
                )
                AND coalesce(approvals.resource_id IS NULL OR approvals.resource_id = changes.resource_id, false)
                AND (starts_at IS NULL OR effective_at >= starts_at)
                AND (ends_at IS NULL OR effective_at < ends_at)
        ),
        pairs AS (
            SELECT
                id,
                uncovered.resource_id AS resource_id,
                coalesce(approvals.change, 'an approval without a name') AS change,
                approvals.actor AS allowed_actor,
                approvals.resource_id AS allowed_resource,
                starts_at,
                ends_at,
                approvals.actor IS NULL
                    OR coalesce(lower(approvals.actor) = lower(actor_email), false)
                    OR coalesce(approvals.actor IN (actor_id, actor_api_key_id), false) AS by_them,
                approvals.resource_id IS NULL
                    OR coalesce(approvals.resource_id = uncovered.resource_id, false) AS on_it,
                (starts_at IS NULL OR effective_at >= starts_at) AND (ends_at IS NULL OR effective_at < ends_at)
                    AS in_time
            FROM uncovered CROSS JOIN approvals
        ),
        ranked AS (
            SELECT
                *,
                row_number() OVER (
                    PARTITION BY id, resource_id
                    ORDER BY
                        CASE WHEN by_them AND on_it THEN 1 ELSE 2 END,
                        on_it DESC, change, starts_at, ends_at, allowed_actor, allowed_resource
                ) AS nth
            FROM pairs
            WHERE (by_them AND on_it AND coalesce(allowed_actor, allowed_resource) IS NOT NULL)
                OR (by_them AND in_time AND allowed_actor IS NOT NULL)
                OR (on_it AND in_time AND allowed_resource IS NOT NULL)
        )
        SELECT
            'unapproved_changes:' || uncovered.id
                || CASE
                    WHEN uncovered.resource_id IS DISTINCT FROM about_id THEN ':' || coalesce(uncovered.resource_id, '')
                    ELSE ''
                END AS finding,
            CASE WHEN catalogue.severity IN ('info', 'low') THEN catalogue.severity ELSE 'medium' END AS severity,
            effective_at,
            coalesce(actor_email, actor_id, actor_api_key_id) AS actor,
            uncovered.resource_id AS resource_id,
            [uncovered.id] AS event_ids,
            doc || ' ' || coalesce(actor_email, actor_id, actor_api_key_id, 'Somebody whom the event does not name')
                || ' did this' || coalesce(' to ' || uncovered.resource_id, '')
                || ' at ' || strftime(effective_at, '%Y-%m-%d %H:%M:%S') || ' UTC, and no approved change covers it'
                || CASE
                    WHEN change IS NULL THEN ''
                    WHEN by_them AND on_it THEN '; ' || change || ' would, but only'
                        || coalesce(' from ' || strftime(starts_at, '%Y-%m-%d %H:%M:%S') || ' UTC on', '')
                        || CASE WHEN starts_at IS NOT NULL AND ends_at IS NOT NULL THEN ' and' ELSE '' END
                        || coalesce(' before ' || strftime(ends_at, '%Y-%m-%d %H:%M:%S') || ' UTC', '')
                    WHEN on_it THEN '; ' || change || ' would, but only for ' || allowed_actor
                    ELSE '; ' || change || ' would, but only for ' || allowed_resource
                END || '.' AS why,
            uncovered.type AS type,
            change AS nearest
        FROM uncovered
        JOIN catalogue ON catalogue.type = uncovered.type
        LEFT JOIN ranked
            ON ranked.id = uncovered.id AND ranked.resource_id IS NOT DISTINCT FROM uncovered.resource_id AND nth = 1
        ORDER BY effective_at, uncovered.id, finding
    """
