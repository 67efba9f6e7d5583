from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditframe.catalogue import EFFECTS, SCOPES, SEVERITIES, EventType, catalogue, lookup

ROWS = list(catalogue().values())


def test_the_catalogue_names_every_documented_type_once() -> None:
    assert sum(row.documented for row in ROWS) == 145


def test_types_are_unique() -> None:
    assert len(catalogue()) == 150
    assert all(name == row.type for name, row in catalogue().items())


def test_documented_types_stand_before_the_others() -> None:
    flags = [row.documented for row in ROWS]

    assert flags == sorted(flags, reverse=True)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.type)
def test_a_row_uses_only_the_declared_words(row: EventType) -> None:
    assert row.effect in EFFECTS
    assert row.severity in SEVERITIES
    assert row.scope in SCOPES


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.type)
def test_a_doc_is_one_short_sentence(row: EventType) -> None:
    assert row.doc.endswith(".")
    assert ". " not in row.doc
    assert 10 < len(row.doc) <= 100


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.type)
def test_area_and_verb_make_up_the_type(row: EventType) -> None:
    assert f"{row.area}.{row.verb}" == row.type
    assert "." not in row.verb


def test_area_may_hold_dots() -> None:
    assignment = lookup("role.assignment.created")

    assert assignment.area == "role.assignment"
    assert assignment.verb == "created"


def test_tenant_scope_is_the_prefix_and_the_two_bindings() -> None:
    without_prefix = {row.type for row in ROWS if row.scope == "tenant" and not row.type.startswith("tenant.")}

    assert without_prefix == {"role.bound_to_resource", "role.unbound_from_resource"}
    assert all(row.scope == "tenant" for row in ROWS if row.type.startswith("tenant."))


def test_every_effect_and_every_severity_is_used() -> None:
    assert {row.effect for row in ROWS} == set(EFFECTS)
    assert {row.severity for row in ROWS} == set(SEVERITIES)


def test_a_control_that_is_switched_off_deserves_attention() -> None:
    assert {row.severity for row in ROWS if row.effect == "control_off"} <= {"high", "critical"}


@pytest.mark.parametrize(
    ("type_", "effect"),
    [
        ("login.succeeded", "login"),
        ("login.failed", "login_failed"),
        ("logout.succeeded", "logout"),
        ("logout.failed", "other"),
        ("role.assignment.created", "grant"),
        ("role.assignment.deleted", "revoke"),
        ("scim.disabled", "control_off"),
        ("ip_allowlist.config.activated", "control_on"),
        ("api_key.updated", "change"),
    ],
)
def test_an_effect_says_what_the_event_did(type_: str, effect: str) -> None:
    assert lookup(type_).effect == effect


def test_a_known_type_outside_the_specification_is_not_documented() -> None:
    assert not lookup("workflow.version.created").documented


@given(st.text())
def test_lookup_never_raises(type_: str) -> None:
    found = lookup(type_)

    assert found.type == type_
    assert found.effect in EFFECTS


def test_an_unlisted_type_is_other_and_undocumented() -> None:
    found = lookup("moon.landed")

    assert (found.scope, found.effect, found.documented) == ("organization", "other", False)
    assert lookup("tenant.moon.landed").scope == "tenant"


@given(st.text(alphabet=st.characters(exclude_characters=".")))
def test_a_type_without_a_dot_is_all_verb(type_: str) -> None:
    found = lookup(type_)

    assert (found.area, found.verb) == ("", type_)
