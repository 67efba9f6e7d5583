"""The client: what it sends, what it takes for a page, and that it never stops quietly."""

from __future__ import annotations

import gzip
import json
import logging
import socket
import struct
import subprocess
import sys
import threading
import time
import traceback
import tracemalloc
import zlib
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, get_args

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stamina.instrumentation import RetryDetails, set_on_retry_hooks

from auditframe import __version__
from auditframe.catalogue import SCOPES
from auditframe.client import Client, Fetched, Filters, Retry, Scope, _pager
from auditframe.client._refusals import parse_retry_after
from auditframe.errors import (
    ApiError,
    AuthError,
    NetworkError,
    PageError,
    RateLimitError,
    RequestError,
    ServerError,
)
from auditframe.window import Window

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

KEY = "sk-admin-made-up-0123456789"
QUICK = Retry(attempts=3, timeout_s=20, wait_initial_s=0.001, wait_max_s=0.002, jitter_s=0)
ONCE = Retry(attempts=1)
PATIENT = Retry(attempts=9, timeout_s=20, wait_initial_s=0.01, wait_max_s=0.1, jitter_s=0)
BASE = "https://audit.example.com/v1"

Step = httpx.Response | Exception


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("OPENAI_ADMIN_KEY", "OPENAI_BASE_URL", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
    for name in names:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def body(ids: Sequence[str | None], **envelope: Any) -> bytes:
    rows = [{"type": "project.created", "n": n} | ({"id": row} if row else {}) for n, row in enumerate(ids)]
    return json.dumps({"data": rows, **envelope}).encode()


def reply(content: bytes, status: int = 200, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.Response(status, headers=named, stream=httpx.ByteStream(content))


def page(ids: Sequence[str | None], **envelope: Any) -> httpx.Response:
    return reply(body(ids, **envelope))


class Script(httpx.BaseTransport):
    """A transport that answers with the steps, in order, and remembers what was asked."""

    def __init__(self, *steps: Step) -> None:
        self.steps = list(steps)
        self.requests: list[httpx.Request] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        step = self.steps.pop(0)
        if isinstance(step, Exception):
            raise step
        return step

    @property
    def cursors(self) -> list[str | None]:
        return [request.url.params.get("after") for request in self.requests]


def fetch(*steps: Step, retry: Retry = ONCE, **asked: Any) -> tuple[list[Fetched], Script]:
    script = Script(*steps)
    with Client(KEY, base_url=BASE, transport=script, retry=retry) as client:
        return list(client.fetch_pages(**asked)), script


def ids_of(pages: Sequence[Fetched]) -> list[str | None]:
    return [row for fetched in pages for row in fetched.page.ids]


def collect(client: Client, **asked: Any) -> tuple[list[Fetched], ApiError | None]:
    pages: list[Fetched] = []
    try:
        pages.extend(client.fetch_pages(**asked))
    except ApiError as error:
        return pages, error
    return pages, None


def pairs_sent(filters: Filters, **asked: Any) -> list[tuple[str, str]]:
    script = fetch(page([], has_more=False), filters=filters, **asked)[1]
    return script.requests[0].url.params.multi_items()


# What is sent


def test_one_request_is_a_get_with_the_key_gzip_and_the_version() -> None:
    request = fetch(page([], has_more=False))[1].requests[0]

    assert request.method == "GET"
    assert request.url.copy_with(query=None) == "https://audit.example.com/v1/organization/audit_logs"
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert request.headers["accept-encoding"] == "gzip"
    assert request.headers["user-agent"] == f"auditframe/{__version__}"


def test_only_the_limit_is_sent_when_nothing_is_asked() -> None:
    assert pairs_sent(Filters()) == [("limit", "100")]


def test_window_ends_are_whole_seconds_that_both_round_up() -> None:
    start = datetime(1970, 1, 1, 0, 0, 10, 1, tzinfo=UTC)
    end = datetime(1970, 1, 1, 0, 1, 0, 999_999, tzinfo=UTC)

    assert pairs_sent(Filters(window=Window(start, end)))[:2] == [
        ("effective_at[gte]", "11"),
        ("effective_at[lt]", "61"),
    ]


def test_whole_seconds_stay_and_an_open_end_is_not_sent() -> None:
    start = datetime(1970, 1, 2, tzinfo=UTC)

    assert pairs_sent(Filters(window=Window(start, None))) == [("effective_at[gte]", "86400"), ("limit", "100")]


@given(st.integers(-(10**9), 10**9), st.integers(1, 10**9), st.integers(-5000, 5000))
def test_the_whole_seconds_asked_for_are_those_in_the_window(start_us: int, length_us: int, second: int) -> None:
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    start = epoch + timedelta(microseconds=start_us)
    window = Window(start, start + timedelta(microseconds=length_us))
    asked = dict(Filters(window=window).query())

    is_asked = int(asked["effective_at[gte]"]) <= second < int(asked["effective_at[lt]"])

    assert is_asked == (epoch + timedelta(seconds=second) in window)


def test_lists_are_repeated_and_never_joined() -> None:
    filters = Filters(
        project_ids=("proj_1", "proj_2"),
        event_types=("login.failed",),
        actor_ids=("user-a,b",),
        actor_emails=("a+b@example.com",),
        resource_ids=("r",),
    )

    assert pairs_sent(filters) == [
        ("project_ids[]", "proj_1"),
        ("project_ids[]", "proj_2"),
        ("event_types[]", "login.failed"),
        ("actor_ids[]", "user-a,b"),
        ("actor_emails[]", "a+b@example.com"),
        ("resource_ids[]", "r"),
        ("limit", "100"),
    ]


def test_tenant_only_is_sent_for_the_tenant_scope_alone() -> None:
    assert ("tenant_only", "true") in pairs_sent(Filters(), scope="tenant")
    assert "tenant_only" not in dict(pairs_sent(Filters(), scope="organization"))


def test_the_scopes_are_those_of_the_catalogue() -> None:
    assert get_args(Scope) == SCOPES


@pytest.mark.parametrize("limit", [0, 101, -1, 2.5, "10", None])
def test_a_limit_outside_1_to_100_is_refused_before_anything_is_sent(limit: Any) -> None:
    script = Script()
    with Client(KEY, transport=script) as client, pytest.raises(RequestError, match="limit"):
        client.fetch_pages(limit=limit)

    assert script.requests == []


@pytest.mark.parametrize("asked", [{"scope": "project"}, {"after": ""}, {"before": "\ud800"}, {"after": 7}])
def test_a_scope_or_cursor_that_is_none_is_refused_before_anything_is_sent(asked: dict[str, Any]) -> None:
    with Client(KEY, transport=Script()) as client, pytest.raises(RequestError, match=next(iter(asked))):
        client.fetch_pages(**asked)


@pytest.mark.parametrize("value", ["proj_1", ["proj_1"], ("",), (7,), ("\ud800",), None])
def test_a_filter_that_is_no_tuple_of_texts_is_refused(value: Any) -> None:
    with pytest.raises(RequestError, match="project_ids"):
        Filters(project_ids=value)


# Keys and addresses


def test_the_key_and_the_base_url_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_ADMIN_KEY", f" {KEY}\n")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://localhost:1/v9/")
    script = Script(page([], has_more=False))
    with Client(transport=script) as client:
        list(client.fetch_pages())

    assert script.requests[0].headers["authorization"] == f"Bearer {KEY}"
    assert script.requests[0].url.path == "/v9/organization/audit_logs"


def test_the_arguments_come_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_ADMIN_KEY", "sk-other")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://localhost:1/other")
    script = fetch(page([], has_more=False))[1]

    assert script.requests[0].headers["authorization"] == f"Bearer {KEY}"
    assert script.requests[0].url.host == "audit.example.com"


