"""The columns of an event as data: name, paths, kind, doc and unit, in the order in which they stand."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Literal

import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Mapping

Kind = Literal["text", "name", "address", "integer", "number", "flag", "texts", "json", "instant"]
"""What a column holds; a ``name`` is text that, where it is empty, names nothing; an ``address`` is an IP address in
its one shortest form; ``texts`` is a list of text, ``json`` is JSON text."""

ARROW_TYPES: Mapping[Kind, pa.DataType] = {
    "text": pa.string(),
    "name": pa.string(),
    "address": pa.string(),
    "integer": pa.int64(),
    "number": pa.float64(),
    "flag": pa.bool_(),
    "texts": pa.list_(pa.field("element", pa.string())),
    "json": pa.string(),
    "instant": pa.timestamp("us", tz="UTC"),
}

COLUMNS_VERSION = 2
"""Grows whenever `COLUMNS` changes, so that a lake can tell that its partitions are older."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column: where its value stands in an event, and what it means.

    A path is keys joined by ``/``, because the names of types hold dots. ``*`` as the first key
    stands for the key named like the event's own type; a path may name one type instead, and then
    holds for that type only. Lists on the way are walked into: ``*/certificates/id`` collects the
    ids of a list of objects.

    Attributes:
        name: The column's name.
        paths: Tried in order, the first value that is not null counts; empty for a column that is
            computed instead of looked up.
        kind: What it holds.
        doc: One sentence.
        unit: What a number counts or measures; None where there is nothing to count.
    """

    name: str
    paths: tuple[str, ...]
    kind: Kind
    doc: str
    unit: str | None = None

    @property
    def type(self) -> pa.DataType:
        """The Arrow type of the column."""
        return ARROW_TYPES[self.kind]

    @property
    def steps(self) -> tuple[tuple[str, ...], ...]:
        """The keys of each path, in the order of the paths."""
        return tuple(tuple(path.split("/")) for path in self.paths)


def _detail(path: str, kind: Kind, doc: str, unit: str | None = None) -> Column:
    return Column(_detail_name(path), (f"*/{path}",), kind, doc, unit)


def _detail_of(types: tuple[str, ...], path: str, kind: Kind, doc: str) -> Column:
    return Column(_detail_name(path), tuple(f"{type_}/{path}" for type_ in types), kind, doc)


def _detail_name(path: str) -> str:
    return "detail_" + path.replace("/", "_")


# Types whose `data` or `changes_requested` has no documented properties: only theirs is a leaf.
_OPAQUE_DATA = (
    "external_key.registered",
    "workload_identity_provider.created",
    "workload_identity_provider_mapping.created",
)
_OPAQUE_CHANGES = ("workload_identity_provider.updated", "workload_identity_provider_mapping.updated")

_SESSION = "actor/session"
_API_KEY = "actor/api_key"
_PLACE = "actor/session/ip_address_details"

COLUMNS: tuple[Column, ...] = (
    # envelope
    Column("id", ("id",), "text", "Id of the event, opaque and case-sensitive."),
    Column("type", ("type",), "text", "Event type, such as role.assignment.created."),
    Column("area", (), "text", "What was acted on: the type without its last word."),
    Column("verb", (), "text", "What happened: the last word of the type."),
    Column("effective_at", ("effective_at",), "instant", "When the event took effect, to the second, in UTC."),
    Column("scope", (), "text", "The pass over the endpoint that the event belongs to: organization or tenant."),
    Column("project_id", ("project/id",), "name", "Project the event happened in; null if it names none."),
    Column("project_name", ("project/name",), "name", "Title of that project."),
    # actor
    Column("actor_type", ("actor/type",), "name", "How the actor signed in: session or api_key."),
    Column("actor_kind", (), "text", "What the actor is: user or service_account; null if the event does not tell."),
    Column(
        "actor_id",
        (f"{_SESSION}/user/id", f"{_API_KEY}/user/id", f"{_API_KEY}/service_account/id"),
        "name",
        "Id of the user or service account that acted; null if neither is given.",
    ),
    Column(
        "actor_email",
        (f"{_SESSION}/user/email", f"{_API_KEY}/user/email"),
        "name",
        "E-mail address of the user who acted; null for a service account.",
    ),
    Column("actor_api_key_id", (f"{_API_KEY}/id",), "name", "Tracking id of the API key that was used."),
    Column("actor_api_key_type", (f"{_API_KEY}/type",), "name", "Owner of that key: user or service_account."),
    Column(
        "ip_address",
        (f"{_SESSION}/ip_address",),
        "address",
        "IP address of the actor's session: IPv6 in its shortest form, IPv4 inside IPv6 as IPv4.",
    ),
    Column("user_agent", (f"{_SESSION}/user_agent",), "name", "User agent that the session announced."),
    Column("ja3", (f"{_SESSION}/ja3",), "name", "JA3 fingerprint of the session's TLS client."),
    Column("ja4", (f"{_SESSION}/ja4",), "name", "JA4 fingerprint of the session's TLS client."),
    Column("ip_country", (f"{_PLACE}/country",), "name", "Country that the IP address is attributed to, as a code."),
    Column("ip_region", (f"{_PLACE}/region",), "name", "Region that the IP address is attributed to."),
    Column("ip_region_code", (f"{_PLACE}/region_code",), "name", "Code of that region."),
    Column("ip_city", (f"{_PLACE}/city",), "name", "City that the IP address is attributed to."),
    Column("ip_asn", (f"{_PLACE}/asn",), "name", "Number of the network that announces the IP address, as text."),
    Column("ip_latitude", (f"{_PLACE}/latitude",), "number", "Latitude given for the IP address.", "degrees"),
    Column("ip_longitude", (f"{_PLACE}/longitude",), "number", "Longitude given for the IP address.", "degrees"),
    # resource
    Column("resource_id", ("*/id",), "name", "Id of what the event was done to; null if the detail has none."),
    # detail, exploded
    _detail("data/scopes", "texts", "Scopes that a new API key was created with."),
    Column(
        "detail_changes_requested_scopes",
        # OpenAI's schema has the first form and its example the second; both occur.
        ("*/changes_requested/scopes", "api_key.updated/data/scopes"),
        "texts",
        "Scopes that an API key was to have from then on.",
    ),
    _detail("data/project_id", "text", "Project that may use the fine-tuned checkpoint from then on."),
    _detail("data/fine_tuned_model_checkpoint", "text", "Fine-tuned checkpoint that was shared."),
    _detail_of(_OPAQUE_DATA, "data", "json", "What was set up, for types that do not document its fields."),
    _detail("data/group_name", "text", "Name that a new group was given."),
    _detail("changes_requested/group_name", "text", "New name of a group."),
    _detail("data/email", "text", "E-mail address that an invite went to."),
    _detail("data/role", "text", "Role given to an invited or added user or to a new service account."),
    _detail("name", "text", "Name of the IP allowlist, certificate or identity provider."),
    _detail("allowed_ips", "texts", "Addresses and CIDR ranges of the IP allowlist."),
    _detail("configs/id", "texts", "Ids of the IP allowlists that were switched on or off."),
    _detail("configs/name", "texts", "Names of the IP allowlists that were switched on or off."),
    _detail("error_code", "text", "Why a login or logout failed, as a code."),
    _detail("error_message", "text", "Why a login or logout failed, in words."),
    _detail("changes_requested/title", "text", "New title of the organization or project."),
    _detail("changes_requested/description", "text", "New description of the organization or role."),
    _detail("changes_requested/name", "text", "New name of the organization."),
    _detail("changes_requested/threads_ui_visibility", "text", "Who may see the threads page from then on."),
    _detail("changes_requested/usage_dashboard_visibility", "text", "Who may see usage and costs from then on."),
    _detail("changes_requested/api_call_logging", "text", "Which API calls are logged from then on."),
    _detail("changes_requested/api_call_logging_project_ids", "text", "Projects that a selective API call log covers."),
    _detail("data/name", "text", "Name that a new project was given."),
    _detail("data/title", "text", "Title that a new project shows on the dashboard."),
    _detail("changes_requested/max_requests_per_1_minute", "integer", "New limit on requests.", "requests/min"),
    _detail("changes_requested/max_tokens_per_1_minute", "integer", "New limit on tokens.", "tokens/min"),
    _detail("changes_requested/max_images_per_1_minute", "integer", "New limit on images.", "images/min"),
    _detail("changes_requested/max_audio_megabytes_per_1_minute", "integer", "New limit on audio.", "MB/min"),
    _detail("changes_requested/max_requests_per_1_day", "integer", "New daily limit on requests.", "requests/day"),
    _detail("changes_requested/batch_1_day_max_input_tokens", "integer", "New limit on batch input.", "tokens/day"),
    _detail("role_name", "text", "Name that a new role was given."),
    _detail("permissions", "texts", "Permissions of a new role, or of a role on the resource after the change."),
    _detail("resource_type", "text", "Kind of resource that the role or its assignment is about."),
    _detail("resource_id", "text", "Resource that the role or its assignment is about."),
    _detail("changes_requested/role_name", "text", "New name of a role."),
    _detail("changes_requested/resource_id", "text", "Resource that a changed role is about."),
    _detail("changes_requested/resource_type", "text", "Kind of resource that a changed role is about."),
    _detail("changes_requested/permissions_added", "texts", "Permissions that a role gained."),
    _detail("changes_requested/permissions_removed", "texts", "Permissions that a role lost."),
    _detail("changes_requested/metadata", "json", "Free-form metadata kept with a role."),
    _detail("principal_id", "text", "User or group that received or lost the role."),
    _detail("principal_type", "text", "Whether that principal is a user or a group."),
    _detail("role_id", "text", "Role that was bound to or unbound from the resource."),
    _detail("workspace_id", "text", "ChatGPT workspace of the connector."),
    _detail("connector_id", "text", "Connector that the role was bound to or unbound from."),
    _detail("connector_name", "text", "Display name of that connector, or its id when no name was found."),
    _detail("enabled", "flag", "Whether the role may use the connector."),
    _detail("source", "text", "Which way of editing connector roles caused the event."),
    _detail("changes_requested/role", "text", "New role of a user or service account."),
    _detail_of(_OPAQUE_CHANGES, "changes_requested", "json", "What was to change, for types that do not document it."),
    _detail("identity_provider_id", "text", "Workload identity provider that the mapping belongs to."),
    _detail("project_id", "text", "Project of a workload identity mapping that was deleted."),
    _detail("service_account_id", "text", "Service account that a deleted workload identity mapping led to."),
    _detail("certificate", "text", "Deleted certificate in PEM form."),
    _detail("certificates/id", "texts", "Ids of the certificates that were switched on or off."),
    _detail("certificates/name", "texts", "Names of the certificates that were switched on or off."),
    # the event itself, and how it came here
    Column("detail", (), "json", "Everything under the key named like the type; null if there is no such key."),
    Column("raw", (), "json", "The whole event, byte for byte as it arrived."),
    Column("first_seen_at", (), "instant", "When the event was first collected, in UTC."),
    Column("snapshot", (), "integer", "Number of the ledger entry that brought the event; null outside a lake."),
)

COLUMN_NAMES: tuple[str, ...] = tuple(column.name for column in COLUMNS)


@cache
def arrow_schema() -> pa.Schema:
    """Return the Arrow schema of a table of events.

    Returns:
        One nullable field a column, in the order of `COLUMNS`, each with its doc and unit as
        metadata; the schema's own metadata carries `COLUMNS_VERSION`.
    """
    return pa.schema([_field(column) for column in COLUMNS], metadata={"auditframe.columns": str(COLUMNS_VERSION)})


def _field(column: Column) -> pa.Field[pa.DataType]:
    unit = {"unit": column.unit} if column.unit else {}
    return pa.field(column.name, column.type, metadata={"doc": column.doc, **unit})
