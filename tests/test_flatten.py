"""Flatten: every quirk of live events, and the law that nothing is lost."""

from __future__ import annotations

import gc
import json
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditframe.flatten import (
    BODIES_PER_BATCH,
    _place,
    flatten,
    flatten_events,
    flatten_texts,
    in_columns,
    join_flattened,
    place,
)
from auditframe.lake.merge import texts
from auditframe.schema import COLUMN_NAMES, arrow_schema

if TYPE_CHECKING:
    from collections.abc import Iterator

AT = 1_720_804_090
SESSION = {
    "type": "session",
    "session": {
        "user": {"id": "user-1", "email": "ana@example.com"},
        "ip_address": "192.0.2.7",
        "user_agent": "Mozilla/5.0",
        "ja3": "a497151ce4338a12c4418c44d375173e",
        "ja4": "q13d0313h3_55b375c5d22e_c7319ce65786",
        "ip_address_details": {
            "country": "US",
            "city": "San Francisco",
            "region": "California",
            "region_code": "CA",
            "asn": "64500",
            "latitude": "37.77490",
            "longitude": "-122.41940",
        },
    },
}


def event(type_: str = "login.succeeded", **more: Any) -> dict[str, Any]:
    return {"id": "audit_log-1", "type": type_, "effective_at": AT} | more


def row(type_: str = "login.succeeded", **more: Any) -> dict[str, Any]:
    (found,) = flatten_events([event(type_, **more)]).events.to_pylist()
    return dict(found)


def present(found: dict[str, Any], *but: str) -> dict[str, Any]:
    derived = {"id", "type", "area", "verb", "effective_at", "raw", "detail", *but}
    return {name: value for name, value in found.items() if value is not None and name not in derived}


def test_the_columns_are_the_declared_ones() -> None:
    assert flatten([]).events.schema.equals(arrow_schema(), check_metadata=True)
    assert flatten_events([event()]).events.column_names == list(COLUMN_NAMES)


def test_the_envelope_is_exploded() -> None:
    found = row("role.assignment.created", project={"id": "proj_1", "name": "Search"})

    assert (found["area"], found["verb"]) == ("role.assignment", "created")
    assert found["effective_at"] == datetime(2024, 7, 12, 17, 8, 10, tzinfo=UTC)
    assert present(found) == {"project_id": "proj_1", "project_name": "Search"}


def test_quirk_1_a_session_carries_fingerprints_and_place_and_numbers_arrive_as_strings() -> None:
    assert present(row(actor=SESSION)) == {
        "actor_type": "session",
        "actor_kind": "user",
        "actor_id": "user-1",
        "actor_email": "ana@example.com",
        "ip_address": "192.0.2.7",
        "user_agent": "Mozilla/5.0",
        "ja3": "a497151ce4338a12c4418c44d375173e",
        "ja4": "q13d0313h3_55b375c5d22e_c7319ce65786",
        "ip_country": "US",
        "ip_region": "California",
        "ip_region_code": "CA",
        "ip_city": "San Francisco",
        "ip_asn": "64500",
        "ip_latitude": 37.7749,
        "ip_longitude": -122.4194,
    }


def test_quirk_2_the_detail_stands_under_the_type_with_its_dots() -> None:
    found = row("login.failed", **{"login.failed": {"error_code": "bad_password", "error_message": "No."}})

    assert present(found) == {"detail_error_code": "bad_password", "detail_error_message": "No."}
    assert found["detail"] == '{"error_code":"bad_password","error_message":"No."}'


@pytest.mark.parametrize(
    ("more", "detail"), [({}, None), ({"login.succeeded": {}}, "{}"), ({"login.succeeded": None}, None)]
)
def test_quirk_2_a_login_may_have_no_detail_or_an_empty_one(more: dict[str, Any], detail: str | None) -> None:
    assert row(**more)["detail"] == detail