def test_without_a_base_url_the_public_endpoint_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "")
    with Client(KEY, transport=Script()) as client:
        shown = repr(client)

    assert shown == "Client(base_url='https://api.openai.com/v1')"


@pytest.mark.parametrize("key", [None, "", " \t\n"])
def test_a_missing_key_says_where_to_create_one(key: str | None) -> None:
    with pytest.raises(AuthError) as caught:
        Client(key)

    assert "platform.openai.com/settings/organization/admin-keys" in str(caught.value)
    assert "OPENAI_ADMIN_KEY" in str(caught.value)


@pytest.mark.parametrize("inside", ["\n", "\r\n", "\x00", "\x7f", " ", "é", "\u200b", "\ud800"])
def test_a_key_that_no_header_can_carry_is_refused_and_not_shown(inside: str) -> None:
    with pytest.raises(AuthError) as caught:
        Client(f"secret{inside}tail")

    assert "secret" not in str(caught.value)
    assert "tail" not in str(caught.value)


@pytest.mark.parametrize("base", ["ftp://x.example.com", "api.openai.com/v1", "", "https://", "http://[::1", "\ud800"])
def test_a_base_url_that_is_not_http_is_refused(base: str) -> None:
    with pytest.raises(RequestError, match="http or https"):
        Client(KEY, base_url=base)


@pytest.mark.parametrize(
    "base", ["https://u:pw@x.example.com/v1", "https://x.example.com/?pw=1", "https://x.example.com/#pw"]
)
def test_a_base_url_that_would_displace_the_key_or_the_filters_is_refused_and_not_shown(base: str) -> None:
    with pytest.raises(RequestError, match=r"x\.example\.com") as caught:
        Client(KEY, base_url=base)

    assert "pw" not in str(caught.value)


def test_repr_shows_the_base_url_and_never_the_key() -> None:
    with Client(KEY, base_url=f"{BASE}/", transport=Script()) as client:
        shown = repr(client)

    assert shown == f"Client(base_url='{BASE}')"


def test_an_unusable_proxy_in_the_environment_is_named_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "gopher://user:pw@proxy.example.com")
    with pytest.raises(RequestError, match="HTTPS_PROXY") as caught:
        Client(KEY)

    assert "pw" not in str(caught.value)


def test_a_closed_client_says_so() -> None:
    client = Client(KEY, transport=Script())
    client.close()

    with pytest.raises(RequestError, match="closed"):
        next(client.fetch_pages())


# What comes back


def test_a_fetched_page_carries_what_proves_where_it_came_from() -> None:
    earliest = datetime.now(UTC)
    sent = body(["a", "b"], has_more=True)
    pages, _ = fetch(reply(sent, x_request_id="req_1"), page(["c"], has_more=False))

    assert pages[0].body == sent
    assert [fetched.number for fetched in pages] == [0, 1]
    assert [fetched.cursor for fetched in pages] == [None, "b"]
    assert [fetched.request_id for fetched in pages] == ["req_1", None]
    assert [fetched.is_last for fetched in pages] == [False, True]
    assert earliest <= pages[0].received_at <= pages[1].received_at <= datetime.now(UTC)


def test_a_walk_from_the_cursor_of_a_page_begins_with_that_page() -> None:
    whole, _ = fetch(page(["a", "b"], has_more=True), page(["c"], has_more=False))
    again, script = fetch(page(["c"], has_more=False), after=whole[1].cursor)

    assert script.cursors == ["b"]
    assert again[0].page == whole[1].page


def test_the_repr_of_a_fetched_page_holds_no_event() -> None:
    pages, _ = fetch(page(["evt_1"], has_more=False))

    assert "evt_1" not in repr(pages[0])


def test_gzip_is_decompressed_also_in_several_members() -> None:
    sent = body(["a"], has_more=False)
    members = gzip.compress(sent[:10]) + gzip.compress(sent[10:])
    pages, _ = fetch(reply(members, content_encoding="gzip"))

    assert pages[0].body == sent


def test_a_body_that_a_transport_has_read_already_is_taken_as_it_is() -> None:
    sent = body(["a"], has_more=False)
    step = httpx.Response(200, headers={"content-encoding": "gzip"}, content=gzip.compress(sent))
    pages, _ = fetch(step)

    assert pages[0].body == sent


@pytest.mark.parametrize("encoding", ["br", "deflate", "zstd", "gzip, gzip", "\x1b[2J"])
def test_another_content_encoding_is_a_page_error(encoding: str) -> None:
    with pytest.raises(PageError, match="only gzip") as caught:
        fetch(reply(b"{}", content_encoding=encoding), retry=QUICK)

    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize(
    "sent",
    [gzip.compress(body(["a"]), mtime=0)[:-9], b"", b"no gzip", gzip.compress(b"[]", mtime=0) + b"garbage after it"],
)
def test_a_broken_gzip_body_is_fetched_again(sent: bytes) -> None:
    pages, script = fetch(reply(sent, content_encoding="gzip"), page(["a"], has_more=False), retry=QUICK)

    assert len(script.requests) == 2
    assert ids_of(pages) == ["a"]


def test_a_page_cut_short_is_fetched_again_and_then_an_error_with_its_facts() -> None:
    cut = [reply(body(["a"], has_more=False)[:-5], x_request_id=f"req_{n}") for n in range(3)]
    with pytest.raises(PageError) as caught:
        fetch(*cut, retry=QUICK)

    assert (caught.value.status_code, caught.value.request_id, caught.value.retryable) == (200, "req_2", True)
    assert caught.value.offset_bytes is not None


@pytest.mark.parametrize("status", [201, 202, 204, 206])
def test_a_2xx_that_is_not_200_is_no_page(status: int) -> None:
    with pytest.raises(PageError, match=f"{status}") as caught:
        fetch(reply(body(["a"], has_more=False), status))

    assert caught.value.status_code == status


# Errors


def failure(step: Step, retry: Retry = ONCE) -> ApiError:
    with pytest.raises(ApiError) as caught:
        fetch(step, retry=retry)
    return caught.value


def refused(status: int, message: str = "", **headers: str) -> httpx.Response:
    return reply(json.dumps({"error": {"message": message}}).encode(), status, x_request_id="req_9", **headers)


