from __future__ import annotations

import json
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx
import openai
import pytest

from auditframe.catalogue import lookup
from auditframe.emulator import Behaviour, Emulator, Fault, serve
from auditframe.sample import sample

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROUTE = "/organization/audit_logs"
KEY = "sk-admin-emulator"
T0 = 1_785_000_000


def event(number: int, type_: str = "project.archived", **fields: Any) -> dict[str, Any]:
    """Number 3 happens in second 3 and is called e003."""
    return {"id": f"e{number:03d}", "type": type_, "effective_at": T0 + number, **fields}


TEN = tuple(event(number) for number in range(10))


@contextmanager
def served(events: Any, **behaviour: Any) -> Iterator[tuple[httpx.Client, Emulator]]:
    app = Emulator(events, behaviour=Behaviour(**behaviour))
    with serve(app) as base_url, httpx.Client(base_url=base_url, headers={"Authorization": f"Bearer {KEY}"}) as client:
        yield client, app


def ask(client: httpx.Client, **parameters: Any) -> dict[str, Any]:
    response = client.get(ROUTE, params=parameters)
    response.raise_for_status()
    page: dict[str, Any] = response.json()
    return page


def ids(page: Mapping[str, Any]) -> list[str]:
    return [each["id"] for each in page["data"]]


def walk(client: httpx.Client, **parameters: Any) -> list[str]:
    """Follow `last_id` to the end."""
    page = ask(client, **parameters)
    seen = ids(page)
    while page["has_more"]:
        page = ask(client, **parameters, after=page["last_id"])
        seen += ids(page)
    return seen


def test_newest_come_first_by_default() -> None:
    with served(TEN) as (client, _):
        page = ask(client, limit=3)

    assert ids(page) == ["e009", "e008", "e007"]
    assert (page["object"], page["first_id"], page["last_id"], page["has_more"]) == ("list", "e009", "e007", True)


def test_oldest_come_first_when_told_so() -> None:
    with served(TEN, order="oldest_first") as (client, _):
        assert ids(ask(client, limit=2)) == ["e000", "e001"]


def test_a_page_holds_twenty_events_unless_told_otherwise() -> None:
    with served([event(number) for number in range(21)]) as (client, _):
        page = ask(client)

    assert len(page["data"]) == 20
    assert page["has_more"] is True


def test_the_last_full_page_has_no_more() -> None:
    with served(TEN) as (client, _):
        page = ask(client, limit=5, after="e005")

    assert ids(page) == ["e004", "e003", "e002", "e001", "e000"]
    assert page["has_more"] is False


def test_before_returns_the_page_that_precedes_a_cursor() -> None:
    with served(TEN) as (client, _):
        page = ask(client, limit=3, before="e005")
        first = ask(client, limit=3, before="e008")

    assert (ids(page), page["has_more"]) == (["e008", "e007", "e006"], True)
    assert (ids(first), first["has_more"]) == (["e009"], False)


def test_nothing_found_is_an_empty_page_without_ids() -> None:
    with served([]) as (client, _):
        page = ask(client)

    assert page == {"object": "list", "data": [], "first_id": None, "last_id": None, "has_more": False}


def test_events_of_one_second_are_ordered_by_id() -> None:
    twins = [{**event(1), "id": name} for name in ("b", "B", "a")]
    with served(twins, order="oldest_first") as (client, _):
        assert ids(ask(client)) == ["B", "a", "b"]


@pytest.mark.parametrize(
    ("bounds", "expected"),
    [
        ({"effective_at[gt]": T0 + 7}, ["e009", "e008"]),
        ({"effective_at[gte]": T0 + 8}, ["e009", "e008"]),
        ({"effective_at[lt]": T0 + 2}, ["e001", "e000"]),
        ({"effective_at[lte]": T0 + 1}, ["e001", "e000"]),
        ({"effective_at[gte]": T0 + 4, "effective_at[lt]": T0 + 6}, ["e005", "e004"]),
        ({"effective_at[gte]": T0 + 6, "effective_at[lt]": T0 + 4}, []),
        ({"effective_at[gt]": T0 + 3, "effective_at[gte]": T0 + 9}, ["e009"]),
    ],
)
@pytest.mark.parametrize("order", ["newest_first", "oldest_first"])
def test_a_window_is_cut_to_the_second(order: str, bounds: dict[str, int], expected: list[str]) -> None:
    with served(TEN, order=order) as (client, _):
        found = walk(client, limit=1, **bounds)

    assert found == (expected if order == "newest_first" else expected[::-1])


