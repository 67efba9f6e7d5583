"""Payloads of tenant events. The specification documents none, so these are modest inventions with an id."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from auditframe.sample.details import gone, name, new, number, old, one_of, some_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from auditframe.sample.details import Template

_TENANT_ID = "tenant-exampleworks"
_USER = old("user-")
_EMAIL = one_of("guest@example.org", "partner@example.org", "contractor@example.org")
_STATUS = one_of("approved", "denied")


def _made(prefix: str, **fields: Any) -> dict[str, Any]:
    return {"id": new(prefix), **fields}


def _kept(prefix: str, **fields: Any) -> dict[str, Any]:
    return {"id": old(prefix), **fields}


def _lost(prefix: str, **fields: Any) -> dict[str, Any]:
    return {"id": gone(prefix), **fields}


def _whole(**fields: Any) -> dict[str, Any]:
    return {"id": _TENANT_ID, **fields}


TENANT: Mapping[str, Template] = {
    "tenant.metadata.updated": _whole(display_name=name("tenant")),
    "tenant.microsoft_entra_mapping.upserted": _made("entra_", domain="example.com"),
    "tenant.microsoft_entra_mapping.deleted": _lost("entra_", domain="example.com"),
    "tenant.workload_identity.provider.created": _made("twip_", issuer="https://issuer.example.com"),
    "tenant.workload_identity.provider.updated": _kept("twip_", issuer="https://issuer.example.com"),
    "tenant.workload_identity.provider.archived": _lost("twip_"),
    "tenant.workload_identity.mapping.created": _made("twim_", provider_id=old("twip_")),
    "tenant.workload_identity.mapping.updated": _kept("twim_", provider_id=old("twip_")),
    "tenant.workload_identity.mapping.archived": _lost("twim_", provider_id=old("twip_")),
    "tenant.workload_identity.binding.created": _made("twib_", mapping_id=old("twim_")),
    "tenant.workload_identity.principal.provisioned": _made("twp_", name=name("runner")),
    "tenant.workload_identity.access_token.issued": _kept("twp_", expires_in_s=number(600, 7200, 600)),
    "tenant.admin_api_key.created": _made("key_admin_", name=name("admin key")),
    "tenant.admin_api_key.updated": _kept("key_admin_", name=name("admin key")),
    "tenant.admin_api_key.deleted": _lost("key_admin_"),
    "tenant.project_api_key.created": _made("key_tenant_", project_id=old("proj_")),
    "tenant.chatgpt_access_token.revoked": _lost("cgt_", user_id=_USER),
    "tenant.migration.completed": _whole(source="organization"),
    "tenant.sso.migrated": _kept("sso_", protocol="saml"),
    "tenant.domains.migrated": _whole(domains=some_of("example.com", "example.org")),
    "tenant.sso_connection.created": _made("sso_", protocol=one_of("saml", "oidc"), domain="example.com"),
    "tenant.sso_connection.updated": _kept("sso_", protocol=one_of("saml", "oidc"), domain="example.com"),
    "tenant.sso_connection.deleted": _lost("sso_", domain="example.com"),
    "tenant.sso_connection.setup.started": _made("ssosetup_", domain="example.com"),
    "tenant.policy.created": _made("policy_", name=name("policy")),
    "tenant.policy.updated": _kept("policy_", name=name("policy")),
    "tenant.policy.deleted": _lost("policy_"),
    "tenant.policy.attached": _kept("policy_", target_id=old("ws-"), target_type="workspace"),
    "tenant.policy.detached": _kept("policy_", target_id=old("ws-"), target_type="workspace"),
    "tenant.principal_authentication_policy.resolved": _kept("policy_", user_id=_USER, method="sso"),
    "tenant.scim.setup.started": _made("scimsetup_"),
    "tenant.scim.deletion.requested": _kept("dir_"),
    "tenant.scim.directory.created": _made("dir_", name=name("directory")),
    "tenant.product_access_policy.updated": _whole(products=some_of("api", "chatgpt")),
    "tenant.resource_share_grant.created": _made("share_", resource_id=old("proj_"), recipient="partner@example.org"),
    "tenant.resource_share_grant.updated": _kept("share_", permissions=some_of("read", "write")),
    "tenant.resource_share_grant.accepted": _kept("share_"),
    "tenant.resource_share_grant.declined": _kept("share_"),
    "tenant.resource_share_grant.revoked": _kept("share_"),
    "tenant.resource_share_grant.deleted": _lost("share_"),
    "tenant.service_account.updated": _kept("tsvc_", name=name("robot")),
    "tenant.service_account.deleted": _lost("tsvc_"),
    "tenant.service_account.token.revoked": _kept("tsvc_", token_id=new("tok_")),
    "tenant.billing.overage_limit.updated": _whole(limit_usd=number(500, 20_000, 500)),
    "tenant.billing.alerts.updated": _whole(thresholds_percent=[50, 80, 100]),
    "tenant.billing.info.updated": _whole(fields=some_of("address", "tax_id", "contact")),
    "tenant.usage_limit.workspace.updated": _kept("ws-", limit=number(100, 10_000, 100)),
    "tenant.usage_limit.group.updated": _kept("tgroup_", limit=number(100, 5_000, 100)),
    "tenant.usage_limit.user.updated": {"id": _USER, "limit": number(10, 1_000, 10)},
    "tenant.usage_limit.increase_request.updated": _made("ulr_", limit=number(100, 2_000, 100)),
    "tenant.usage_limit.increase_request.resolved": _lost("ulr_", status=_STATUS),
    "tenant.group.created": _made("tgroup_", name=name("group")),
    "tenant.group.updated": _kept("tgroup_", name=name("group")),
    "tenant.group.deleted": _lost("tgroup_"),
    "tenant.group.member.added": _kept("tgroup_", user_id=_USER),
    "tenant.group.member.removed": _kept("tgroup_", user_id=_USER),
    "tenant.migration_rollout.status.updated": _whole(status=one_of("scheduled", "running", "done")),
    "tenant.migration_rollout.tier.updated": _whole(tier=number(1, 4, 1)),
    "tenant.role.metadata.updated": _kept("trole_", name=name("role")),
    "tenant.custom_role.created": _made("trole_", name=name("role"), permissions=some_of("read", "write", "share")),
    "tenant.custom_role.updated": _kept("trole_", permissions=some_of("read", "write", "share")),
    "tenant.custom_role.deleted": _lost("trole_"),
    "tenant.role_assignment.created": _made("tra_", role_id=old("trole_"), principal_id=_USER),
    "tenant.role_assignment.deleted": _lost("tra_", role_id=old("trole_"), principal_id=_USER),
    "tenant.resource_role_assignment.created": _made("trra_", principal_id=_USER, resource_id=old("proj_")),
    "tenant.resource_role_assignment.deleted": _lost("trra_", principal_id=_USER, resource_id=old("proj_")),
    "tenant.resource_access.updated": {"id": old("proj_"), "principal_id": _USER, "access": one_of("read", "write")},
    "tenant.resource_access.deleted": {"id": old("proj_"), "principal_id": _USER},
    "tenant.ads_account.onboarding.redemption": _made("ads_"),
    "tenant.session_policy.created": _made("spol_", max_age_s=number(3600, 86_400, 3600)),
    "tenant.session_policy.updated": _kept("spol_", max_age_s=number(3600, 86_400, 3600)),
    "tenant.session_policy.deleted": _lost("spol_"),
    "tenant.session_revocation.started": _made("srev_", user_id=_USER),
    "tenant.third_party_app_policy.updated": _whole(allowed=one_of("all", "listed", "none")),
    "tenant.user.added": {"id": _USER, "role": one_of("member", "admin")},
    "tenant.user.updated": {"id": _USER, "role": one_of("member", "admin")},
    "tenant.user.removed": _lost("guest-"),
    "tenant.user.looked_up": {"id": _USER},
    "tenant.user.invited": _made("tinv_", email=_EMAIL),
    "tenant.membership.revoked": _lost("member_", user_id=_USER),
    "tenant.api_organization_invite.upserted": _made("oinv_", email=_EMAIL),
    "tenant.api_organization_invite.deleted": _lost("oinv_"),
    "tenant.chatgpt_workspace_invite.upserted": _made("winv_", email=_EMAIL, workspace_id=old("ws-")),
    "tenant.membership.accepted": _made("member_", user_id=_USER),
    "tenant.membership.declined": _lost("tinv_", email=_EMAIL),
    "tenant.workspace_invite_email_settings.updated": _kept("ws-", sender=one_of("workspace", "administrator")),
    "tenant.trusted_access.application.submitted": _made("ta_"),
    "tenant.trusted_access.business_verification.started": _made("bv_"),
}