@pytest.mark.parametrize(
    ("status", "kind", "retryable"),
    [
        (400, RequestError, False),
        (401, AuthError, False),
        (403, AuthError, False),
        (404, RequestError, False),
        (408, ServerError, True),
        (409, RequestError, False),
        (418, RequestError, False),
        (422, RequestError, False),
        (429, RateLimitError, True),
        (500, ServerError, True),
        (503, ServerError, True),
        (599, ServerError, True),
    ],
)
def test_every_status_has_its_error_with_status_and_request_id(
    status: int, kind: type[ApiError], retryable: bool
) -> None:
    error = failure(refused(status))

    assert type(error) is kind
    assert (error.status_code, error.request_id, error.retryable) == (status, "req_9", retryable)


def test_401_says_where_to_get_a_key_and_never_repeats_the_endpoint() -> None:
    error = failure(refused(401, "Incorrect API key provided: made****6789."))

    assert "admin-keys" in str(error)
    assert "6789" not in str(error)


def test_403_names_the_permission() -> None:
    error = failure(refused(403, "Missing scopes: api.audit_logs.read"))

    assert "needs the permission api.audit_logs.read" in str(error)
    assert "It said: Missing scopes" in str(error)


def test_a_refusal_holds_the_endpoints_words_short_and_inert() -> None:
    text = str(failure(refused(400, "bad \x1b[31m filter\n" + "x" * 5000)))

    assert r"It said: bad \x1b[31m filter xxx" in text
    assert len(text) < 500


@pytest.mark.parametrize(
    "sent", [b"", b"<html>no</html>", b"[]", b'{"error": null}', b'{"error": {"message": 7}}', b"\xff", b"[" * 100_000]
)
def test_a_refusal_without_words_is_still_that_refusal(sent: bytes) -> None:
    error = failure(reply(sent, 400))

    assert isinstance(error, RequestError)
    assert "It said" not in str(error)


def test_words_that_cannot_be_read_do_not_hide_the_status() -> None:
    assert isinstance(failure(reply(b"not gzip", 429, content_encoding="gzip")), RateLimitError)


@pytest.mark.parametrize("status", [301, 302, 303, 304, 307, 308, 300])
def test_a_redirect_is_not_followed_and_its_host_is_named(status: int) -> None:
    script = Script(reply(b"", status, location="https://else.example.org/v1?token=t0p", x_request_id="req_9"))
    with Client(KEY, base_url=BASE, transport=script, retry=QUICK) as client:
        error = collect(client)[1]

    assert type(error) is RequestError
    assert "else.example.org" in str(error)
    assert "t0p" not in str(error)
    assert (error.status_code, error.request_id, len(script.requests)) == (status, "req_9", 1)


@pytest.mark.parametrize("location", ["http://[::1", "//", "https://\x7f/", "/login", "http://x.example.org:notaport/"])
def test_a_redirect_to_nowhere_is_a_request_error_too(location: str) -> None:
    assert type(failure(reply(b"", 302, location=location), QUICK)) is RequestError


@pytest.mark.parametrize(
    "cause",
    [
        httpx.ConnectError("refused"),
        httpx.ReadTimeout("slow"),
        httpx.ProxyError("407"),
        httpx.RemoteProtocolError("garbage"),
        httpx.TooManyRedirects("more than one"),
        httpx.DecodingError("no gzip"),
    ],
)
def test_no_answer_is_a_network_error_without_a_status(cause: Exception) -> None:
    error = failure(cause)

    assert type(error) is NetworkError
    assert (error.status_code, error.request_id, error.retryable) == (None, None, True)
    assert f"audit.example.com ({type(cause).__name__}: {cause})" in str(error)


def test_a_cursor_too_long_for_an_address_is_a_request_error() -> None:
    with pytest.raises(RequestError, match="cannot be sent"):
        fetch(page([]), after="x" * 100_000)


def test_a_host_that_no_name_service_takes_is_a_request_error() -> None:
    with Client(KEY, base_url=f"http://{'a' * 70}.example.com/v1", retry=ONCE) as client:
        error = collect(client)[1]

    assert isinstance(error, RequestError | NetworkError)


# Retries


@pytest.mark.parametrize(
    "step", [refused(408), refused(429), refused(500), httpx.ConnectError("x"), httpx.ReadTimeout("x"), reply(b"[{")]
)
def test_what_may_heal_is_tried_again(step: Step) -> None:
    pages, script = fetch(step, page(["a"], has_more=False), retry=QUICK)

    assert len(script.requests) == 2
    assert ids_of(pages) == ["a"]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
def test_what_cannot_heal_is_tried_once(status: int) -> None:
    script = Script(refused(status))
    with Client(KEY, base_url=BASE, transport=script, retry=QUICK) as client:
        error = collect(client)[1]

    assert error is not None
    assert len(script.requests) == 1


def test_attempts_are_bounded_and_the_last_error_is_raised() -> None:
    script = Script(refused(500), refused(502), refused(503))
    with Client(KEY, base_url=BASE, transport=script, retry=QUICK) as client:
        pages, error = collect(client)

    assert pages == []
    assert error is not None
    assert error.status_code == 503


def test_the_total_time_is_bounded() -> None:
    patience = Retry(attempts=1000, timeout_s=0.1, wait_initial_s=0.02, wait_max_s=0.02, jitter_s=0)
    script = Script(*(refused(500) for _ in range(1000)))
    with Client(KEY, base_url=BASE, transport=script, retry=patience) as client:
        error = collect(client)[1]

    assert isinstance(error, ServerError)
    assert len(script.requests) <= 7


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_waited_for(status: int) -> None:
    started = time.monotonic()
    fetch(refused(status, retry_after="0.3"), page([], has_more=False), retry=QUICK)

    assert 0.3 <= time.monotonic() - started < 5


@pytest.mark.parametrize("status", [429, 503])
def test_a_retry_after_beyond_the_bound_raises_at_once(status: int) -> None:
    script = Script(refused(status, retry_after="3600"))
    with Client(KEY, base_url=BASE, transport=script, retry=QUICK) as client:
        error = collect(client)[1]

    assert error is not None
    assert error.retry_after_s == 3600
    assert "3600 s" in str(error)


def test_retry_after_may_be_a_date() -> None:
    in_an_hour = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    error = failure(refused(429, retry_after=in_an_hour), QUICK)

    assert error.retry_after_s == pytest.approx(3600, abs=60)


@pytest.mark.parametrize("off", [timedelta(hours=1), timedelta(hours=-1)])
def test_a_retry_after_that_is_a_date_is_told_by_the_endpoints_clock(off: timedelta) -> None:
    date = datetime.now(UTC) + off
    until = format_datetime(date + timedelta(seconds=500), usegmt=True)
    error = failure(reply(b"", 429, date=format_datetime(date, usegmt=True), retry_after=until), QUICK)

    assert error.retry_after_s == 500


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("7", 7.0),
        (" 1.5 ", 1.5),
        ("0", 0.0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        ("Thu, 01 Jan 1970 00:00:00 -0000", 0.0),
        ("soon", None),
        ("-5", None),
        ("9" * 400, None),
        ("", None),
    ],
)
def test_retry_after_is_seconds_or_a_date_or_nothing(value: str | None, seconds: float | None) -> None:
    assert parse_retry_after(value) == seconds