ACTED = (
    {**event(0), "project": {"id": "proj_a"}, "project.archived": {"id": "proj_a"}},
    event(1, actor={"type": "session", "session": {"user": {"id": "user-1", "email": "one@example.com"}}}),
    event(
        2,
        actor={
            "type": "api_key",
            "api_key": {"id": "key_1", "type": "user", "user": {"id": "user-1", "email": "one@example.com"}},
        },
    ),
    event(3, actor={"type": "api_key", "api_key": {"id": "key_2", "service_account": {"id": "svc_acct-1"}}}),
    {**event(4, "api_key.deleted"), "actor": None, "api_key.deleted": {"id": "key_1"}},
    {**event(5, "tenant.user.added"), "tenant.user.added": {"id": "user-1"}},
    {**event(6, "role.bound_to_resource"), "role.bound_to_resource": {"id": "ws__c", "resource_id": "ws"}},
    event(7, "moon.landed"),
)


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({"project_ids[]": "proj_a"}, ["e000"]),
        ({"event_types[]": ["api_key.deleted", "moon.landed"]}, ["e007", "e004"]),
        ({"event_types[]": "api_key.deleted,moon.landed"}, []),
        ({"event_types[]": "never.heard.of"}, []),
        ({"actor_ids[]": "user-1"}, ["e002", "e001"]),
        ({"actor_ids[]": "svc_acct-1"}, ["e003"]),
        ({"actor_ids[]": ["key_1", "key_2"]}, ["e003", "e002"]),
        ({"actor_emails[]": "one@example.com"}, ["e002", "e001"]),
        ({"resource_ids[]": "key_1"}, ["e004"]),
        ({"actor_ids[]": "user-1", "resource_ids[]": "key_1"}, []),
        ({"tenant_only": "true"}, ["e006", "e005"]),
        ({"tenant_only": "true", "event_types[]": "tenant.user.added"}, ["e005"]),
        ({"tenant_only": "false"}, ["e007", "e004", "e003", "e002", "e001", "e000"]),
        ({"event_types[]": "tenant.user.added"}, []),
    ],
)
def test_a_filter_keeps_what_matches_it(parameters: dict[str, Any], expected: list[str]) -> None:
    with served(ACTED) as (client, _):
        assert ids(ask(client, **parameters)) == expected


@pytest.mark.parametrize(
    ("parameters", "param"),
    [
        ({"limit": 0}, "limit"),
        ({"limit": 101}, "limit"),
        ({"limit": "ten"}, "limit"),
        ({"effective_at[gte]": "2026-07-01"}, "effective_at[gte]"),
        ({"effective_at[gte]": "1.5"}, "effective_at[gte]"),
        ({"effective_at[gte]": [1, 2]}, "effective_at[gte]"),
        ({"after": "nobody"}, "after"),
        ({"before": "cursor_99999999"}, "before"),
        ({"after": "e001", "before": "e002"}, "before"),
        ({"tenant_only": "yes"}, "tenant_only"),
        ({"tenant_only": "true", "event_types[]": ["tenant.user.added", "login.failed"]}, "event_types[]"),
        ({"order": "asc"}, "order"),
        ({"event_types": "login.failed"}, "event_types"),
    ],
)
def test_a_query_that_makes_no_sense_is_refused(parameters: dict[str, Any], param: str) -> None:
    with served(TEN) as (client, app):
        response = client.get(ROUTE, params=parameters)

    error = response.json()["error"]
    assert response.status_code == 400
    assert error["param"] == param
    assert set(error) == {"message", "type", "param", "code"}
    assert app.requests[0].status == 400


@pytest.mark.parametrize("header", [None, "Bearer sk-wrong", "sk-admin-emulator", "Basic c2s6", "Bearer schl\xfcssel"])
def test_a_wrong_key_is_refused_without_being_repeated(header: str | None) -> None:
    with serve(Emulator(TEN)) as base_url:
        headers = {} if header is None else {b"Authorization": header.encode("latin-1")}
        response = httpx.get(base_url + ROUTE, headers=headers)

    assert response.status_code == 401
    assert response.json()["error"]["code"] == "invalid_api_key"
    assert "wrong" not in response.text


def test_another_address_is_not_found_and_another_method_not_allowed() -> None:
    with served(TEN) as (client, _):
        missing, posted = client.get("/organization/users"), client.post(ROUTE)

    assert missing.status_code == 404
    assert (posted.status_code, posted.headers["Allow"]) == (405, "GET")


def test_every_answer_has_its_own_request_id_and_a_date() -> None:
    with served(TEN) as (client, _):
        answers = [client.get(ROUTE) for _ in range(3)]

    assert len({answer.headers["x-request-id"] for answer in answers}) == 3
    assert all(answer.headers["date"].endswith("GMT") for answer in answers)


