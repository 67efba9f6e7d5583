"""One request to the endpoint. The only module that knows httpx."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import httpx

from auditframe import __version__
from auditframe.client._body import read_body
from auditframe.client._pace import closed
from auditframe.client._refusals import (
    KEYS_PAGE,
    error_for,
    own_message,
    parse_date,
    parse_retry_after,
    redirect_error,
    shown,
)
from auditframe.errors import ApiError, AuthError, NetworkError, RequestError
from auditframe.pages import Page, parse_page

if TYPE_CHECKING:
    from auditframe.client._records import Query

PATH = "/organization/audit_logs"

_ABOUT_RATES = ("x-ratelimit-", "ratelimit-", "retry-after")
_VISIBLE_ASCII = re.compile(r"[!-~]+")


@dataclass(frozen=True, slots=True)
class Answer:
    """A page and the response that brought it."""

    body: bytes
    page: Page
    request_id: str | None
    received_at: datetime
    asked_at: datetime
    date: datetime | None
    headers: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class _Sent:
    """When a request was sent, on both clocks."""

    at: datetime
    at_s: float

    def no_later_than(self, date: datetime | None) -> datetime:
        """Return a moment before the answer to the request, whose head has just arrived.

        The endpoint told its time between then and now, so that the time of the request, taken off, leads to
        before it was sent. Either clock may be fast; the earlier one promises less.
        """
        if date is None:
            return self.at
        return min(self.at, date - timedelta(seconds=time.monotonic() - self.at_s))


class Endpoint:
    """The connections to one endpoint, with one key."""

    def __init__(
        self, key: str, base_url: str, *, transport: httpx.BaseTransport | None = None, timeout_s: float
    ) -> None:
        self._key = _checked_key(key)
        base = _checked_base(base_url)
        self.base_url = str(base).rstrip("/")
        self._host = base.host
        self._url = f"{self.base_url}{PATH}"
        self._http = self._open(transport, timeout_s)
        self._has_answered = False

    def get_page(self, query: Query, *, deadline_s: float) -> Answer:
        """Ask once.

        Args:
            query: The query parameters.
            deadline_s: When to stop waiting for the rest of a body, on the monotonic clock [s].

        Raises:
            ApiError: There was no page; the kind says why.
        """
        if self._http.is_closed:
            raise closed()
        response: httpx.Response | None = None
        sent = _Sent(datetime.now(UTC), time.monotonic())
        # Raised outside the handlers: a cause could show the request, and with it the key.
        try:
            with self._http.stream("GET", self._url, params=query) as response:
                self._has_answered = True
                return self._answer(response, sent, deadline_s=deadline_s)
        except ApiError as error:
            failure = error
        except httpx.HTTPError as error:
            is_absent = isinstance(error, httpx.ConnectError) and not self._has_answered
            failure = NetworkError(self._no_answer(error), is_absent=is_absent)
        except (httpx.InvalidURL, UnicodeError) as error:
            failure = RequestError(f"The request cannot be sent to {self.base_url} ({type(error).__name__}).")
        except RuntimeError:
            # httpx's word for a client that another thread has closed since.
            if not self._http.is_closed:
                raise
            failure = closed()
        raise closed() if self._http.is_closed else self._with_facts(failure, response)

    def shown(self, text: str) -> str:
        """Make text of the endpoint's safe for a message; see `_refusals.shown`."""
        return shown(text, key=self._key)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _open(self, transport: httpx.BaseTransport | None, timeout_s: float) -> httpx.Client:
        headers = {
            "Accept": "application/json",
            "Accept-Encoding": "gzip",
            "Authorization": f"Bearer {self._key}",
            "User-Agent": f"auditframe/{__version__}",
        }
        try:
            return httpx.Client(
                headers=headers,
                timeout=timeout_s,
                transport=transport,
                follow_redirects=False,
                event_hooks={"response": [self._refuse_redirect]},
            )
        except (ValueError, OSError, ImportError, httpx.InvalidURL) as error:
            failure = RequestError(
                f"No connection can be prepared ({type(error).__name__}). Check HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, "
                "SSL_CERT_FILE and SSL_CERT_DIR in the environment."
            )
        raise failure

    def _answer(self, response: httpx.Response, sent: _Sent, *, deadline_s: float) -> Answer:
        date = parse_date(response.headers.get("date"))
        asked_at = sent.no_later_than(date)
        if response.status_code != 200:
            raise self._refusal(response, date, deadline_s=deadline_s)
        body = self._read(response, deadline_s)
        return Answer(
            body=body,
            page=parse_page(body),
            request_id=self._request_id(response),
            received_at=datetime.now(UTC),
            asked_at=asked_at,
            date=date,
            headers=self._names(response.headers),
        )

    def _refusal(self, response: httpx.Response, date: datetime | None, *, deadline_s: float) -> ApiError:
        # The endpoint's words about a refused key repeat a part of it.
        said = "" if response.status_code == 401 else self.shown(self._own_message(response, deadline_s))
        return error_for(
            response.status_code,
            said,
            request_id=self._request_id(response),
            retry_after_s=parse_retry_after(response.headers.get("retry-after"), now=date),
        )

    def _read(self, response: httpx.Response, deadline_s: float) -> bytes:
        # A transport in memory may hand over a body that is read and decoded already.
        if response.is_stream_consumed:
            return read_body([response.content], encoding="", deadline_s=deadline_s)
        encoding = self.shown(response.headers.get("content-encoding", ""))
        return read_body(response.iter_raw(), encoding=encoding, deadline_s=deadline_s)

    def _own_message(self, response: httpx.Response, deadline_s: float) -> str:
        try:
            return own_message(self._read(response, deadline_s))
        except (ApiError, httpx.HTTPError):
            return ""  # the status says enough

    def _refuse_redirect(self, response: httpx.Response) -> None:
        """Raise for a redirect before httpx reads where it leads, which fails for a broken address."""
        if 300 <= response.status_code < 400:
            raise redirect_error(
                response.status_code,
                self.shown(response.headers.get("location", "")),
                own_host=self._host,
                request_id=self._request_id(response),
            )

    def _request_id(self, response: httpx.Response) -> str | None:
        sent = response.headers.get("x-request-id")
        return self.shown(sent) if sent else None

    def _names(self, headers: httpx.Headers) -> tuple[tuple[str, str], ...]:
        """Return the names of headers, with the values of those about rates."""
        named = {name.lower(): value for name, value in headers.items()}
        return tuple(
            (self.shown(name), self.shown(named[name])[:80] if name.startswith(_ABOUT_RATES) else "")
            for name in sorted(named)
        )

    def _no_answer(self, error: httpx.HTTPError) -> str:
        what = self.shown(f"{type(error).__name__}: {error}").removesuffix(":").rstrip(".")
        return f"No whole answer from {self._host} ({what}). Check the network and the proxy, then run it again."

    def _with_facts(self, failure: ApiError, response: httpx.Response | None) -> ApiError:
        if response is not None and failure.status_code is None:
            failure.status_code = response.status_code
            failure.request_id = self._request_id(response)
        return failure


def _checked_key(key: str) -> str:
    stripped = key.strip()
    if not stripped:
        raise AuthError(f"There is no key. Create an admin key at {KEYS_PAGE} and set OPENAI_ADMIN_KEY.")
    if not _VISIBLE_ASCII.fullmatch(stripped):
        raise AuthError(
            "The key holds a blank, a control character or a letter outside ASCII, as no key does; it is not shown "
            f"here. Copy it again from {KEYS_PAGE} into OPENAI_ADMIN_KEY."
        )
    return stripped


def _checked_base(base_url: str) -> httpx.URL:
    try:
        url = httpx.URL(base_url.strip())
    except (httpx.InvalidURL, ValueError):
        url = httpx.URL()
    if url.scheme not in ("http", "https") or not url.host:
        raise RequestError("The base URL must be an http or https address, like https://api.openai.com/v1.")
    if url.userinfo or url.query or url.fragment:
        raise RequestError(
            f"The base URL of {url.host} holds a user name, a query or a fragment, which would displace the key or "
            "the filters. Leave it out."
        )
    return url.copy_with(query=None, fragment=None)