@pytest.mark.parametrize(
    "wrong", [{"attempts": 0}, {"timeout_s": 0}, {"wait_initial_s": -1}, {"wait_max_s": -1}, {"jitter_s": -1}]
)
def test_a_retry_that_cannot_be_kept_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(RequestError, match="Retry"):
        Retry(**wrong)


def test_retries_are_silent_in_a_process_without_logging() -> None:
    program = """
import httpx
from auditframe.client import Client, Retry

steps = [httpx.Response(500), httpx.Response(200, json={"data": [], "has_more": False})]
transport = httpx.MockTransport(lambda request: steps.pop(0))
with Client("sk-made-up", transport=transport, retry=Retry(wait_initial_s=0, jitter_s=0)) as client:
    assert len(list(client.fetch_pages())) == 1
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)  # noqa: S603 - own text

    assert (done.stdout, done.stderr) == (b"", b"")


# Paging


def test_the_last_row_is_the_next_cursor_whatever_the_envelope_says() -> None:
    pages, script = fetch(
        page(["a", "b"], has_more=True, last_id="elsewhere"),
        page(["c", "d"], has_more=True, last_id=None),
        page(["e"], has_more=False),
    )

    assert script.cursors == [None, "b", "d"]
    assert ids_of(pages) == ["a", "b", "c", "d", "e"]


def test_the_filters_go_with_every_page() -> None:
    _, script = fetch(
        page(["a"], has_more=True), page(["b"], has_more=False), filters=Filters(event_types=("login.failed",)), limit=1
    )

    assert [request.url.params["event_types[]"] for request in script.requests] == ["login.failed"] * 2
    assert [request.url.params["limit"] for request in script.requests] == ["1", "1"]


def test_a_last_row_without_an_id_leaves_the_cursor_to_the_envelope() -> None:
    _, script = fetch(page(["a", "b", None], has_more=True, last_id="c"), page(["d"], has_more=False))

    assert script.cursors == [None, "c"]


def test_without_an_envelope_id_the_last_id_that_a_row_has_is_the_cursor() -> None:
    _, script = fetch(page(["a", "b", None], has_more=True), page(["d"], has_more=False))

    assert script.cursors == [None, "b"]


@pytest.mark.parametrize("status", [400, 404])
def test_a_refused_cursor_gives_way_to_the_next_candidate(status: int) -> None:
    pages, script = fetch(page(["a", "b"], has_more=True, last_id="L"), refused(status), page(["c"], has_more=False))

    assert script.cursors == [None, "b", "L"]
    assert ids_of(pages) == ["a", "b", "c"]
    assert [fetched.number for fetched in pages] == [0, 1]


def test_a_page_without_a_new_id_gives_way_to_the_next_candidate_and_is_not_delivered() -> None:
    first = ["a", "b"]
    pages, script = fetch(
        page(first, has_more=True, last_id="L"), page(first, has_more=True, last_id="L"), page(["c"], has_more=False)
    )

    assert script.cursors == [None, "b", "L"]
    assert ids_of(pages) == ["a", "b", "c"]


def test_when_no_candidate_is_left_the_error_says_what_was_seen() -> None:
    script = Script(
        page(["a"], has_more=True), page(["b"], has_more=True, last_id="L"), refused(400), page(["a"], has_more=True)
    )
    with Client(KEY, base_url=BASE, transport=script, retry=QUICK) as client:
        pages, error = collect(client)

    assert ids_of(pages) == ["a", "b"]
    assert isinstance(error, PageError)
    assert not error.retryable
    assert "after page 1 (cursor 'a', 1 events, has_more True)" in str(error)
    assert "'b' was refused with 400; 'L' brought 1 events and leads back to known ones" in str(error)


@pytest.mark.parametrize("status", [401, 403, 422])
def test_another_refusal_of_a_later_page_is_raised_as_it_is(status: int) -> None:
    script = Script(page(["a"], has_more=True, last_id="L"), refused(status))
    with Client(KEY, base_url=BASE, transport=script, retry=QUICK) as client:
        pages, error = collect(client)

    assert ids_of(pages) == ["a"]
    assert error is not None
    assert error.status_code == status


def test_a_refused_cursor_of_the_caller_is_a_request_error() -> None:
    with pytest.raises(RequestError):
        fetch(refused(404), after="gone")


def test_an_endpoint_that_ignores_the_cursor_raises() -> None:
    script = Script(*(page(["a", "b"], has_more=True, last_id="b") for _ in range(9)))
    with Client(KEY, base_url=BASE, transport=script, retry=QUICK) as client:
        pages, error = collect(client)

    assert isinstance(error, PageError)
    assert len(pages) == 1
    assert script.cursors == [None, "b"]


def test_a_repeated_cursor_raises() -> None:
    script = Script(page(["a"], has_more=True), page([None], has_more=True, last_id="a"))
    with Client(KEY, base_url=BASE, transport=script, retry=QUICK) as client:
        pages, error = collect(client)

    assert isinstance(error, PageError)
    assert "no cursor that was not used before" in str(error)
    assert ids_of(pages) == ["a", None]


@pytest.mark.parametrize("has_more", [True, False])
@pytest.mark.parametrize(
    "turned",
    [["c", "b", "a"], ["d", "c", "b", "0"], ["b", "a"], ["c", "a"]],
    ids=["with something new", "that began in the middle", "without anything new", "that left the cursor out"],
)
def test_a_page_that_ends_where_the_walk_has_been_has_turned_round(turned: list[str], *, has_more: bool) -> None:
    script = Script(page(["0", "a", "b"], has_more=True), page(turned, has_more=has_more))
    with Client(KEY, base_url=BASE, transport=script, retry=QUICK) as client:
        pages, error = collect(client)

    assert isinstance(error, PageError)
    assert ids_of(pages) == ["0", "a", "b"]


def test_a_last_page_may_end_with_the_cursor_and_tell_of_an_event_that_came_late() -> None:
    pages, _ = fetch(page(["a", "b", "c"], has_more=True), page(["b", "late", "c"], has_more=False))

    assert ids_of(pages) == ["a", "b", "c", "b", "late", "c"]


def test_a_cycle_of_pages_raises() -> None:
    a, b, c = (body([row, row + row], has_more=True) for row in "abc")
    script = Script(*map(reply, (a, b, c, a, b, c, a)))
    with Client(KEY, base_url=BASE, transport=script, retry=QUICK) as client:
        pages, error = collect(client)

    assert isinstance(error, PageError)
    assert ids_of(pages) == ["a", "aa", "b", "bb", "c", "cc"]


def test_pages_that_overlap_are_progress_while_they_bring_something_new() -> None:
    pages, _ = fetch(page(["a", "b"], has_more=True), page(["b", "c"], has_more=True), page(["c"], has_more=False))

    assert ids_of(pages) == ["a", "b", "b", "c", "c"]


@pytest.mark.parametrize("envelope", [{}, {"has_more": None}])
def test_without_has_more_the_walk_goes_on_until_a_page_comes_empty(envelope: dict[str, Any]) -> None:
    pages, script = fetch(page(["a"], **envelope), page(["b"], **envelope), page([], **envelope))

    assert script.cursors == [None, "a", "b"]
    assert [fetched.is_last for fetched in pages] == [False, False, True]


def test_without_has_more_a_page_without_a_new_id_raises() -> None:
    with pytest.raises(PageError, match="no progress"):
        fetch(page(["a"]), page(["a"]))


def test_an_empty_first_page_that_says_so_is_the_whole_walk() -> None:
    pages, _ = fetch(page([], has_more=False, first_id=None, last_id=None))

    assert len(pages) == 1
    assert pages[0].is_last


def test_an_empty_page_that_promises_more_leads_on_by_a_new_last_id() -> None:
    pages, script = fetch(page(["a"], has_more=True), page([], has_more=True, last_id="x"), page(["b"], has_more=False))

    assert script.cursors == [None, "a", "x"]
    assert ids_of(pages) == ["a", "b"]


def test_an_empty_page_inside_an_array_leads_on_like_any_other() -> None:
    inside = reply(b"[" + body([], has_more=True, last_id="x") + b"]")
    pages, script = fetch(inside, page(["b"], has_more=False))

    assert script.cursors == [None, "x"]
    assert ids_of(pages) == ["b"]


@pytest.mark.parametrize("last_id", [None, "a"])
def test_an_empty_page_that_promises_more_and_leads_nowhere_is_fetched_again(last_id: str | None) -> None:
    stalled = page([], has_more=True, last_id=last_id)
    pages, script = fetch(page(["a"], has_more=True), stalled, page(["b"], has_more=False), retry=QUICK)

    assert script.cursors == [None, "a", "a"]
    assert ids_of(pages) == ["a", "b"]


def test_an_empty_page_that_promises_more_and_does_not_heal_raises() -> None:
    script = Script(page(["a"], has_more=True), *(page([], has_more=True) for _ in range(3)))
    with Client(KEY, base_url=BASE, transport=script, retry=QUICK) as client:
        pages, error = collect(client)

    assert ids_of(pages) == ["a"]
    assert isinstance(error, PageError)
    assert "Page 1 came empty" in str(error)


def test_empty_pages_that_always_lead_on_end_with_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_pager, "MAX_EMPTY_PAGES", 5)
    script = Script(*(page([], has_more=True, last_id=f"x{n}") for n in range(9)))
    with Client(KEY, base_url=BASE, transport=script) as client:
        pages, error = collect(client)

    assert isinstance(error, PageError)
    assert len(pages) == 5


def test_rows_without_ids_never_crash_and_are_told_apart_by_their_text() -> None:
    first = b'{"data": [{"n": 1}, {"id": 7}, "text", null], "has_more": true, "last_id": "x"}'
    second = b'{"data": [{"n": 2}], "has_more": true, "last_id": "y"}'
    pages, script = fetch(reply(first), reply(second), page([], has_more=False))

    assert script.cursors == [None, "x", "y"]
    assert [len(fetched.page.events) for fetched in pages] == [4, 1, 0]


def test_rows_without_ids_that_come_again_are_no_progress() -> None:
    again = b'{"data": [{"n": 1}], "has_more": true, "last_id": "%s"}'
    with pytest.raises(PageError, match="leads back to known ones"):
        fetch(reply(again % b"x"), reply(again % b"y"))


def test_an_envelope_id_that_no_address_can_carry_is_no_candidate() -> None:
    with pytest.raises(PageError, match="no cursor"):
        fetch(reply(b'{"data": [{"n": 1}], "has_more": true, "last_id": "\\ud800"}'))


def test_before_alone_walks_backwards_by_the_first_row() -> None:
    pages, script = fetch(
        page(["d", "e"], has_more=True, first_id="elsewhere"), page(["b", "c"], has_more=False), before="f"
    )

    assert [request.url.params.get("before") for request in script.requests] == ["f", "d"]
    assert script.cursors == [None, None]
    assert [fetched.cursor for fetched in pages] == ["f", "d"]


def test_backwards_a_first_row_without_an_id_leaves_the_cursor_to_the_envelope() -> None:
    _, script = fetch(
        page([None, "e"], has_more=True, first_id="d", last_id="L"), page(["c"], has_more=False), before="f"
    )

    assert [request.url.params.get("before") for request in script.requests] == ["f", "d"]


def test_the_callers_cursor_counts_as_used() -> None:
    with pytest.raises(PageError, match="no cursor that was not used before"):
        fetch(page(["a", "b"], has_more=True), after="b")


def test_before_beside_after_stays_as_it_is() -> None:
    _, script = fetch(page(["b"], has_more=True), page(["c"], has_more=False), after="a", before="z")

    assert [request.url.params.get("before") for request in script.requests] == ["z", "z"]
    assert script.cursors == ["a", "b"]


def test_the_pages_before_a_failure_are_delivered_and_the_failure_is_raised() -> None:
    script = Script(page(["a"], has_more=True), *(refused(500) for _ in range(3)))
    with Client(KEY, base_url=BASE, transport=script, retry=QUICK) as client:
        pages, error = collect(client)

    assert ids_of(pages) == ["a"]
    assert isinstance(error, ServerError)


@settings(max_examples=150)
@given(st.data())
def test_no_endpoint_makes_a_walk_loop_or_end_without_its_word(data: st.DataObject) -> None:
    row = st.one_of(st.none(), st.sampled_from("abcdef"))

    def answer(_: httpx.Request) -> httpx.Response:
        envelope = data.draw(
            st.fixed_dictionaries(
                {"has_more": st.sampled_from([True, True, True, False, None]), "last_id": row, "first_id": row}
            )
        )
        return page(data.draw(st.lists(row, max_size=3)), **envelope)

    patience = Retry(attempts=2, wait_initial_s=0, wait_max_s=0, jitter_s=0)
    with Client(KEY, transport=httpx.MockTransport(answer), retry=patience) as client:
        pages, error = collect(client)

    assert isinstance(error, PageError) or pages[-1].is_last
    assert not any(fetched.is_last for fetched in pages[:-1])
    assert len({fetched.cursor for fetched in pages}) == len(pages)
    assert len(pages) <= 8


# Where a walk goes on


def test_a_page_names_the_cursors_that_may_lead_on_best_first() -> None:
    pages, _ = fetch(
        page(["a", "b", None], has_more=True, last_id="L"),
        page(["c"], has_more=True, last_id="M"),
        page(["d"], has_more=False, last_id="N"),
    )

    assert [fetched.next_cursors for fetched in pages] == [("L", "b"), ("c", "M"), ()]


def test_a_cursor_that_was_sent_is_not_named_again() -> None:
    pages, _ = fetch(page(["a"], has_more=True, last_id="L"), page(["b"], has_more=True, last_id="a"), page([]))

    assert [fetched.next_cursors for fetched in pages][:2] == [("a", "L"), ("b",)]


def test_a_walk_resumes_after_the_page_whose_cursors_it_gets() -> None:
    whole, _ = fetch(page(["a", "b"], has_more=True), page(["c"], has_more=True), page(["d"], has_more=False))
    rest, script = fetch(page(["c"], has_more=True), page(["d"], has_more=False), resume=whole[0].next_cursors)

    assert script.cursors == ["b", "c"]
    assert [fetched.number for fetched in rest] == [0, 1]
    assert [fetched.page for fetched in rest] == [fetched.page for fetched in whole[1:]]


@pytest.mark.parametrize("status", [400, 404])
def test_a_refused_cursor_of_a_resume_gives_way_to_the_next(status: int) -> None:
    pages, script = fetch(refused(status), page(["c"], has_more=False), resume=["b", "L"])

    assert script.cursors == ["b", "L"]
    assert pages[0].cursor == "L"


def test_when_every_cursor_of_a_resume_is_refused_the_walk_starts_at_its_beginning() -> None:
    pages, script = fetch(
        refused(400), refused(404), page(["a", "b"], has_more=True), page(["c"], has_more=False), resume=("b", "L")
    )

    assert script.cursors == ["b", "L", None, "b"]
    assert [(fetched.cursor, fetched.number) for fetched in pages] == [(None, 0), ("b", 1)]


def test_a_query_that_is_refused_at_its_beginning_too_is_a_request_error() -> None:
    with pytest.raises(RequestError):
        fetch(refused(400), refused(400), resume=("b",))


@pytest.mark.parametrize("status", [401, 403, 422, 500])
def test_another_failure_of_a_resume_is_raised_as_it_is(status: int) -> None:
    with pytest.raises(ApiError) as caught:
        fetch(refused(status), resume=("b", "L"))

    assert caught.value.status_code == status


@pytest.mark.parametrize(
    "asked",
    [
        {"resume": ("a",), "after": "b"},
        {"resume": ("a",), "before": "b"},
        {"resume": "text"},
        {"resume": ("",)},
        {"resume": (7,)},
    ],
)
def test_a_resume_that_cannot_be_meant_is_refused_before_anything_is_sent(asked: dict[str, Any]) -> None:
    with Client(KEY, transport=Script()) as client, pytest.raises(RequestError, match="resume"):
        client.fetch_pages(**asked)


# The direction of a walk


def steps_of(*times: Sequence[float | None]) -> list[httpx.Response]:
    """Pages with rows at these times; the last page says that it is the last."""
    made = []
    for number, row in enumerate(times):
        rows = [
            {"id": f"{number}-{n}", "type": "x"} | ({} if time is None else {"effective_at": time})
            for n, time in enumerate(row)
        ]
        made.append(
            reply(json.dumps({"data": rows, "last_id": f"L{number}", "has_more": row is not times[-1]}).encode())
        )
    return made


def orders_of(*times: Sequence[float | None], **asked: Any) -> list[str | None]:
    return [fetched.order for fetched in fetch(*steps_of(*times), **asked)[0]]


@pytest.mark.parametrize(
    ("times", "orders"),
    [
        ([[9, 8], [7]], ["newest_first"] * 2),
        ([[1, 2], [3]], ["oldest_first"] * 2),
        ([[5], [4]], [None, "newest_first"]),
        ([[5], [6]], [None, "oldest_first"]),
        ([[5, 5], [5]], [None, None]),
        ([[None, 3, None, 2, None]], ["newest_first"]),
        ([[None], [], [4], [3]], [None, None, None, "newest_first"]),
        ([[4, 5], [3, 3]], ["oldest_first", "newest_first"]),
        ([[9, 7], [8, 6], [7, 5]], ["newest_first"] * 3),
        ([[5], [5, 4]], [None, "newest_first"]),
    ],
)
def test_the_order_is_what_the_pages_have_shown_so_far(
    times: list[list[float | None]], orders: list[str | None]
) -> None:
    assert orders_of(*times) == orders


def test_a_walk_backwards_has_the_order_in_which_it_is_seen() -> None:
    assert orders_of([9, 8], [11, 10], before="f") == ["newest_first", "oldest_first"]


@pytest.mark.parametrize(("times", "was", "now"), [([9, 8, 7, 8], "older", "newer"), ([1, 2, 1], "newer", "older")])
def test_a_walk_that_turns_round_raises_and_says_after_which_page(times: list[float], was: str, now: str) -> None:
    script = Script(*steps_of(*([time] for time in times), []))
    with Client(KEY, base_url=BASE, transport=script, retry=QUICK) as client:
        pages, error = collect(client)

    assert isinstance(error, PageError)
    assert not error.retryable
    assert f"went to {was} events, and after page {len(times) - 2} they go to {now} ones" in str(error)
    assert "Run it again, or over a shorter window" in str(error)
    assert len(pages) == len(script.requests) - 1 == len(times) - 1


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=40), st.integers(1, 5), st.booleans())
def test_a_sorted_listing_never_turns_round_however_it_is_cut(times: list[int], size: int, is_newest: bool) -> None:
    times.sort(reverse=is_newest)
    cut = [times[start : start + size] for start in range(0, len(times), size)]
    last = orders_of(*cut)[-1]

    assert last == (None if times[0] == times[-1] else "newest_first" if is_newest else "oldest_first")


@given(st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=3), min_size=1, max_size=8))
def test_times_that_overlap_never_stop_a_walk(jitter: list[list[int]]) -> None:
    times = [[10 * -number + each for each in [*row, -5, 12]] for number, row in enumerate(jitter)]

    assert len(orders_of(*times)) == len(times)


# The endpoint's clock


def dated(moment: datetime | str | None) -> httpx.Response:
    if moment is None:
        return page(["a"], has_more=False)
    shown = moment if isinstance(moment, str) else format_datetime(moment, usegmt=True)
    return reply(body(["a"], has_more=False), date=shown)


@pytest.mark.parametrize("off", [timedelta(days=-400), timedelta(hours=-1), timedelta(hours=1), timedelta(days=400)])
def test_asked_at_is_before_the_answer_on_both_clocks(off: timedelta) -> None:
    date = (datetime.now(UTC) + off).replace(microsecond=0)
    earliest = datetime.now(UTC)
    fetched = fetch(dated(date))[0][0]
    latest = datetime.now(UTC)

    assert fetched.date == date
    assert fetched.asked_at <= min(fetched.received_at, date)
    assert earliest - max(-off, timedelta()) - timedelta(seconds=2) <= fetched.asked_at <= latest


def test_the_time_of_the_request_comes_off_the_endpoints_clock() -> None:
    date = datetime(2020, 1, 1, tzinfo=UTC)

    def slow(_: httpx.Request) -> httpx.Response:
        time.sleep(0.2)
        return dated(date)

    with Client(KEY, transport=httpx.MockTransport(slow)) as client:
        fetched = next(client.fetch_pages())

    assert date - timedelta(seconds=5) < fetched.asked_at <= date - timedelta(seconds=0.2)


@pytest.mark.parametrize(
    "value", [None, "", "soon", "Fri, 31 Dec 9999 23:59:59 -2300", "Thu, 01 Jan 1903 00:00:00 GMT", "9" * 500]
)
def test_without_a_usable_date_the_local_clock_alone_counts(value: str | None) -> None:
    earliest = datetime.now(UTC)
    fetched = fetch(dated(value))[0][0]

    assert fetched.date is None
    assert earliest <= fetched.asked_at <= fetched.received_at


def test_asked_at_is_of_the_request_that_succeeded() -> None:
    patience = Retry(attempts=2, wait_initial_s=0.2, jitter_s=0)
    earliest = datetime.now(UTC)
    fetched = fetch(refused(500), dated(None), retry=patience)[0][0]

    assert fetched.asked_at >= earliest + timedelta(seconds=0.2)


# Limits of the rate


@pytest.fixture
def waits() -> Iterator[list[RetryDetails]]:
    told: list[RetryDetails] = []

    def tell(details: RetryDetails) -> None:
        told.append(details)

    set_on_retry_hooks([tell])
    yield told
    set_on_retry_hooks(None)


def test_the_wait_after_a_429_and_after_another_failure_is_told(waits: list[RetryDetails]) -> None:
    fetch(refused(429, retry_after="0.05"), refused(503, retry_after="0.02"), refused(500), dated(None), retry=PATIENT)

    assert [type(each.caused_by) for each in waits] == [RateLimitError, ServerError, ServerError]
    assert [each.wait_for for each in waits] == pytest.approx([0.05, 0.02, 0.04], abs=0.01)
    assert [each.retry_num for each in waits] == [1, 2, 3]


def test_a_429_that_never_heals_is_raised_after_the_attempts() -> None:
    script = Script(*(refused(429) for _ in range(9)))
    with Client(KEY, base_url=BASE, transport=script, retry=QUICK) as client:
        error = collect(client)[1]

    assert isinstance(error, RateLimitError)
    assert len(script.requests) == 3


@pytest.mark.parametrize("status", [429, 503])
def test_a_hold_is_for_every_walk_of_the_client(status: int) -> None:
    script = Script(refused(status, retry_after="3600"), dated(None))
    with Client(KEY, base_url=BASE, transport=script, retry=QUICK) as client:
        first, second = collect(client)[1], collect(client)[1]

    assert first is not None
    assert first.status_code == status
    assert isinstance(second, RateLimitError)
    assert len(script.requests) == 1


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.usefixtures("waits")
def test_closing_the_client_ends_a_wait_in_another_thread(status: int) -> None:
    is_told = threading.Event()

    def tell(details: RetryDetails) -> None:
        is_told.set()

    set_on_retry_hooks([tell])
    errors: list[ApiError | None] = []
    client = Client(KEY, base_url=BASE, transport=Script(refused(status, retry_after="500")))
    thread = threading.Thread(target=lambda: errors.append(collect(client)[1]))
    thread.start()
    is_told.wait(10)
    client.close()
    thread.join(10)

    assert not thread.is_alive()
    assert [type(error) for error in errors] == [RequestError]
    assert "closed" in str(errors[0])


# Over a real socket


@contextmanager
def serving(*acts: Callable[[BaseHTTPRequestHandler], None]) -> Iterator[tuple[str, list[BaseHTTPRequestHandler]]]:
    """Serve each request with the next act, on a loopback port."""
    left = list(acts)
    seen: list[BaseHTTPRequestHandler] = []

    class Handler(BaseHTTPRequestHandler):
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            seen.append(self)
            left.pop(0)(self)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1", seen
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def sends(content: bytes, status: int = 200, *, missing_bytes: int = 0, **headers: str) -> Callable[[Any], None]:
    def act(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(content) + missing_bytes))
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        with suppress(OSError):  # the client hangs up on a body too large
            handler.wfile.write(content)

    return act


def drops(handler: BaseHTTPRequestHandler) -> None:
    """Reset the connection without an answer."""
    linger = struct.pack("ii", 1, 0)
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    handler.connection.close()
    handler.rfile.close()
    handler.wfile = open("/dev/null", "wb")  # noqa: PTH123, SIM115


def test_a_dropped_connection_is_tried_again() -> None:
    with (
        serving(drops, sends(body(["a"], has_more=False))) as (base, seen),
        Client(KEY, base_url=base, retry=QUICK) as client,
    ):
        pages, error = collect(client)

    assert error is None
    assert ids_of(pages) == ["a"]
    assert len(seen) == 2


def test_a_connection_dropped_inside_the_body_is_tried_again() -> None:
    whole = body(["a"], has_more=False)
    acts = (sends(whole[:-7], missing_bytes=7), sends(whole))
    with serving(*acts) as (base, _), Client(KEY, base_url=base, retry=QUICK) as client:
        pages, error = collect(client)

    assert error is None
    assert [fetched.body for fetched in pages] == [whole]


def test_a_connection_always_dropped_is_a_network_error_with_what_is_known() -> None:
    act = sends(b"{", missing_bytes=7, x_request_id="req_5")
    with serving(act, act, act) as (base, _), Client(KEY, base_url=base, retry=QUICK) as client:
        pages, error = collect(client)

    assert pages == []
    assert isinstance(error, NetworkError)
    assert (error.status_code, error.request_id) == (200, "req_5")


def test_nobody_listening_is_a_network_error() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        with Client(KEY, base_url=f"http://127.0.0.1:{held.getsockname()[1]}/v1", retry=QUICK) as client:
            error = collect(client)[1]

    assert isinstance(error, NetworkError)
    assert "127.0.0.1" in str(error)


def test_an_answer_that_does_not_begin_is_a_network_error() -> None:
    release = threading.Event()

    def waits(_: BaseHTTPRequestHandler) -> None:
        release.wait(10)

    with serving(waits) as (base, _):
        with Client(KEY, base_url=base, retry=ONCE, timeout_s=0.1) as client:
            error = collect(client)[1]
        release.set()

    assert isinstance(error, NetworkError)
    assert "ReadTimeout" in str(error)


def test_a_body_that_trickles_is_stopped_when_the_time_for_the_page_is_up() -> None:
    def trickle(handler: BaseHTTPRequestHandler) -> None:
        sends(b"", missing_bytes=1000)(handler)
        for _ in range(1000):
            try:
                handler.wfile.write(b" ")
            except OSError:
                return
            time.sleep(0.01)

    patience = Retry(attempts=5, timeout_s=0.2)
    with serving(trickle) as (base, seen), Client(KEY, base_url=base, retry=patience) as client:
        error = collect(client)[1]

    assert isinstance(error, NetworkError)
    assert "incomplete" in str(error)
    assert len(seen) == 1


def test_a_body_too_large_on_the_wire_is_refused() -> None:
    with serving(sends(b" " * (33 << 20))) as (base, seen), Client(KEY, base_url=base, retry=QUICK) as client:
        error = collect(client)[1]

    assert isinstance(error, PageError)
    assert "32 MiB on the wire" in str(error)
    assert len(seen) == 1


@pytest.fixture(scope="module")
def bomb() -> bytes:
    packer = zlib.compressobj(1, wbits=31)
    return b"".join(packer.compress(bytes(1 << 20)) for _ in range(400)) + packer.flush()


def test_a_gzip_bomb_is_stopped_at_the_bound(bomb: bytes) -> None:
    with serving(sends(bomb, Content_Encoding="gzip")) as (base, _), Client(KEY, base_url=base, retry=QUICK) as client:
        error = collect(client)[1]

    assert isinstance(error, PageError)
    assert "128 MiB after decompression" in str(error)


def test_a_gzip_bomb_in_one_piece_never_takes_more_memory_than_the_bound(bomb: bytes) -> None:
    script = Script(reply(bomb, content_encoding="gzip"))
    with Client(KEY, base_url=BASE, transport=script, retry=QUICK) as client:
        tracemalloc.start()
        error = collect(client)[1]
        peak_bytes = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()

    assert isinstance(error, PageError)
    assert peak_bytes < 300 << 20


def test_a_large_but_honest_gzip_page_is_read() -> None:
    sent = body([f"audit_log-{n:024}" for n in range(20_000)], has_more=False)
    act = sends(gzip.compress(sent), Content_Encoding="gzip")
    with serving(act) as (base, _), Client(KEY, base_url=base, retry=QUICK) as client:
        pages, error = collect(client)

    assert error is None
    assert pages[0].body == sent


def test_a_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(sends(body(["a"], has_more=False))) as (proxy, seen):
        monkeypatch.setenv("HTTP_PROXY", proxy.removesuffix("/v1"))
        with Client(KEY, base_url="http://audit.example.com/v1", retry=ONCE) as client:
            pages, _ = collect(client)

    assert ids_of(pages) == ["a"]
    assert seen[0].path.startswith("http://audit.example.com/v1/organization/audit_logs?")


def test_a_redirect_to_another_host_never_gets_the_key() -> None:
    with serving(sends(body([]))) as (other, reached), serving(sends(b"", 302, Location=other)) as (base, _):
        client = Client(KEY, base_url=base, retry=ONCE)
        error = collect(client)[1]
        client.close()

    assert isinstance(error, RequestError)
    assert reached == []


def test_closing_the_client_while_a_request_is_under_way_is_told_as_that() -> None:
    arrived, release = threading.Event(), threading.Event()
    errors: list[ApiError | None] = []

    def waits(handler: BaseHTTPRequestHandler) -> None:
        arrived.set()
        release.wait(10)
        handler.close_connection = True

    with serving(waits) as (base, _):
        client = Client(KEY, base_url=base)
        thread = threading.Thread(target=lambda: errors.append(collect(client)[1]))
        thread.start()
        arrived.wait(10)
        client.close()
        release.set()
        thread.join(10)

    assert not thread.is_alive()
    assert [str(error) for error in errors] == ["The client is closed. Make a new one."]


def test_threads_share_one_client() -> None:
    acts = [sends(body(["a"], has_more=False)) for _ in range(8)]
    found: list[list[str | None]] = []
    with serving(*acts) as (base, _), Client(KEY, base_url=base, retry=QUICK) as client:
        threads = [threading.Thread(target=lambda: found.append(ids_of(collect(client)[0]))) for _ in acts]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert found == [["a"]] * 8


# The key


class Listener(logging.Handler):
    """Keep everything that any log record says."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(f"{record.getMessage()} {record.__dict__}")


