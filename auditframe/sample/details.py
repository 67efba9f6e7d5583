"""The payload of each event type: a table of templates whose leaves are drawn when an event is written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from auditframe.sample.dice import Dice

API_SCOPES = ("api.model.request", "api.model.read", "api.files.read", "api.files.write", "api.evals.read")
PERMISSIONS = ("api.groups.read", "api.groups.write", "api.projects.read", "api.projects.write", "api.usage.read")
RANGES = ("192.0.2.0/25", "192.0.2.128/26", "198.51.100.0/28", "2001:db8:10::/48")
ROLES = ("member", "member", "member", "owner")
WORDS = ("amber", "birch", "cobalt", "delta", "ember", "fjord", "garnet", "harbour", "indigo", "juniper", "Überblick")

LOGIN_ERRORS: Mapping[str, str] = {
    "invalid_credentials": "The e-mail address or the password is wrong.",
    "mfa_failed": "The second factor was not accepted.",
    "sso_required": "This account signs in through single sign-on.",
    "session_expired": "The sign-in took too long.",
}


@dataclass(frozen=True, slots=True)
class Stage:
    """What payloads are drawn from: the dice, and the ids of the things that exist just now."""

    dice: Dice
    pools: dict[str, list[str]] = field(default_factory=dict)


Draw = Callable[[Stage], Any]
Template = Draw | Mapping[str, Any]


def payload(template: Template, stage: Stage, known: Mapping[str, Any]) -> dict[str, Any]:
    """Write one payload.

    Args:
        template: A row of a table of templates.
        stage: Where unknown values come from.
        known: Top-level fields that the story fixes; they replace or follow the template's.

    Returns:
        A plain dict, ready for JSON.
    """
    drawn: Mapping[str, Any] = template(stage) if callable(template) else template
    filled = {name: known[name] if name in known else _fill(value, stage) for name, value in drawn.items()}
    return {**filled, **known}


def _fill(value: Any, stage: Stage) -> Any:
    if callable(value):
        return value(stage)
    if isinstance(value, dict):
        return {name: _fill(inner, stage) for name, inner in value.items()}
    return value


def new(prefix: str) -> Draw:
    """Make an id, which exists from now on."""

    def draw(stage: Stage) -> str:
        made = prefix + stage.dice.token(12)
        stage.pools.setdefault(prefix, []).append(made)
        return made

    return draw


def old(prefix: str) -> Draw:
    """Pick the id of something that exists; when nothing does, of something older than the sample."""

    def draw(stage: Stage) -> Any:
        pool = stage.pools.get(prefix)
        return stage.dice.pick(pool) if pool else new(prefix)(stage)

    return draw


def gone(prefix: str) -> Draw:
    """Pick the id of something that exists, and end its existence."""

    def draw(stage: Stage) -> Any:
        ended = old(prefix)(stage)
        stage.pools[prefix].remove(ended)
        return ended

    return draw


def one_of(*values: Any) -> Draw:
    """Draw one of the values."""
    return lambda stage: stage.dice.pick(values)


def some_of(*values: str) -> Draw:
    """Draw a list of one value or more."""
    return lambda stage: stage.dice.some(values)


def part_of(**template: Any) -> Draw:
    """Draw one to three fields of a template."""
    return lambda stage: {name: _fill(template[name], stage) for name in stage.dice.some(tuple(template), most=3)}


def number(low: int, high: int, step: int) -> Draw:
    """Draw a round number from ``[low, high)``."""
    return lambda stage: stage.dice.between(low // step, high // step) * step


def name(kind: str) -> Draw:
    """Draw a title such as ``amber team``."""
    return lambda stage: f"{stage.dice.pick(WORDS)} {kind}"


def named(prefix: str, kind: str) -> Draw:
    """Draw a list of one to two ``{id, name}``."""
    entry = {"id": old(prefix), "name": name(kind)}
    return lambda stage: [_fill(entry, stage) for _ in range(stage.dice.between(1, 3))]


def failure(stage: Stage) -> dict[str, str]:
    """Draw why signing in or out did not work."""
    code = stage.dice.pick(tuple(LOGIN_ERRORS))
    return {"error_code": code, "error_message": LOGIN_ERRORS[code]}


def connector(stage: Stage) -> dict[str, Any]:
    """Draw a workspace connector and what a role may do with it; its id joins workspace and connector."""
    workspace, service = old("ws-")(stage), stage.dice.pick(("drive", "calendar", "tickets", "wiki"))
    joined = f"{workspace}__connector_{service}"
    return {
        "id": joined,
        "role_id": old("role-"),
        "resource_id": joined,
        "resource_type": "chatgpt_workspace_connector",
        "permissions": some_of("connector.read", "connector.search", "connector.write"),
        "workspace_id": workspace,
        "connector_id": f"connector_{service}",
        "connector_name": service.capitalize(),
        "enabled": one_of(True, False),
        "source": one_of("role_toggle", "role_connector_update", "workspace_permissions"),
    }


_ASSIGNMENT = {
    "principal_id": old("user-"),
    "principal_type": "user",
    "resource_id": old("proj_"),
    "resource_type": "api.project",
}
_ALLOWLIST = {"name": name("network"), "allowed_ips": some_of(*RANGES)}
_LIMITS = part_of(
    max_requests_per_1_minute=number(100, 10_000, 100),
    max_tokens_per_1_minute=number(10_000, 2_000_000, 10_000),
    max_images_per_1_minute=number(5, 100, 5),
    max_audio_megabytes_per_1_minute=number(10, 200, 10),
    max_requests_per_1_day=number(1_000, 500_000, 1_000),
    batch_1_day_max_input_tokens=number(100_000, 9_000_000, 100_000),
)
_SETTINGS = part_of(
    title=one_of("Example Works", "Example Works GmbH"),
    description=name("programme"),
    name=one_of("example-works", "example-works-eu"),
    threads_ui_visibility=one_of("ANY_ROLE", "OWNERS", "NONE"),
    usage_dashboard_visibility=one_of("ANY_ROLE", "OWNERS"),
    api_call_logging=one_of("disabled", "enabled_per_call", "enabled_for_all_projects"),
    api_call_logging_project_ids=old("proj_"),
)
_ROLE_CHANGE = part_of(
    role_name=name("role"),
    resource_id=old("proj_"),
    resource_type="api.project",
    permissions_added=some_of(*PERMISSIONS[:3]),
    permissions_removed=some_of(*PERMISSIONS[3:]),
    description=name("duties"),
    metadata={"ticket": number(1000, 9000, 1)},
)
_PEM = "-----BEGIN CERTIFICATE-----\nTUFERSBVUCBGT1IgQSBTQU1QTEU=\n-----END CERTIFICATE-----\n"
_ISSUER = {"name": name("runner"), "issuer": "https://issuer.example.com", "audience": "example-works"}
_RULE = {"subject": "repo:example/app", "service_account_id": old("svc_acct-")}
_CHECKPOINT = {
    "project_id": old("proj_"),
    "fine_tuned_model_checkpoint": one_of("ft:gpt-example:works::a1b2c3", "ft:gpt-example:works:support:d4e5f6"),
}

ORGANIZATION: Mapping[str, Template] = {
    "api_key.created": {"id": new("key_"), "data": {"scopes": some_of(*API_SCOPES)}},
    "api_key.updated": {"id": old("key_")},
    "api_key.deleted": {"id": gone("key_")},
    "certificate.created": {"id": new("cert_"), "name": name("certificate")},
    "certificate.updated": {"id": old("cert_"), "name": name("certificate")},
    "certificate.deleted": {"id": gone("cert_"), "name": name("certificate"), "certificate": _PEM},
    "certificates.activated": {"certificates": named("cert_", "certificate")},
    "certificates.deactivated": {"certificates": named("cert_", "certificate")},
    "checkpoint.permission.created": {"id": new("cp_"), "data": _CHECKPOINT},
    "checkpoint.permission.deleted": {"id": gone("cp_")},
    "external_key.registered": {"id": new("ekm_"), "data": {"provider": "aws_kms", "region": "eu-central-1"}},
    "external_key.removed": {"id": gone("ekm_")},
    "external_storage.registered": {"id": new("store_"), "data": {"provider": "s3", "bucket": "example-works"}},
    "external_storage.removed": {"id": gone("store_")},
    "group.created": {"id": new("group-"), "data": {"group_name": name("team")}},
    "group.updated": {"id": old("group-"), "changes_requested": {"group_name": name("team")}},
    "group.deleted": {"id": gone("group-")},
    "invite.sent": {"id": new("invite-"), "data": {"email": "guest@example.org", "role": one_of(*ROLES)}},
    "invite.accepted": {"id": gone("invite-")},
    "invite.deleted": {"id": gone("invite-")},
    "ip_allowlist.created": {"id": new("ipal_"), **_ALLOWLIST},
    "ip_allowlist.updated": {"id": old("ipal_"), "allowed_ips": some_of(*RANGES)},
    "ip_allowlist.deleted": {"id": gone("ipal_"), **_ALLOWLIST},
    "ip_allowlist.config.activated": {"configs": named("ipal_", "network")},
    "ip_allowlist.config.deactivated": {"configs": named("ipal_", "network")},
    "login.failed": failure,
    "logout.failed": failure,
    "organization.updated": {"id": "org-exampleworks", "changes_requested": _SETTINGS},
    "project.created": {"id": new("proj_"), "data": {"name": name("project"), "title": name("project")}},
    "project.updated": {"id": old("proj_"), "changes_requested": {"title": name("project")}},
    "project.archived": {"id": old("proj_")},
    "project.deleted": {"id": old("proj_")},
    "rate_limit.updated": {"id": one_of("rl-gpt-example", "rl-image-example"), "changes_requested": _LIMITS},
    "rate_limit.deleted": {"id": one_of("rl-gpt-example", "rl-image-example")},
    "resource.deleted": {"id": gone("file-"), "resource_type": one_of("file", "assistant", "vector_store")},
    "tunnel.created": {"id": new("tunnel_"), "name": name("tunnel")},
    "tunnel.updated": {"id": old("tunnel_"), "name": name("tunnel")},
    "tunnel.deleted": {"id": gone("tunnel_")},
    "workload_identity_provider.created": {"id": new("wip_"), "data": _ISSUER},
    "workload_identity_provider.updated": {"id": old("wip_"), "changes_requested": {"name": name("runner")}},
    "workload_identity_provider.deleted": {"id": gone("wip_"), "name": name("runner")},
    "workload_identity_provider_mapping.created": {
        "id": new("wipm_"),
        "identity_provider_id": old("wip_"),
        "data": _RULE,
    },
    "workload_identity_provider_mapping.updated": {
        "id": old("wipm_"),
        "identity_provider_id": old("wip_"),
        "changes_requested": _RULE,
    },
    "workload_identity_provider_mapping.deleted": {
        "id": gone("wipm_"),
        "identity_provider_id": old("wip_"),
        "project_id": old("proj_"),
        "service_account_id": old("svc_acct-"),
    },
    "role.created": {
        "id": new("role-"),
        "role_name": name("role"),
        "permissions": some_of(*PERMISSIONS),
        "resource_type": "api.project",
        "resource_id": old("proj_"),
    },
    "role.updated": {"id": old("role-"), "changes_requested": _ROLE_CHANGE},
    "role.deleted": {"id": gone("role-")},
    "role.assignment.created": {"id": new("assignment-"), **_ASSIGNMENT},
    "role.assignment.deleted": {"id": gone("assignment-"), **_ASSIGNMENT},
    "role.bound_to_resource": lambda stage: _fill(connector(stage), stage),
    "role.unbound_from_resource": lambda stage: _fill(connector(stage), stage),
    "scim.enabled": {"id": "org-exampleworks"},
    "scim.disabled": {"id": "org-exampleworks"},
    "service_account.created": {"id": new("svc_acct-"), "data": {"role": one_of(*ROLES)}},
    "service_account.updated": {"id": old("svc_acct-"), "changes_requested": {"role": one_of(*ROLES)}},
    "service_account.deleted": {"id": old("svc_acct-")},
    "user.added": {"id": old("user-"), "data": {"role": one_of(*ROLES)}},
    "user.updated": {"id": old("user-"), "changes_requested": {"role": one_of(*ROLES)}},
    "user.deleted": {"id": old("user-")},
    "workflow.version.created": {"id": new("wf_"), "version": number(1, 40, 1)},
}
