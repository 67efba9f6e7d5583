"""The WSGI app: who may ask, what is answered, and what goes wrong."""

from __future__ import annotations

import gzip
import hmac
import json
import time
import uuid
from dataclasses import dataclass, replace
from email.utils import formatdate
from http import HTTPStatus
from threading import Lock
from typing import TYPE_CHECKING, Any

from auditframe.emulator.behaviour import Behaviour
from auditframe.emulator.listing import Listing, Page
from auditframe.emulator.query import RefusedQueryError, read_parameters, read_query

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from wsgiref.types import StartResponse, WSGIEnvironment

    from auditframe.emulator.behaviour import Fault

    Parameters = Mapping[str, tuple[str, ...]]

_ROUTE = "/v1/organization/audit_logs"
_EMPTY = Page((), (), has_more=True)
_GATEWAY = b"<!doctype html><title>Gateway</title><p>The service is not available just now.</p>"


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it was answered.

    Attributes:
        query: The values given for each parameter, decoded, in their order.
        status: The HTTP status of the answer.
    """

    query: Mapping[str, tuple[str, ...]]
    status: int


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    body: bytes
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()
    dropped: bool = False


class Emulator:
    """The endpoint over a fixed set of events, as a WSGI app that any number of threads may call.

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
        self._listing = Listing(events, newest_first=behaviour.order == "newest_first")
        self._bearer = f"Bearer {key}".encode()
        self._behaviour = behaviour
        self._faults = {fault.at: fault for fault in behaviour.faults}
        self._lock = Lock()
        self._count = 0
        self._requests: list[Request] = []
        self._last_page = b""

    @property
    def requests(self) -> tuple[Request, ...]:
        """Every request so far, in the order in which they were answered."""
        with self._lock:
            return tuple(self._requests)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        time.sleep(self._behaviour.latency_s)
        parameters = read_parameters(environ.get("QUERY_STRING", ""))
        fault = self._next_fault()
        answer = self._gone_wrong(fault, environ, parameters) if fault else self._answer(environ, parameters)
        with self._lock:
            self._requests.append(Request(parameters, answer.status))
        return _send(environ, start_response, answer)

    def _next_fault(self) -> Fault | None:
        with self._lock:
            number = self._count
            self._count += 1
        return self._faults.get(number)

    def _gone_wrong(self, fault: Fault, environ: WSGIEnvironment, parameters: Parameters) -> _Answer:
        retry = (("Retry-After", fault.retry_after),) if fault.retry_after is not None else ()
        match fault.kind:
            case "status":
                return _error(fault.status, "This answer was asked to fail.", headers=retry)
            case "html":
                return _Answer(fault.status, _GATEWAY, content_type="text/html; charset=utf-8", headers=retry)
            case "empty_page":
                return _Answer(200, self._body(_EMPTY))
            case "repeat_page":
                return _Answer(200, self._last_page or self._body(_EMPTY))
            case "truncate":
                whole = self._answer(environ, parameters)
                return replace(whole, body=whole.body[: len(whole.body) // 2])
            case "drop":
                return replace(self._answer(environ, parameters), dropped=True)

    def _answer(self, environ: WSGIEnvironment, parameters: Parameters) -> _Answer:
        if not environ.get("PATH_INFO", "").endswith(_ROUTE):
            return _error(404, "There is nothing at this address.")
        if environ["REQUEST_METHOD"] != "GET":
            return _error(405, "Only GET is allowed here.", headers=(("Allow", "GET"),))
        if not hmac.compare_digest(environ.get("HTTP_AUTHORIZATION", "").encode(), self._bearer):
            return _error(401, "Missing or incorrect API key.", code="invalid_api_key")
        try:
            return self._page(parameters)
        except RefusedQueryError as refused:
            return _error(400, str(refused), param=refused.param)

    def _page(self, parameters: Parameters) -> _Answer:
        query = read_query(parameters)
        if query.scope == "tenant" and self._behaviour.tenant == "forbidden":
            return _error(403, "This key may not read the tenant's audit log.", code="missing_scope")
        body = self._body(self._listing.page(query))
        self._last_page = body
        return _Answer(200, body)

    def _body(self, page: Page) -> bytes:
        parts = page.halves() if self._behaviour.concatenated else (page,)
        return b"".join(self._document(part) for part in parts)

    def _document(self, page: Page) -> bytes:
        first_id, last_id = self._envelope_ids(page)
        raws = (row.raw for row in page.rows)
        elements = (_as_string(raw) for raw in raws) if self._behaviour.string_events else raws
        end = {"first_id": first_id, "last_id": last_id, "has_more": page.has_more}
        return b'{"object":"list","data":[' + b",".join(elements) + b"]," + _json(end)[1:]

    def _envelope_ids(self, page: Page) -> tuple[str | None, str | None]:
        if self._behaviour.null_ids or not page.rows:
            return None, None
        # A row without an id can be paged past only by a cursor of another kind.
        last = "" if self._behaviour.foreign_last_id else page.rows[-1].id
        return page.rows[0].id or page.cursors[0], last or page.cursors[-1]


def _send(environ: WSGIEnvironment, start_response: StartResponse, answer: _Answer) -> list[bytes]:
    body, headers = answer.body, [("Content-Type", answer.content_type), *answer.headers]
    if _accepts_gzip(environ.get("HTTP_ACCEPT_ENCODING", "")):
        body = gzip.compress(body, compresslevel=1, mtime=0)
        headers.append(("Content-Encoding", "gzip"))
    headers += [
        ("Content-Length", str(len(body))),
        ("Date", formatdate(usegmt=True)),
        ("Vary", "Accept-Encoding"),
        ("X-Request-Id", f"req_{uuid.uuid4().hex}"),
    ]
    start_response(_status_line(answer.status), headers)
    return [body[: len(body) // 2] if answer.dropped else body]


def _accepts_gzip(accept_encoding: str) -> bool:
    codings = [coding.replace(" ", "").lower() for coding in accept_encoding.split(",")]
    return any(coding.partition(";")[0] == "gzip" and not coding.endswith((";q=0", ";q=0.0")) for coding in codings)


def _status_line(status: int) -> str:
    known = {each.value: each.phrase for each in HTTPStatus}
    return f"{status} {known.get(status, 'Unknown')}"


def _error(
    status: int,
    message: str,
    *,
    param: str | None = None,
    code: str | None = None,
    headers: tuple[tuple[str, str], ...] = (),
) -> _Answer:
    """Write an error in the API's shape."""
    kind = "server_error" if status >= 500 else "invalid_request_error"
    error = {"message": message, "type": kind, "param": param, "code": code}
    return _Answer(status, _json({"error": error}), headers=headers)


def _as_string(raw: bytes) -> bytes:
    return _json(raw.decode("utf-8", "surrogatepass"))


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