@pytest.mark.parametrize(("accepted", "encoding"), [("gzip, br", "gzip"), ("identity", None), ("gzip;q=0", None)])
def test_a_body_is_compressed_only_for_who_accepts_it(accepted: str, encoding: str | None) -> None:
    with served(TEN) as (client, _):
        response = client.get(ROUTE, headers={"Accept-Encoding": accepted})

    assert response.headers.get("content-encoding") == encoding
    assert len(response.json()["data"]) == 10


def test_an_event_given_as_text_is_served_as_it_is() -> None:
    raw = b'{ "type":"moon.landed", "id":"e\\u00e9", "effective_at": 1.785e9 , "zero": -0.0}'
    with served([raw]) as (client, _):
        body = client.get(ROUTE).content

    assert b'"data":[' + raw + b"]" in body


def test_an_event_has_the_same_bytes_in_every_answer() -> None:
    given = event(1, project={"id": "proj_a", "name": "Übersetzung"})
    with served([given, event(2)]) as (client, _):
        wide, narrow = client.get(ROUTE).content, client.get(ROUTE, params={"limit": 1, "after": "e002"}).content

    raw = json.dumps(given, ensure_ascii=False, separators=(",", ":")).encode()
    assert raw in wide
    assert raw in narrow


def test_events_without_id_or_time_are_served_and_paged_past() -> None:
    odd = [b'{"id":"e0","type":"a.b","effective_at":5}', b'{"type":"a.b"}', b'{"effective_at":null}', b"17"]
    with served(odd, order="oldest_first") as (client, _):
        elements: list[Any] = []
        page = ask(client, limit=1)
        while page["has_more"]:
            elements += page["data"]
            page = ask(client, limit=1, after=page["last_id"])
        elements += page["data"]

    assert elements == [{"type": "a.b"}, {"effective_at": None}, 17, {"id": "e0", "type": "a.b", "effective_at": 5}]


def test_ids_of_the_envelope_may_be_null() -> None:
    with served(TEN, null_ids=True) as (client, _):
        page = ask(client, limit=4)

    assert (page["first_id"], page["last_id"], page["has_more"]) == (None, None, True)


def test_a_foreign_last_id_is_no_events_id_and_works_as_a_cursor() -> None:
    with served(TEN, foreign_last_id=True) as (client, _):
        page = ask(client, limit=4)
        seen = walk(client, limit=4)

    assert page["last_id"] not in {each["id"] for each in TEN}
    assert seen == [each["id"] for each in reversed(TEN)]


def test_elements_may_be_json_strings() -> None:
    with served(TEN, string_events=True) as (client, _):
        data = ask(client, limit=2)["data"]

    assert [json.loads(element) for element in data] == [TEN[9], TEN[8]]


@pytest.mark.parametrize(("limit", "sizes"), [(10, [5, 5]), (3, [2, 1]), (1, [1, 0])])
def test_a_body_may_be_two_documents_that_hold_one_page(limit: int, sizes: list[int]) -> None:
    with served(TEN, concatenated=True) as (client, _):
        body = client.get(ROUTE, params={"limit": limit}).text

    first, end = json.JSONDecoder().raw_decode(body)
    last = json.loads(body[end:])
    assert [len(first["data"]), len(last["data"])] == sizes
    assert ids(first) + ids(last) == [each["id"] for each in reversed(TEN)][:limit]
    assert last["has_more"] is (limit < 10)


def test_a_key_may_be_kept_out_of_the_tenant() -> None:
    with served(ACTED, tenant="forbidden") as (client, _):
        refused, allowed = client.get(ROUTE, params={"tenant_only": "true"}), client.get(ROUTE)

    assert refused.status_code == 403
    assert allowed.status_code == 200