@pytest.mark.parametrize("form", ["changes_requested", "data"])
def test_quirk_3_updated_scopes_are_found_in_both_forms(form: str) -> None:
    found = row("api_key.updated", **{"api_key.updated": {"id": "key_1", form: {"scopes": ["api.read", "api.write"]}}})

    assert found["resource_id"] == "key_1"
    assert found["detail_changes_requested_scopes"] == ["api.read", "api.write"]


def test_quirk_3_the_documented_form_comes_first_and_a_new_key_has_no_change() -> None:
    both = {"data": {"scopes": ["second"]}, "changes_requested": {"scopes": ["first"]}}

    assert row("api_key.updated", **{"api_key.updated": both})["detail_changes_requested_scopes"] == ["first"]
    created = row("api_key.created", **{"api_key.created": {"data": {"scopes": ["api.read"]}}})
    assert (created["detail_data_scopes"], created["detail_changes_requested_scopes"]) == (["api.read"], None)


def test_quirk_4_an_envelope_without_ids_or_with_foreign_ones_changes_nothing() -> None:
    bodies = [
        json.dumps({"data": [event()], "first_id": first, "last_id": last, "has_more": False}).encode()
        for first, last in [(None, None), ("audit_log_zzz", "audit_log_zzz")]
    ]

    assert flatten(bodies).events["id"].to_pylist() == ["audit_log-1", "audit_log-1"]


def test_quirk_5_ids_are_opaque_and_case_matters() -> None:
    ids = [
        "audit_log-AbCdEfGhIjKlMnOpQrStUvWx",
        "audit_log-abcdefghijklmnopqrstuvwx",
        "audit_log-xxx_20240101",
        "req_x_20240101",
    ]

    assert flatten_events(event(id=id_) for id_ in ids).events["id"].to_pylist() == ids


def test_quirk_6_an_object_key_on_an_event_is_kept() -> None:
    found = row(object="organization.audit_log")

    assert present(found) == {}
    assert '"object":"organization.audit_log"' in found["raw"]


@pytest.mark.parametrize("project", [None, {}, {"id": None}])
def test_quirk_7_a_project_may_be_absent_null_or_empty(project: dict[str, Any] | None) -> None:
    assert present(row(project=project)) == {}


@pytest.mark.parametrize(
    ("actor", "columns"),
    [
        (None, {}),
        ({"type": "session", "session": {}}, {"actor_type": "session"}),
        (SESSION | {"api_key": None}, None),
        (
            {"type": "api_key", "api_key": {"type": "user"}},
            {"actor_type": "api_key", "actor_kind": "user", "actor_api_key_type": "user"},
        ),
        (
            {"type": "api_key", "session": None, "api_key": {"id": "key_1", "service_account": {"id": "svc-1"}}},
            {
                "actor_type": "api_key",
                "actor_kind": "service_account",
                "actor_id": "svc-1",
                "actor_api_key_id": "key_1",
            },
        ),
    ],
    ids=["null", "empty session", "explicit null", "key without id", "service account"],
)
def test_quirk_8_an_actor_may_lack_anything(actor: dict[str, Any] | None, columns: dict[str, Any] | None) -> None:
    assert present(row(actor=actor)) == (present(row(actor=SESSION)) if columns is None else columns)


def test_a_name_that_is_empty_names_nothing_and_the_next_path_counts() -> None:
    users = {"session": {"user": {"id": "", "email": ""}, "ip_address": ""}, "api_key": {"user": {"id": "user-1"}}}
    found = flatten_events([event("project.updated", actor=users, **{"project.updated": {"id": "", "name": ""}})])
    (only,) = found.events.to_pylist()

    assert (only["actor_id"], only["actor_email"], only["ip_address"], only["resource_id"]) == (
        "user-1",
        None,
        None,
        None,
    )
    assert (only["detail_name"], found.drift) == ("", {})
    assert json.loads(only["raw"])["actor"] == users


