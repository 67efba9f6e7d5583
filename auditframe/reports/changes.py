"""What was done to the things of the organization."""

from __future__ import annotations

from auditframe.reports._base import ReportColumn, report
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
        WITH places(place, via) AS (
            VALUES
                (1, 'resource'),
                (2, 'detail_resource_id'),
                (3, 'detail_principal_id'),
                (4, 'detail_role_id'),
                (5, 'detail_certificates_id'),
                (6, 'detail_configs_id'),
                (7, 'detail_data_project_id'),
                (8, 'detail_project_id'),
                (9, 'detail_service_account_id'),
                (10, 'detail_identity_provider_id'),
                (11, 'detail_changes_requested_resource_id'),
                (12, 'detail_workspace_id'),
                (13, 'detail_connector_id')
        ),
        named AS (
            SELECT
                events.id AS event_id,
                place,
                via,
                CASE via
                    WHEN 'resource' THEN [resource_id]
                    WHEN 'detail_resource_id' THEN [detail_resource_id]
                    WHEN 'detail_principal_id' THEN [detail_principal_id]
                    WHEN 'detail_role_id' THEN [detail_role_id]
                    WHEN 'detail_certificates_id' THEN detail_certificates_id
                    WHEN 'detail_configs_id' THEN detail_configs_id
                    WHEN 'detail_data_project_id' THEN [detail_data_project_id]
                    WHEN 'detail_project_id' THEN [detail_project_id]
                    WHEN 'detail_service_account_id' THEN [detail_service_account_id]
                    WHEN 'detail_identity_provider_id' THEN [detail_identity_provider_id]
                    WHEN 'detail_changes_requested_resource_id' THEN [detail_changes_requested_resource_id]
                    WHEN 'detail_workspace_id' THEN [detail_workspace_id]
                    WHEN 'detail_connector_id' THEN [detail_connector_id]
                END AS ids,
                effective_at,
                events.type AS type,
                coalesce(actor_email, actor_id, actor_api_key_id) AS actor,
                ip_address,
                project_id,
                detail
            FROM events CROSS JOIN places
        ),
        ranked AS (
            SELECT
                named.*,
                listed.id AS resource_id,
                row_number() OVER (PARTITION BY event_id, listed.id ORDER BY place) AS nth
            FROM named CROSS JOIN unnest(ids) AS listed(id)
            WHERE listed.id IS NOT NULL
                AND (CAST($resource_id AS VARCHAR) IS NULL OR listed.id = CAST($resource_id AS VARCHAR))
        )
        SELECT
            resource_id,
            effective_at,
            ranked.type AS type,
            coalesce(catalogue.effect, 'other') AS effect,
            via,
            actor,
            ip_address,
            project_id,
            detail,
            event_id
        FROM ranked LEFT JOIN catalogue ON catalogue.type = ranked.type
        WHERE nth = 1
        ORDER BY effective_at, event_id, place, resource_id
    """