@contextmanager
def listening() -> Iterator[list[str]]:
    root, listener = logging.getLogger(), Listener()
    level = root.level
    root.addHandler(listener)
    root.setLevel(logging.DEBUG)
    try:
        yield listener.said
    finally:
        root.removeHandler(listener)
        root.setLevel(level)


def said_by(error: BaseException | None) -> str:
    shown: list[str] = []
    while error is not None:
        shown += [str(error), repr(error), repr(error.args), repr(vars(error)), *traceback.format_exception(error)]
        error = error.__cause__ or error.__context__
    return "\n".join(shown)


def echoes(status: int) -> Callable[[httpx.Request], httpx.Response]:
    """An endpoint that repeats the key wherever it can."""

    def answer(request: httpx.Request) -> httpx.Response:
        key = request.headers["authorization"]
        headers = {"x-request-id": key, "location": f"https://else.example.org/?{key}", "retry-after": key}
        if status == 0:
            raise httpx.ConnectError(f"Illegal header {request.headers['authorization']}", request=request)
        message = {"error": {"message": f"wrong {key} " + "x" * 280 + key}}
        return httpx.Response(status, headers=headers, json=message if status != 200 else [])

    return answer


odd_texts = st.text(min_size=10, max_size=40) | st.text(
    st.characters(min_codepoint=33, max_codepoint=126), min_size=10, max_size=60
)
odd_keys = odd_texts.map(lambda text: f"{text}#7Qz")  # so that none is a word that messages hold anyhow


