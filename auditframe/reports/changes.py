"""What was done to the things of the organization."""

from __future__ import annotations

from auditframe.reports._base import report
from auditframe.reports._columns import ReportColumn
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
)
def resource_history(*, resource_id: str | None = None) -> str:
    """What happened to a resource, and who did it?

    One row for each event and each resource that it names, in time order. An event names a resource as what it is
    about, or in its payload: as the principal that received a role, in a list of certificates, and so on; via says
    where, and only the first of these places when one event names a resource twice. What merely happened inside a
    project is not the project's history. Payloads that OpenAI does not document are searched for their own id alone.

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
            FROM events CROSS JOIN unnest(detail_certificates_id) AS listed(one)
            UNION ALL
            SELECT 6, 'detail_configs_id', listed.one, id
            FROM events CROSS JOIN unnest(detail_configs_id) AS listed(one)
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
