"""The endpoint as an iterator of pages: filters, cursors, retries. It knows no Arrow and writes nothing."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Self, get_args

from auditframe.client._http import Endpoint
from auditframe.client._pace import Pace
from auditframe.client._pager import walk
from auditframe.client._records import (
    EVERYTHING,
    LIMITS,
    PATIENT,
    Fetched,
    Filters,
    Order,
    Query,
    Retry,
    Scope,
    is_sendable,
)
from auditframe.client._retry import with_retries
from auditframe.errors import PageError, RequestError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import httpx

    from auditframe.pages import Page

__all__ = ["BASE_URL", "Client", "Fetched", "Filters", "Order", "Retry", "Scope"]

BASE_URL = "https://api.openai.com/v1"


class Client:
    """The connections to the audit log of one organization; it may be shared by threads.

    Args:
        api_key: An admin key; OPENAI_ADMIN_KEY when None.
        base_url: Where the endpoint is; OPENAI_BASE_URL, or else the public one, when None.
        transport: What carries the requests; a network connection, through the proxies that the
            environment names, when None.
        retry: How long to stay with one page that does not come.
        timeout_s: How long to wait for a connection, or for the next piece of an answer [s].

    Raises:
        AuthError: There is no key, or it cannot be one.
        RequestError: The base URL or the environment's proxy settings cannot be used.
    """

    def __init__(
        self,
        api_key: str | None = None,
        *,
        base_url: str | None = None,
        transport: httpx.BaseTransport | None = None,
        retry: Retry = PATIENT,
        timeout_s: float = 60.0,
    ) -> None:
        self._retry = retry
        self._pace = Pace(retry)
        self._endpoint = Endpoint(
            os.environ.get("OPENAI_ADMIN_KEY", "") if api_key is None else api_key,
            (os.environ.get("OPENAI_BASE_URL", "").strip() or BASE_URL) if base_url is None else base_url,
            transport=transport,
            timeout_s=timeout_s,
        )

    def __repr__(self) -> str:
        return f"Client(base_url={self._endpoint.base_url!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; requests that wait for their turn, in other threads too, end with an error."""
        self._pace.close()
        self._endpoint.close()

    def fetch_pages(  # noqa: PLR0913 - keywords that each stand for a part of one question
        self,
        *,
        scope: Scope = "organization",
        filters: Filters = EVERYTHING,
        limit: int = 100,
        after: str | None = None,
        before: str | None = None,
        resume: Sequence[str] = (),
    ) -> Iterator[Fetched]:
        """Fetch every page that the filters match, one after another.

        Args:
            scope: Which of the endpoint's two passes.
            filters: Which events.
            limit: Events a page, 1 to 100.
            after: Begin after the event with this id, in the endpoint's order.
            before: End before the event with this id; without `after`, walk backwards from it.
            resume: The `next_cursors` of a page of an earlier walk, to go on after it. Where the
                endpoint refuses them all, the walk starts at its beginning, and `cursor` of its first page is None.

        Returns:
            An iterator of pages in the endpoint's order, which nobody has specified. It ends only
            where the endpoint says that nothing follows; every other end raises, and the pages
            that came before it are whole.

        Raises:
            ApiError: A page could not be fetched, or the paging makes no progress or turns round in time.
        """
        query = _checked_query(scope, filters, limit)
        _check_cursors(after, before)
        _check_resume(resume, is_alone=after is None and before is None)
        backward = after is None and before is not None
        if after is not None and before is not None:
            query = (*query, ("before", before))
        name = "before" if backward else "after"

        def read(cursor: str | None, *, number: int, is_stalled: Callable[[Page], bool]) -> Fetched:
            asked = query if cursor is None else (*query, (name, cursor))
            return self._fetch(asked, cursor=cursor, number=number, is_stalled=is_stalled)

        starts = (*resume, before if backward else after)
        return walk(read, starts=starts, backward=backward, shown=self._endpoint.shown)

    def _fetch(self, query: Query, *, cursor: str | None, number: int, is_stalled: Callable[[Page], bool]) -> Fetched:
        deadline_s = time.monotonic() + self._retry.timeout_s

        def attempt() -> Fetched:
            answer = self._endpoint.get_page(query, deadline_s=deadline_s)
            if is_stalled(answer.page):
                raise _stalled(number, answer.request_id)
            return Fetched(
                body=answer.body,
                page=answer.page,
                number=number,
                cursor=cursor,
                request_id=answer.request_id,
                received_at=answer.received_at,
                asked_at=answer.asked_at,
                date=answer.date,
                headers=answer.headers,
            )

        return with_retries(self._retry, attempt, pace=self._pace, deadline_s=deadline_s)


def _checked_query(scope: Scope, filters: Filters, limit: int) -> Query:
    if scope not in get_args(Scope):
        raise RequestError(f"The scope must be one of {', '.join(get_args(Scope))}.")
    if not isinstance(limit, int) or limit not in LIMITS:
        raise RequestError(f"The limit must be a whole number from {LIMITS[0]} to {LIMITS[-1]}: {limit!r} is not.")
    tenant = (("tenant_only", "true"),) if scope == "tenant" else ()
    return (*filters.query(), *tenant, ("limit", str(limit)))


def _check_cursors(after: str | None, before: str | None) -> None:
    for name, cursor in (("after", after), ("before", before)):
        if cursor is not None and not is_sendable(cursor):
            raise RequestError(f"{name} must be the id of an event, or None; it is empty or no text.")


def _check_resume(cursors: Sequence[str], *, is_alone: bool) -> None:
    if isinstance(cursors, str) or not all(map(is_sendable, cursors)):
        raise RequestError("resume must be a sequence of cursors, like a page's next_cursors; it is something else.")
    if cursors and not is_alone:
        raise RequestError("resume says where a walk goes on, so it goes without after and before.")


def _stalled(number: int, request_id: str | None) -> PageError:
    return PageError(
        f"Page {number} came empty, yet the endpoint says that more follows and gives no new cursor. What came before "
        "it is whole; nothing is known about the rest. Run it again later.",
        status_code=200,
        request_id=request_id,
        retryable=True,
    )