@pytest.mark.parametrize(
    ("written", "held"),
    [
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("::FFFF:c000:207", "192.0.2.7"),
        ("2001:DB8:0:0:0:0:0:1", "2001:db8::1"),
        ("192.0.2.7", "192.0.2.7"),
        ("an:odd:text", "an:odd:text"),
        ("192.0.2.007", "192.0.2.007"),
    ],
)
def test_an_address_is_held_in_one_form_and_what_is_none_as_it_came(written: str, held: str) -> None:
    actor = {"type": "session", "session": {"ip_address": written}}
    (only,) = flatten_events([event("login.succeeded", actor=actor)]).events.to_pylist()

    assert only["ip_address"] == held
    assert json.loads(only["raw"])["actor"] == actor


def test_quirk_10_events_of_one_second_that_differ_only_in_id_are_both_rows() -> None:
    assert len(flatten_events([event(id="a"), event(id="b")]).events) == 2


def test_quirk_11_documents_in_a_row_and_events_in_strings_are_read() -> None:
    first, second = json.dumps(event(id="a")), json.dumps(event(id="b"))
    body = '{"data":[' + first + '],"has_more":true}\n{"data":[' + json.dumps(second) + '],"has_more":false}'

    assert flatten([body.encode()]).events["raw"].to_pylist() == [first, second]


def test_quirk_12_a_type_nobody_listed_is_a_row_like_any_other() -> None:
    found = row("workflow.version.created", **{"workflow.version.created": {"id": "wf_1", "version": 3}})

    assert (found["area"], found["resource_id"]) == ("workflow.version", "wf_1")
    assert found["detail"] == '{"id":"wf_1","version":3}'


def test_lists_of_objects_become_lists_that_stay_aligned() -> None:
    certificates = [{"id": "cert_1", "name": "edge"}, {"id": "cert_2"}, {"name": "core", "id": "cert_3"}]
    found = row("certificates.activated", **{"certificates.activated": {"certificates": certificates}})

    assert found["detail_certificates_id"] == ["cert_1", "cert_2", "cert_3"]
    assert found["detail_certificates_name"] == ["edge", None, "core"]


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"max_requests_per_1_minute": "many"}, "*/changes_requested/max_requests_per_1_minute"),
        ({"max_requests_per_1_minute": True}, "*/changes_requested/max_requests_per_1_minute"),
        ({"max_requests_per_1_minute": 2**63}, "*/changes_requested/max_requests_per_1_minute"),
        ({"role": 7}, "*/changes_requested/role"),
        ({"scopes": "api.read"}, "*/changes_requested/scopes"),
        ({"scopes": ["api.read", 5]}, "*/changes_requested/scopes"),
        ("everything", "*/changes_requested"),
    ],
)
def test_a_value_of_another_type_is_null_counted_as_drift_and_kept(changes: Any, path: str) -> None:
    flattened = flatten_events([event("rate_limit.updated", **{"rate_limit.updated": {"changes_requested": changes}})])
    (found,) = flattened.events.to_pylist()

    assert present(found) == {}
    assert flattened.drift == {path: 1}
    assert json.loads(found["detail"]) == {"changes_requested": changes}


def test_drift_counts_events_though_equal_details_are_parsed_once() -> None:
    bad = event("user.added", **{"user.added": {"data": {"role": 1}}})

    assert flatten_events([bad, bad | {"id": "b"}]).drift == {"*/data/role": 2}


def test_a_lone_surrogate_leaves_its_column_null_and_raw_untouched() -> None:
    text = (
        b'{"id":"a","type":"login.failed","effective_at":1,"login.failed":{"error_code":"\\ud800","error_message":"x"}}'
    )
    (found,) = flatten_texts([text]).events.to_pylist()

    assert (found["detail_error_code"], found["detail_error_message"]) == (None, "x")
    assert found["raw"] == text.decode()


@pytest.mark.parametrize("value", [b"9" * 5000, b"[" * 5000 + b"]" * 5000], ids=["a huge number", "a deep nest"])
def test_what_cannot_be_decoded_leaves_columns_null_and_raw_untouched(value: bytes) -> None:
    text = b'{"id":"a","type":"user.added","effective_at":1,"user.added":{"data":{"role":' + value + b"}}}"
    flattened = flatten_texts([text])

    assert flattened.events.select(["detail_data_role", "raw"]).to_pylist() == [
        {"detail_data_role": None, "raw": text.decode()}
    ]
    assert sum(flattened.drift.values()) == 1


