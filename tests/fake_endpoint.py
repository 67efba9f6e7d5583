"""An endpoint of the audit log that shares no code with the package: other words, other data, real sockets.

It is the other side of the end-to-end tests. `make_events` writes events by hand, character by character, because
what is compared are bytes; `Endpoint` serves them with the habits in `Habits`.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import random
import string
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

KEY = "sk-admin-made-up"
DAY_S = 86_400
DAYS = 20
"""The events fall into the last so many days, a few long before."""


# Events, written by hand.


@dataclass(frozen=True, slots=True)
class Told:
    """An event as the endpoint tells it.

    Attributes:
        text: Its bytes.
        id: Its id; None when it has no usable one.
        at: The second under which the endpoint files it.
        is_tenant: Which of the two passes lists it.
        is_placeable: Whether it has all that a row needs.
    """

    text: bytes
    id: str | None
    at: int
    is_tenant: bool = False
    is_placeable: bool = True


class Literal(str):
    """JSON text to be written as it stands."""


class Doubled(list[tuple[str, Any]]):
    """An object whose keys may come twice."""


@dataclass(slots=True)
class Scribe:
    """Writes JSON in as many ways as the grammar has."""

    dice: random.Random
    blanks: Sequence[str] = ("", "", "", " ", "  ", "\t", "\n", "\r\n ")

    def write(self, value: Any) -> str:
        match value:
            case Literal():
                return str(value)
            case Doubled():
                return self._object(value)
            case dict():
                pairs = list(value.items())
                self.dice.shuffle(pairs)
                return self._object(pairs)
            case list():
                return self._between("[", map(self.write, value), "]")
            case str():
                return json.dumps(value, ensure_ascii=self.dice.random() < 0.5)
            case _:
                return json.dumps(value)

    def _object(self, pairs: Sequence[tuple[str, Any]]) -> str:
        members = (f"{self.write(key)}{self._blank()}:{self._blank()}{self.write(value)}" for key, value in pairs)
        return self._between("{", members, "}")

    def _between(self, opening: str, parts: Iterator[str] | map[str], closing: str) -> str:
        inside = ",".join(f"{self._blank()}{part}{self._blank()}" for part in parts)
        return f"{opening}{inside or self._blank()}{closing}"

    def _blank(self) -> str:
        return self.dice.choice(self.blanks)


ORGANIZATION_DETAILS: tuple[tuple[str, Any], ...] = (
    ("login.succeeded", None),
    ("logout.succeeded", {}),
    ("login.failed", {"error_code": "invalid_credentials", "error_message": "“no”\u2028\u202e\x1b[31m\u0000"}),
    ("api_key.created", {"id": "key_1", "data": {"scopes": ["api.read", "api.write"]}}),
    ("api_key.updated", {"id": "key_1", "changes_requested": {"scopes": []}}),
    ("api_key.updated", {"id": "key_1", "data": {"scopes": [None, "x"]}, "unheard_of": [[{}], []]}),
    ("api_key.deleted", {"id": 17}),
    ("project.updated", {"id": "proj_1", "changes_requested": {"title": Literal(r'"\ud800 alone"')}}),
    ("rate_limit.updated", {"id": "rl", "changes_requested": {"max_requests_per_1_minute": Literal("1e400")}}),
    ("rate_limit.updated", {"id": "rl", "changes_requested": {"max_requests_per_1_minute": Literal("-0.0E+2")}}),
    ("rate_limit.updated", {"id": "rl", "changes_requested": {"max_requests_per_1_minute": Literal("9" * 400)}}),
    ("invite.sent", {"id": "inv", "data": {"email": "żółw@example.org", "role": "owner"}}),
    ("invite.accepted", Doubled([("id", "first"), ("id", "second"), ("id", None), ("", "")])),
    ("user.updated", "not an object at all"),
    ("user.deleted", [1, Literal("2.50"), Literal("3E2"), True, None]),
    ("workflow.version.created", {"id": "wf_1", "data": {"version": Literal("1.0")}}),
    ("something.nobody.listed", {"deep": Literal('{"a":' * 150 + '"\\u00e9\\ud83d\\ude00 😀"' + "}" * 150)}),
    ("no-dot", {'keys with "quotes" and \\': {"😀": 1}}),
)

TENANT_DETAILS: tuple[tuple[str, Any], ...] = (
    ("tenant.admin_api_key.created", {"id": "tk_1"}),
    ("tenant.never.listed", None),
    ("role.bound_to_resource", {"id": "w__c", "enabled": Literal("true")}),
)

ACTORS: tuple[Any, ...] = (
    None,
    {"type": "session", "session": {"user": {"id": "user-1", "email": "a@example.com"}, "ip_address": "192.0.2.1"}},
    {"type": "session", "session": {"user": {"id": "user-2"}, "ip_address_details": {"asn": "64496", "latitude": "1"}}},
    {"type": "session", "session": None, "api_key": None},
    {"type": "api_key", "api_key": {"type": "service_account", "service_account": {"id": "svc-1"}}, "session": None},
    {"type": "api_key", "api_key": {"id": "key_2", "type": "user", "user": {"id": "user-1"}}},
    {},
    "nobody",
    {"type": Literal("7"), "session": [{"user": 1}]},
)

ODD_IDS = (
    "audit log/+&%#?=;:@",
    'quote"back\\slash',
    " audit",
    "audit",
    "AUDIT",
    "Audit",
    "żółw-😀",
    "nul\x00in",
    "line\nbreak",
    "123",
    "null",
    "../../etc",
    "a" * 3000,
)

UNPLACEABLE: tuple[Callable[[int], Any], ...] = (
    lambda n: {"type": "user.added", "effective_at": n},
    lambda n: {"id": None, "type": "user.added", "effective_at": n},
    lambda n: {"id": n, "type": "user.added", "effective_at": n},
    lambda n: {"id": "", "type": "user.added", "effective_at": n},
    lambda n: {"id": Literal(r'"alone \udfff"'), "type": "user.added", "effective_at": n},
    lambda n: {"id": f"u-{n}-a", "effective_at": n},
    lambda n: {"id": f"u-{n}-b", "type": None, "effective_at": n},
    lambda n: {"id": f"u-{n}-c", "type": ["user.added"], "effective_at": n},
    lambda n: {"id": f"u-{n}-d", "type": "user.added"},
    lambda n: {"id": f"u-{n}-e", "type": "user.added", "effective_at": str(n)},
    lambda n: {"id": f"u-{n}-f", "type": "user.added", "effective_at": True},
    lambda n: {"id": f"u-{n}-g", "type": "user.added", "effective_at": Literal("1e400")},
    lambda n: {"id": f"u-{n}-h", "type": "user.added", "effective_at": -n},
    lambda n: {"id": f"u-{n}-i", "type": "user.added", "effective_at": {"n": n}},
    lambda n: n,
    lambda n: [n],
    lambda n: {"only": n},
)


def make_events(seed: int, *, today: int, count: int = 700, blanks: Sequence[str] | None = None) -> list[Told]:
    """Write events over the last `DAYS` days and a few long before, with those that cannot be placed among them.

    Args:
        seed: The same seed writes the same bytes.
        today: The midnight that begins this day, UTC [s].
        count: How many can be placed.
        blanks: What may stand between tokens.
    """
    dice = random.Random(seed)  # noqa: S311 - seeded on purpose
    scribe = Scribe(dice, blanks) if blanks else Scribe(dice)
    ids = _ids(dice, count)
    events = [_placeable(scribe, id_, _second(dice, today)) for id_ in ids]
    seconds = [_second(dice, today) for _ in UNPLACEABLE]
    events += [_unplaceable(scribe, make, at) for make, at in zip(UNPLACEABLE, seconds, strict=True)]
    events.append(
        Told(b'{"id":"broken \xff utf-8","type":"user.added","effective_at":1}', None, today - 5, False, False)
    )
    dice.shuffle(events)
    return events


def make_one(id_: str, at: int, *, is_tenant: bool = False, note: object = None) -> Told:
    """Write one plain event."""
    type_ = "tenant.never.listed" if is_tenant else "user.added"
    text = json.dumps({"id": id_, "type": type_, "effective_at": at, "note": note})
    return Told(text.encode(), id_, at, is_tenant)


def _ids(dice: random.Random, count: int) -> list[str]:
    letters = string.ascii_letters + string.digits
    ids = list(ODD_IDS)
    while len(ids) < count:
        body = "".join(dice.choices(letters, k=24))
        ids += dice.choice(
            (
                [f"audit_log-{body}", f"audit_log-{body.swapcase()}"],
                [f"audit_log-{body[:3]}_20240101"],
                [f"req_{body[:5]}_20240101", f"REQ_{body[:5]}_20240101"],
            )
        )
    return list(dict.fromkeys(ids))[:count]


def _second(dice: random.Random, today: int) -> int:
    """Pick a second: any, one of few that many share, an exact midnight or the one before, or one of long ago."""
    midnight = today - dice.randrange(DAYS) * DAY_S
    return dice.choice(
        (
            midnight - dice.randrange(DAY_S),
            midnight - dice.randrange(DAY_S),
            midnight,
            midnight - 1,
            midnight - DAY_S // 2 - dice.randrange(2),
            today - DAY_S // 3,
            *([today - dice.randrange(100, 900) * DAY_S] if dice.random() < 0.05 else []),
        )
    )


def _placeable(scribe: Scribe, id_: str, at: int) -> Told:
    dice = scribe.dice
    is_tenant = dice.random() < 0.15
    type_, detail = dice.choice(TENANT_DETAILS if is_tenant else ORGANIZATION_DETAILS)
    event = {"id": id_, "type": type_, "effective_at": dice.choice((at, at, at, *_fractions(at)))}
    if detail is not None or dice.random() < 0.1:
        event[type_] = detail
    if dice.random() < 0.8:
        event["actor"] = dice.choice(ACTORS)
    if dice.random() < 0.3:
        event["project"] = dice.choice((None, {"id": "proj_1", "name": "one"}, {"id": 1}))
    if dice.random() < 0.2:
        event["object"] = "organization.audit_log"
    if dice.random() < 0.1:
        event["never_heard_of"] = dice.choice((Literal("1E-7"), {"data": [1]}, Literal(r'"\/ \u00e9"')))
    return Told(scribe.write(event).encode(), id_, at, is_tenant)


def _fractions(at: int) -> tuple[Literal, ...]:
    return tuple(Literal(f"{at}{rest}") for rest in (".0", "e0", ".25", ".999999"))


def _unplaceable(scribe: Scribe, make: Callable[[int], Any], at: int) -> Told:
    value = make(at)
    id_ = value.get("id") if isinstance(value, dict) else None
    usable = id_ if isinstance(id_, str) and id_ and not isinstance(id_, Literal) else None
    return Told(scribe.write(value).encode(), usable, at, scribe.dice.random() < 0.3, is_placeable=False)


# The endpoint.


@dataclass(frozen=True, slots=True)
class Habits:
    """How an endpoint behaves; each is something that was seen or that the specification leaves open.

    Attributes:
        is_oldest_first: The order of its pages.
        is_concatenated: A body is two documents, one right after the other.
        is_by_line: The same, with a line break between them.
        is_quoted: Every element of `data` is a JSON string.
        has_null_ids: `first_id` and `last_id` are null.
        has_foreign_ids: They are ids of no row.
        takes_foreign_ids: A foreign id is a cursor as well.
        shortest_page: Pages have from so many events on, whatever was asked; 0 for what was asked.
        empty_pages: So many times a page comes empty and promises more.
        faults: The chance that a request fails: 429, 5xx, a dropped connection, a body cut short.
        is_compressed: Bodies are gzip.
        has_tenant: Whether the key may read the tenant scope.
    """

    is_oldest_first: bool = False
    is_concatenated: bool = False
    is_by_line: bool = False
    is_quoted: bool = False
    has_null_ids: bool = False
    has_foreign_ids: bool = False
    takes_foreign_ids: bool = False
    shortest_page: int = 0
    empty_pages: int = 0
    faults: float = 0.0
    is_compressed: bool = False
    has_tenant: bool = True


class CursorRefusedError(Exception):
    """Nothing has the id that came as a cursor."""


@dataclass(slots=True)
class Endpoint:
    """The events, the habits, and what was asked so far.

    Attributes:
        events: What it tells; may grow between requests.
        habits: How it behaves.
        before_answer: Called with the number of each request, from 1, before it is answered.
    """

    events: list[Told]
    habits: Habits = field(default_factory=Habits)
    before_answer: Callable[[int], None] = lambda _: None
    base_url: str = ""
    asked: list[dict[str, list[str]]] = field(default_factory=list)
    unanswered: dict[str, int] = field(default_factory=dict)
    _dice: random.Random = field(default_factory=lambda: random.Random(7))  # noqa: S311 - seeded on purpose
    _foreign: dict[str, int] = field(default_factory=dict)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def number(self, query: dict[str, list[str]]) -> int:
        with self._lock:
            self.asked.append(query)
            return len(self.asked)

    def fault(self) -> str:
        """Say what goes wrong with this request; "" for nothing."""
        with self._lock:
            if self._dice.random() >= self.habits.faults:
                return ""
            kind = self._dice.choice(("429", "500", "503", "dropped", "cut", "cut but whole"))
            self.unanswered[kind] = self.unanswered.get(kind, 0) + 1
            return kind

    def body(self, query: dict[str, list[str]]) -> bytes:
        """Answer a request that goes well."""
        with self._lock:
            listed = self._listed(query)
            start = self._place(listed, query["after"][0]) if "after" in query else 0
            size = int(query.get("limit", ["20"])[0])
            if self.habits.shortest_page:
                size = self._dice.randint(self.habits.shortest_page, max(size // 4, self.habits.shortest_page))
            if (
                self.unanswered.get("empty", 0) < self.habits.empty_pages
                and listed[start:]
                and self._dice.random() < 0.5
            ):
                self.unanswered["empty"] = self.unanswered.get("empty", 0) + 1
                return b'{"object":"list","data":[],"first_id":null,"last_id":null,"has_more":true}'
            return self._pages(listed, start, start + size)

    def _listed(self, query: dict[str, list[str]]) -> list[Told]:
        is_tenant = query.get("tenant_only") == ["true"]
        low = [int(value) for value in query.get("effective_at[gte]", [])]
        low += [int(value) + 1 for value in query.get("effective_at[gt]", [])]
        high = [int(value) for value in query.get("effective_at[lt]", [])]
        high += [int(value) + 1 for value in query.get("effective_at[lte]", [])]
        found = [event for event in self.events if event.is_tenant is is_tenant]
        found = [event for event in found if all(event.at >= each for each in low)]
        found = [event for event in found if all(event.at < each for each in high)]
        return sorted(found, key=lambda event: event.at, reverse=not self.habits.is_oldest_first)

    def _place(self, listed: list[Told], cursor: str) -> int:
        if cursor in self._foreign and self.habits.takes_foreign_ids:
            return self._foreign[cursor]
        for place, event in enumerate(listed):
            if event.id == cursor:
                return place + 1
        raise CursorRefusedError(cursor)

    def _pages(self, listed: list[Told], start: int, end: int) -> bytes:
        if not (self.habits.is_concatenated or self.habits.is_by_line):
            return self._page(listed, start, end)
        middle = (start + end) // 2
        between = b"\n" if self.habits.is_by_line else b""
        return between.join((self._page(listed, start, middle), self._page(listed, middle, end)))

    def _page(self, listed: list[Told], start: int, end: int) -> bytes:
        rows = listed[start:end]
        envelope: dict[str, Any] = {"first_id": None, "last_id": None, "has_more": end < len(listed)}
        if self.habits.has_foreign_ids:
            envelope |= {"first_id": f"cursor-{start}", "last_id": f"cursor-{end}-{len(self.asked)}"}
            self._foreign[f"cursor-{end}-{len(self.asked)}"] = end
        elif not self.habits.has_null_ids and rows:
            envelope |= {"first_id": rows[0].id, "last_id": rows[-1].id}
        data = b" ,\n".join(map(self._element, rows))
        return b'{"data": [ ' + data + b'\t], "object":"list", ' + json.dumps(envelope).encode()[1:]

    def _element(self, event: Told) -> bytes:
        if not self.habits.is_quoted:
            return event.text
        text = event.text.decode("utf-8", "surrogateescape")
        return json.dumps(text, ensure_ascii=False).encode("utf-8", "surrogateescape")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = 30
    endpoint: Endpoint

    def do_GET(self) -> None:
        endpoint = self.endpoint
        parts = urlsplit(self.path)
        query = parse_qs(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
        endpoint.before_answer(endpoint.number(query))
        if self.headers["Authorization"] != f"Bearer {KEY}":
            self._answer(401, b'{"error":{"message":"no"}}')
        elif parts.path != "/v1/organization/audit_logs":
            self._answer(404, b'{"error":{"message":"nothing here"}}')
        elif query.get("tenant_only") == ["true"] and not endpoint.habits.has_tenant:
            self._answer(403, b'{"error":{"message":"not yours"}}')
        else:
            self._tell(query)

    def _tell(self, query: dict[str, list[str]]) -> None:
        fault = self.endpoint.fault()
        if fault in ("429", "500", "503"):
            self._answer(int(fault), b'{"error":"later"}', **({"Retry-After": "0.01"} if fault == "429" else {}))
        elif fault == "dropped":
            self.close_connection = True
        else:
            try:
                body = self.endpoint.body(query)
            except CursorRefusedError:
                self._answer(400, b'{"error":{"message":"no such cursor"}}')
            else:
                self._send(body, fault)

    def _send(self, body: bytes, fault: str) -> None:
        if fault == "cut but whole":  # a proxy that cut the body and then counted it
            self._answer(200, body[: 2 * len(body) // 3])
        elif fault == "cut":
            self.close_connection = True
            self._head(200, len(body))
            self.wfile.write(body[: len(body) // 2])
        elif self.endpoint.habits.is_compressed:
            self._answer(200, gzip.compress(body, 1), **{"Content-Encoding": "gzip"})
        else:
            self._answer(200, body)

    def _answer(self, status: int, body: bytes, **headers: str) -> None:
        self._head(status, len(body), **headers)
        self.wfile.write(body)

    def _head(self, status: int, length: int, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(length), **headers}.items():
            self.send_header(name, value)
        self.send_header("x-request-id", f"req_{len(self.endpoint.asked)}")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: Any) -> None:
        """Say nothing: a client that was killed leaves its connection open."""


@contextlib.contextmanager
def serving(endpoint: Endpoint) -> Iterator[Endpoint]:
    """Serve an endpoint on a loopback port; its `base_url` says where."""
    handler = type("Handler", (_Handler,), {"endpoint": endpoint})
    with _Server(("127.0.0.1", 0), handler) as server:
        endpoint.base_url = f"http://127.0.0.1:{server.server_port}/v1"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield endpoint
        finally:
            server.shutdown()
            thread.join()


def midnight() -> int:
    """Return when this day began, UTC [s]."""
    return int(time.time()) // DAY_S * DAY_S