def test_a_fault_strikes_the_request_it_is_meant_for() -> None:
    with served(TEN, faults=(Fault(1, status=429, retry_after="2"),)) as (client, app):
        answers = [client.get(ROUTE) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [200, 429, 200]
    assert answers[1].headers["retry-after"] == "2"
    assert "error" in answers[1].json()
    assert [request.status for request in app.requests] == [200, 429, 200]


def test_a_truncated_body_is_half_a_page_that_claims_to_be_whole() -> None:
    with served(TEN, faults=(Fault(0, kind="truncate"),)) as (client, _):
        broken, whole = client.get(ROUTE), client.get(ROUTE)

    assert broken.status_code == 200
    assert broken.content == whole.content[: len(whole.content) // 2]


@pytest.mark.parametrize("accepted", ["gzip", "identity"])
def test_a_dropped_connection_ends_in_the_middle_of_the_body(accepted: str) -> None:
    with (
        served(TEN, faults=(Fault(0, kind="drop"),)) as (client, _),
        pytest.raises(httpx.RemoteProtocolError, match="complete message body"),
    ):
        client.get(ROUTE, headers={"Accept-Encoding": accepted})


def test_a_gateway_may_answer_with_html() -> None:
    with served(TEN, faults=(Fault(0, status=200, kind="html"),)) as (client, _):
        response = client.get(ROUTE)

    assert response.headers["content-type"].startswith("text/html")
    assert response.text.startswith("<!doctype html>")


def test_an_empty_page_may_claim_that_more_follows() -> None:
    with served(TEN, faults=(Fault(0, kind="empty_page"),)) as (client, _):
        page = ask(client)

    assert page == {"object": "list", "data": [], "first_id": None, "last_id": None, "has_more": True}


def test_a_page_may_come_twice() -> None:
    with served(TEN, faults=(Fault(1, kind="repeat_page"),)) as (client, _):
        first, again = ask(client, limit=2), ask(client, limit=2, after="e008")

    assert again == first


def test_requests_are_recorded_with_repeated_values_apart() -> None:
    with served(TEN) as (client, app):
        ask(client, **{"actor_ids[]": ["user-1", "user-2"], "limit": 5})

    assert app.requests[0].query == {"actor_ids[]": ("user-1", "user-2"), "limit": ("5",)}
    assert app.requests[0].status == 200


def test_many_threads_each_get_every_event() -> None:
    events = sample(events=300).events
    with served(events) as (client, app), ThreadPoolExecutor(4) as pool:
        walks = list(pool.map(lambda _: walk(client, limit=50), range(4)))

    assert all(len(set(seen)) == len(seen) for seen in walks)
    assert walks[0] == walks[1] == walks[2] == walks[3]
    assert len(app.requests) == 4 * -(-len(walks[0]) // 50)


@pytest.mark.parametrize("order", ["newest_first", "oldest_first"])
def test_both_passes_together_give_every_event_once(order: str) -> None:
    events = sample(events=2_000).events
    with served(events, order=order) as (client, _):
        organization, tenant = (walk(client, limit=100, tenant_only=only) for only in ("false", "true"))

    assert not set(organization) & set(tenant)
    assert sorted(organization + tenant) == sorted(each["id"] for each in events)


def test_the_official_client_pages_through_every_event_once() -> None:
    events = [each for each in sample(events=600).events if lookup(each["type"]).scope == "organization"]
    with (
        serve(Emulator(events)) as base_url,
        openai.OpenAI(admin_api_key=KEY, base_url=base_url, max_retries=0) as client,
    ):
        seen = [each.id for each in client.admin.organization.audit_logs.list(limit=100)]

    assert seen == [each["id"] for each in reversed(events)]


def test_the_official_clients_filters_are_understood() -> None:
    with (
        serve(Emulator(ACTED)) as base_url,
        openai.OpenAI(admin_api_key=KEY, base_url=base_url, max_retries=0) as client,
    ):
        logs = client.admin.organization.audit_logs
        acted = [each.id for each in logs.list(actor_ids=["key_1", "key_2"], effective_at={"gte": T0, "lt": T0 + 3})]
        tenant = [each.id for each in logs.list(tenant_only=True, event_types=["tenant.user.added"])]

    assert acted == ["e002"]
    assert tenant == ["e005"]


def test_serving_leaves_no_thread_and_no_listener_behind() -> None:
    before = set(threading.enumerate())
    with serve(Emulator(TEN)) as base_url:
        httpx.get(base_url + ROUTE)
    port = urlsplit(base_url).port

    assert set(threading.enumerate()) == before
    with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
        pass


def test_a_client_that_hangs_up_goes_unremarked(capfd: pytest.CaptureFixture[str]) -> None:
    with serve(Emulator(TEN)) as base_url:
        address = ("127.0.0.1", urlsplit(base_url).port)
        with socket.create_connection(address) as connection:
            connection.sendall(b"GET /v1/organization/audit_logs HTTP/1.1\r\nHost: x\r\n")
        with socket.create_connection(address):
            pass

    assert capfd.readouterr() == ("", "")


def test_a_port_may_be_chosen() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with serve(Emulator(TEN), port=port) as base_url:
        assert base_url == f"http://127.0.0.1:{port}/v1"


def test_the_app_can_be_called_without_a_socket() -> None:
    with httpx.Client(transport=httpx.WSGITransport(app=Emulator(TEN)), base_url="http://emulator/v1") as client:
        page = client.get(ROUTE, headers={"Authorization": f"Bearer {KEY}"}).json()

    assert len(page["data"]) == 10