@pytest.mark.parametrize(
    ("text", "field", "id_"),
    [
        (b"[]", "", None),
        (b"7", "", None),
        (b'{"id":"a"', "", None),
        (b'{"id":"a","type":"t","effective_at":1,"x":"\xff"}', "", None),
        (b'{"type":"t","effective_at":1}', "id", None),
        (b'{"id":null,"type":"t","effective_at":1}', "id", None),
        (b'{"id":"\\ud800","type":"t","effective_at":1}', "id", None),
        (b'{"id":"a","effective_at":1}', "type", "a"),
        (b'{"id":"a","type":"","effective_at":1}', "type", "a"),
        (b'{"id":"a","type":"t"}', "effective_at", "a"),
        (b'{"id":"a","type":"t","effective_at":"1"}', "effective_at", "a"),
        (b'{"id":"a","type":"t","effective_at":true}', "effective_at", "a"),
        (b'{"id":"a","type":"t","effective_at":-1}', "effective_at", "a"),
        (b'{"id":"a","type":"t","effective_at":1720804090000}', "effective_at", "a"),
        (b'{"id":"a","type":"t","effective_at":1e400}', "effective_at", "a"),
        (b'{"id":"a","type":"t","effective_at":NaN}', "effective_at", "a"),
        (b'{"id":' + b"[" * 9999 + b"]" * 9999 + b',"type":"t","effective_at":1}', "id", None),
        (b'{"id":"a","type":"t","effective_at":' + b"[" * 9999 + b"]" * 9999 + b"}", "effective_at", "a"),
    ],
)
@pytest.mark.parametrize("type_", [b"t", b"login.failed"])
def test_an_event_without_a_place_is_quarantined_alone(type_: bytes, text: bytes, field: str, id_: str | None) -> None:
    text = text.replace(b'"t"', b'"%b"' % type_)
    neighbours = [json.dumps(event(id=name)).encode() for name in ("before", "after")]
    flattened = flatten_texts([neighbours[0], text, neighbours[1]])

    assert flattened.events["id"].to_pylist() == ["before", "after"]
    (item,) = flattened.quarantine
    assert (item.text, item.field, item.event_id) == (text, field, id_)
    assert item.reason.startswith("It")


@pytest.mark.parametrize("id_", ["A" * 100_000, "\x1b[2J" * 20_000])
def test_the_error_for_an_event_shows_no_more_of_its_id_than_a_line_holds(id_: str) -> None:
    (item,) = flatten_events([{"id": id_, "type": "t"}]).quarantine
    error = item.error()

    assert error.event_id == id_
    assert len(str(error)) < 400
    assert "\x1b" not in str(error)


def test_no_repr_shows_what_an_event_holds() -> None:
    texts = [b'{"id":"a","s":"t0p"}', b'{"id":"b","type":"t","effective_at":1,"t":"t0p"}']
    flattened = flatten_texts([*texts, json.dumps(event(s="t0p")).encode()])

    assert (len(flattened.events), len(flattened.quarantine)) == (2, 1)
    assert "It has no 'type'." in repr(flattened)
    assert "t0p" not in repr(flattened) + repr(place(texts)) + repr(place(texts).rows)


def test_what_came_at_several_times_is_in_columns_as_if_each_were_flattened_alone() -> None:
    kinds = [b"[]", *(json.dumps(event(id=f"e{number}", s=[number])).encode() for number in range(5))]
    times = [datetime(2026, 11, day, tzinfo=UTC) for day in (1, 2, 3)]
    arrivals = [(kinds[:3], "tenant", times[0]), ([], "tenant", times[1]), (kinds[2:] + kinds[:1], None, times[2])]
    together = in_columns([place(texts, scope=scope, seen_at=seen_at) for texts, scope, seen_at in arrivals])
    alone = join_flattened(flatten_texts(texts, scope=scope, seen_at=seen_at) for texts, scope, seen_at in arrivals)

    assert together == alone
    assert [item.seen_at for item in together.quarantine] == [times[0], times[2]]


