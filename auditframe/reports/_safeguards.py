"""Which events touch a safeguard: the one place that judges it, as a relation that reports join."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa

from auditframe.reports._relations import Relation

if TYPE_CHECKING:
    from collections.abc import Mapping

    from auditframe.lake import Events


class Safeguard(NamedTuple):
    """What an area, or a setting of it, protects with.

    Attributes:
        area: The area whose events are about it.
        safeguard: What it is called.
        field: The setting among the requested changes that is meant; None where the area is the safeguard itself.
        off_value: The value of the setting that turns it off; any other turns it on. None if none does.
        holds_when_made: Whether it is on as long as it exists, so that creation turns it on and deletion off.
        replaceable: Whether another of its kind does its work while one is off.
    """

    area: str
    safeguard: str
    field: str | None = None
    off_value: str | None = None
    holds_when_made: bool = False
    replaceable: bool = True


SAFEGUARD_AREAS = (
    Safeguard("ip_allowlist", "IP allow-list"),
    Safeguard("ip_allowlist.config", "IP allow-list"),
    Safeguard("certificate", "Client certificate"),
    Safeguard("certificates", "Client certificate"),
    Safeguard("external_key", "External key"),
    Safeguard("external_storage", "External storage"),
    Safeguard("scim", "Directory provisioning"),
    Safeguard("tenant.scim.directory", "Directory provisioning", holds_when_made=True),
    Safeguard("tenant.scim.deletion", "Directory provisioning"),
    Safeguard("tenant.microsoft_entra_mapping", "Microsoft Entra mapping"),
    Safeguard("tenant.sso", "Single sign-on"),
    Safeguard("tenant.sso_connection", "Single sign-on", holds_when_made=True),
    Safeguard("tenant.domains", "Verified domains"),
    Safeguard("tenant.session_policy", "Session policy", holds_when_made=True),
    Safeguard("tenant.policy", "Policy", replaceable=False),
    Safeguard("tenant.product_access_policy", "Product access policy"),
    Safeguard("tenant.third_party_app_policy", "Policy on outside applications"),
    Safeguard("organization", "API call logging", field="api_call_logging", off_value="disabled"),
    Safeguard("organization", "API call logging", field="api_call_logging_project_ids"),
    Safeguard("organization", "Visibility of threads", field="threads_ui_visibility"),
    Safeguard("organization", "Visibility of usage", field="usage_dashboard_visibility"),
)

_COLUMNS: Mapping[str, pa.DataType] = {
    "area": pa.string(),
    "safeguard": pa.string(),
    "field": pa.string(),
    "off_value": pa.string(),
    "holds_when_made": pa.bool_(),
    "replaceable": pa.bool_(),
}


def _read_safeguards(_: Events, __: Mapping[str, Any]) -> pa.Table:
    return pa.Table.from_pylist([each._asdict() for each in SAFEGUARD_AREAS], schema=pa.schema(list(_COLUMNS.items())))


SAFEGUARDS = Relation(
    "safeguards",
    _COLUMNS,
    "An area of events, or one of its settings, that counts as a safeguard, and what turns it on and off.",
    _read_safeguards,
)