@settings(max_examples=60)
@given(odd_keys, st.sampled_from([0, 200, 204, 302, 400, 401, 403, 404, 422, 429, 500]))
def test_no_exception_repr_or_log_record_holds_the_key(core: str, status: int) -> None:
    key = f"Sk{core}~K"
    patience = Retry(attempts=2, wait_initial_s=0, wait_max_s=0, jitter_s=0)
    shown = ""
    with listening() as said:
        try:
            with Client(key, base_url=BASE, transport=httpx.MockTransport(echoes(status)), retry=patience) as client:
                shown = repr(client)
                list(client.fetch_pages())
        except ApiError as error:
            shown += said_by(error)

    assert key not in shown
    assert core not in shown
    assert not any(core in line for line in said)


@pytest.mark.parametrize("name", ["location", "x-ratelimit-of", "retry-after", "content-encoding", KEY])
@pytest.mark.parametrize("form", [KEY, KEY.upper(), f"https://{KEY}.example.org/", f"https://{KEY.upper()}/{KEY}"])
def test_no_header_brings_the_key_back(name: str, form: str) -> None:
    header: dict[str, Any] = {name: form}
    answer = sends(b"[]", 302 if name == "location" else 200, **header)
    with serving(answer) as (base, _), Client(KEY, base_url=base, retry=ONCE) as client:
        pages, error = collect(client)
    told = (repr([fetched.headers for fetched in pages]) + said_by(error)).lower()

    assert error or "[key]" in told
    assert KEY not in told


def test_no_cursor_brings_the_key_back() -> None:
    long = "x" * 70 + KEY
    stuck = page([KEY], has_more=True, last_id=long), page([KEY], has_more=True), page([KEY], has_more=True)
    with Client(KEY, base_url=BASE, transport=Script(*stuck), retry=ONCE) as client:
        error = collect(client)[1]

    assert "'[key]' brought 1 events" in str(error)
    assert "sk-admin" not in str(error)


def test_no_log_record_of_a_real_exchange_holds_the_key() -> None:
    acts = (drops, sends(b"", 500), sends(body(["a"], has_more=False)))
    with listening() as said, serving(*acts) as (base, _), Client(KEY, base_url=base, retry=QUICK) as client:
        error = collect(client)[1]

    assert error is None
    assert said
    assert not any(KEY in line for line in said)


@pytest.mark.parametrize("status", [400, 403, 429, 500])
def test_a_part_of_a_key_in_the_endpoints_words_is_not_repeated(status: int) -> None:
    error = failure(refused(status, "Key sk-admin-made***6789 may not do this."))

    assert "6789" not in str(error)
    assert "Key [key] may not do this." in str(error)