def test_provenance_is_what_the_caller_says_and_else_null() -> None:
    seen_at = datetime(2026, 11, 23, tzinfo=UTC)
    told = flatten_events([event()], scope="tenant", seen_at=seen_at).events.to_pylist()[0]

    assert (told["scope"], told["first_seen_at"], told["snapshot"]) == ("tenant", seen_at, None)
    assert (row()["scope"], row()["first_seen_at"]) == (None, None)


def test_more_bodies_than_a_batch_come_back_in_order() -> None:
    bodies = [json.dumps(event(id=str(n))).encode() for n in range(BODIES_PER_BATCH + 2)]

    assert flatten(iter(bodies)).events["id"].to_pylist() == [str(n) for n in range(BODIES_PER_BATCH + 2)]


scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
payloads = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["id", "data", "scopes", "role", "changes_requested", "x"]), inner, max_size=4
        )
    ),
    max_leaves=12,
)


@given(
    st.lists(st.tuples(st.sampled_from(["api_key.updated", "user.added", "odd.type"]), payloads, payloads), max_size=5)
)
def test_nothing_is_lost_whatever_arrives(parts: list[tuple[str, Any, Any]]) -> None:
    sent = [event(type_, id=f"e{n}", actor=actor, **{type_: detail}) for n, (type_, actor, detail) in enumerate(parts)]
    flattened = flatten_events(sent)

    assert len(flattened.events) + len(flattened.quarantine) == len(sent)
    assert [json.loads(str(raw)) for raw in flattened.events["raw"].to_pylist()] == sent
    details = [json.loads(detail or "null") for detail in flattened.events["detail"].to_pylist()]
    assert details == [one[one["type"]] for one in sent]
    flattened.events.validate(full=True)


@given(st.lists(payloads, max_size=6))
def test_a_batch_is_the_sum_of_its_events(details: list[Any]) -> None:
    sent = [event("user.added", id=str(n), **{"user.added": detail}) for n, detail in enumerate(details)]

    alone = [found for one in sent for found in flatten_events([one]).events.to_pylist()]
    assert flatten_events(sent).events.to_pylist() == alone


@pytest.mark.parametrize("is_enabled", [True, False])
def test_the_collector_is_paused_for_a_batch_and_left_as_it_was(is_enabled: bool) -> None:
    seen: list[bool] = []

    def events(*, fails: bool) -> Iterator[bytes]:
        seen.append(gc.isenabled())
        yield b'{"id":"a","type":"t","effective_at":1}'
        if fails:
            raise LookupError

    (gc.enable if is_enabled else gc.disable)()
    try:
        flatten_texts(events(fails=False))
        after = gc.isenabled()
        with pytest.raises(LookupError):
            flatten_texts(events(fails=True))
        assert (seen, after, gc.isenabled()) == ([False, False], is_enabled, is_enabled)
    finally:
        gc.enable()


def test_more_bytes_than_one_array_can_hold_give_the_same_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    events = [event(id=f"e{number}", actor=SESSION if number % 2 else None) for number in range(9)]
    events += [
        event("role.created", id="r", **{"role.created": {"id": 7}}),
        event(id="x", effective_at=1.5),
        {"id": "q"},
    ]
    whole = flatten_events(events)
    longest = max(map(len, texts(whole.events, "raw")))
    monkeypatch.setattr(sys.modules[flatten_events.__module__], "MOST_BYTES", longest)
    parts = flatten_events(events)

    assert (parts.events, parts.quarantine, parts.drift) == (whole.events, whole.quarantine, whole.drift)
    assert parts.events["raw"].num_chunks > 2


def test_an_event_that_is_longer_than_a_text_in_a_column_is_quarantined(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_place, "MOST_BYTES", 100)
    found = flatten_events([event(id="a"), event(id="b" * 100)])

    assert found.events["id"].to_pylist() == ["a"]
    assert [(item.event_id, "2 GiB" in item.reason) for item in found.quarantine] == [(None, True)]
