"""The WSGI app: who may ask, what is answered, and what goes wrong."""

from __future__ import annotations

import hmac
import math
import time
from dataclasses import dataclass, replace
from itertools import count
from threading import Lock
from typing import TYPE_CHECKING, Any

from auditframe.emulator.behaviour import Behaviour
from auditframe.emulator.body import cursors_on, to_json, write_page
from auditframe.emulator.limits import HandedOut, TokenBucket
from auditframe.emulator.listing import Listing, Page
from auditframe.emulator.query import RefusedQueryError, read_parameters, read_query
from auditframe.emulator.rows import read_rows
from auditframe.emulator.wire import Answer, send
from auditframe.errors import EventError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from wsgiref.types import StartResponse, WSGIEnvironment

    from auditframe.emulator.behaviour import Fault, FaultKind
    from auditframe.emulator.query import Query
    from auditframe.emulator.rows import Row

_ROUTE = "/v1/organization/audit_logs"
_EMPTY = Page((), has_more=True)
_GATEWAY = b"<!doctype html><title>Gateway</title><p>The service is not available just now.</p>"


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it was answered.

    Attributes:
        query: The values given for each parameter, decoded, in their order.
        status: The HTTP status of the answer; 0 when nothing was said.
    """

    query: Mapping[str, tuple[str, ...]]
    status: int


@dataclass(frozen=True, slots=True)
class _Asked:
    number: int
    environ: WSGIEnvironment
    parameters: Mapping[str, tuple[str, ...]]


class Emulator:
    """The endpoint over a set of events, as a WSGI app that any number of threads may call.

    Args:
        events: API event objects, or their JSON text as bytes, to be served as it is. An event is
            written once, so its bytes are the same in every answer.
        key: The admin key that is let in.
        behaviour: Quirks and faults.
    """

    def __init__(
        self,
        events: Iterable[Mapping[str, Any] | bytes],
        *,
        key: str = "sk-admin-emulator",
        behaviour: Behaviour = Behaviour(),  # noqa: B008 - frozen
    ) -> None:
        self._serials = count()
        rows = read_rows(events, serials=self._serials)
        self._listing = Listing(rows, newest_first=behaviour.order == "newest_first")
        self._bearer = f"Bearer {key}".encode()
        self._behaviour = behaviour
        self._faults = {fault.at: fault for fault in behaviour.faults}
        self._bucket = None if behaviour.rate_limit is None else TokenBucket(behaviour.rate_limit)
        self._handed_out = None if behaviour.cursor_life is None else HandedOut(behaviour.cursor_life)
        self._numbers = count()
        self._requests: list[Request] = []
        self._recording, self._editing = Lock(), Lock()

    @property
    def requests(self) -> tuple[Request, ...]:
        """Every request so far, in the order in which they were answered."""
        with self._recording:
            return tuple(self._requests)

    def add(self, events: Iterable[Mapping[str, Any] | bytes]) -> None:
        """List more events from the next page on.

        Args:
            events: Events as the constructor takes them.
        """
        new = tuple(read_rows(events, serials=self._serials))
        self._edit(lambda rows: [*rows, *new])

    def withdraw(self, ids: Iterable[str]) -> None:
        """List some events no more, from the next page on; as cursors they are refused.

        Args:
            ids: The ids of the events; one that is not listed is passed over.
        """
        gone = frozenset(ids)
        self._edit(lambda rows: [row for row in rows if not row.id or row.id not in gone])

    def replace(self, event: Mapping[str, Any] | bytes) -> None:
        """List another payload under an event's id, from the next page on.

        Args:
            event: The event as it shall be, with the id that it has; without a usable time it is listed at 1970.

        Raises:
            EventError: No event of this id is listed.
        """
        (new,) = read_rows([event], serials=self._serials)
        self._edit(lambda rows: _with_payload(rows, new))

    def _edit(self, change: Callable[[tuple[Row, ...]], list[Row]]) -> None:
        with self._editing:
            self._listing = self._listing.holding(change(self._listing.oldest_first))

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        time.sleep(self._behaviour.latency_s)
        asked = _Asked(next(self._numbers), environ, read_parameters(environ.get("QUERY_STRING", "")))
        answer = self._turned_away(asked) or self._answer(asked)
        with self._recording:
            self._requests.append(Request(asked.parameters, answer.status))
        return send(environ, start_response, answer, now_s=time.time() + self._behaviour.clock_offset_s)

    def _turned_away(self, asked: _Asked) -> Answer | None:
        revoked_after, limit = self._behaviour.revoked_after, self._behaviour.rate_limit
        if revoked_after is not None and asked.number >= revoked_after:
            return _wrong_key()
        wait_s = 0.0 if self._bucket is None else self._bucket.take()
        if limit is None or not wait_s:
            return None
        retry_after = _whole_seconds(wait_s) if limit.retry_after == "auto" else limit.retry_after
        return _error(429, "Too many requests.", code="rate_limit_exceeded", headers=_retry(retry_after))

    def _answer(self, asked: _Asked) -> Answer:
        fault = self._faults.get(asked.number)
        return self._proper(asked) if fault is None else self._gone_wrong(fault, asked)

    def _gone_wrong(self, fault: Fault, asked: _Asked) -> Answer:
        match fault.kind:
            case "status" | "html":
                return _failed(fault)
            case "hang":
                return Answer(0, b"", ending="hang", seconds=fault.seconds)
            case "truncate":
                whole = self._proper(asked)
                return replace(whole, body=whole.body[: len(whole.body) // 2])
            case "drop" | "reset" | "overlong" | "underlong":
                return replace(self._proper(asked), ending=fault.kind)
            case _:
                return self._proper(asked, twist=fault.kind)

    def _proper(self, asked: _Asked, *, twist: FaultKind | None = None) -> Answer:
        environ = asked.environ
        if not environ.get("PATH_INFO", "").endswith(_ROUTE):
            return _error(404, "There is nothing at this address.")
        if environ["REQUEST_METHOD"] != "GET":
            return _error(405, "Only GET is allowed here.", headers=(("Allow", "GET"),))
        if not hmac.compare_digest(environ.get("HTTP_AUTHORIZATION", "").encode(), self._bearer):
            return _wrong_key()
        try:
            return self._page(asked, twist)
        except RefusedQueryError as refused:
            return _error(400, str(refused), param=refused.param)

    def _page(self, asked: _Asked, twist: FaultKind | None) -> Answer:
        query = read_query(asked.parameters)
        if query.scope == "tenant" and self._behaviour.tenant == "forbidden":
            return _error(403, "This key may not read the tenant's audit log.", code="missing_scope")
        if self._handed_out is not None:
            self._handed_out.check(query, number=asked.number)
        page = self._cut(query, asked.number, twist)
        shape = replace(self._behaviour, null_ids=True) if twist == "null_ids" else self._behaviour
        if self._handed_out is not None:
            self._handed_out.note(cursors_on(page, shape), number=asked.number)
        return Answer(200, write_page(page, shape))

    def _cut(self, query: Query, number: int, twist: FaultKind | None) -> Page:
        listing = self._listing_at(number)
        if self._behaviour.ignores_window:
            query = replace(query, start=None, end=None)
        overlap = min(self._behaviour.overlapping_rows, query.limit - 1)
        match twist:
            case "empty_page":
                return _EMPTY
            case "repeat_page":
                return listing.page(query, overlap=query.limit)
            case "loop":
                return replace(listing.page(replace(query, after=None, before=None)), has_more=True)
            case "doubled":
                return listing.page(query, overlap=overlap).doubled()
            case _:
                return listing.page(query, overlap=overlap)

    def _listing_at(self, number: int) -> Listing:
        turned_at = self._behaviour.turned_at
        return self._listing if turned_at is None or number < turned_at else self._listing.turned


def _with_payload(rows: tuple[Row, ...], new: Row) -> list[Row]:
    if not new.id or all(row.id != new.id for row in rows):
        raise EventError(
            f"The emulator lists no event {new.id!r} to be replaced; add it first.",
            event_id=new.id or None,
            field="id",
        )
    return [replace(new, serial=row.serial) if row.id == new.id else row for row in rows]


def _failed(fault: Fault) -> Answer:
    headers = _retry(fault.retry_after)
    if fault.kind == "html":
        return Answer(fault.status, _GATEWAY, content_type="text/html; charset=utf-8", headers=headers)
    return _error(fault.status, "This answer was asked to fail.", headers=headers)


def _wrong_key() -> Answer:
    return _error(401, "Missing or incorrect API key.", code="invalid_api_key")


def _retry(retry_after: str | None) -> tuple[tuple[str, str], ...]:
    return () if retry_after is None else (("Retry-After", retry_after),)


def _whole_seconds(wait_s: float) -> str | None:
    return str(math.ceil(wait_s)) if math.isfinite(wait_s) else None


def _error(
    status: int,
    message: str,
    *,
    param: str | None = None,
    code: str | None = None,
    headers: tuple[tuple[str, str], ...] = (),
) -> Answer:
    """Write an error in the API's shape."""
    kind = "server_error" if status >= 500 else "invalid_request_error"
    error = {"message": message, "type": kind, "param": param, "code": code}
    return Answer(status, to_json({"error": error}), headers=headers)
