"""Walk from page to page, with proof that each one brings the walk forward."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Protocol, TypeGuard

from auditframe.client._order import Course
from auditframe.client._records import is_sendable
from auditframe.errors import PageError, RequestError
from auditframe.fingerprints import Fingerprints

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from auditframe.client._records import Fetched
    from auditframe.pages import Page

MAX_EMPTY_PAGES = 1000

_REFUSED_CURSOR = (400, 404)


class Read(Protocol):
    """Fetch the page at a cursor; a page that `is_stalled` is fetched again within the retries."""

    def __call__(self, cursor: str | None, *, number: int, is_stalled: Callable[[Page], bool]) -> Fetched: ...


def walk(read: Read, *, starts: Sequence[str | None], backward: bool, shown: Callable[[str], str]) -> Iterator[Fetched]:
    """Fetch page after page until the endpoint says that nothing follows.

    Args:
        read: Fetches one page.
        starts: The first cursor, None for the first page of all; where one is refused, the next is tried.
        backward: Whether cursors go out as `before`, so that a page's first row leads on.
        shown: Makes a cursor safe for a message.

    Yields:
        Each page once, in the order of the walk; the last one `is_last`.

    Raises:
        PageError: The paging makes no progress: a cursor comes again, or no page that leads on to an event
            not seen before can be had; or the pages turn round in time.
        ApiError: A page could not be fetched.
    """
    fetched, trail = _first(read, starts, backward=backward)
    course = Course()
    trail.is_forward(fetched)
    yield (fetched := _placed(fetched, trail, course))
    while not fetched.is_last:
        yield (fetched := _placed(_next(fetched, read, trail, shown=shown), trail, course))


def _first(read: Read, starts: Sequence[str | None], *, backward: bool) -> tuple[Fetched, _Trail]:
    for start in starts[:-1]:
        trail = _Trail(start, backward=backward)
        try:
            return read(start, number=0, is_stalled=trail.is_stalled), trail
        except RequestError as error:
            if error.status_code not in _REFUSED_CURSOR:
                raise
    trail = _Trail(starts[-1], backward=backward)
    return read(starts[-1], number=0, is_stalled=trail.is_stalled), trail


def _placed(fetched: Fetched, trail: _Trail, course: Course) -> Fetched:
    """Say of a page where it leads and which way the walk goes."""
    course.take(fetched)
    next_cursors = () if fetched.is_last else trail.candidates(fetched.page)
    return replace(fetched, next_cursors=next_cursors, order=course.order)


def _next(last: Fetched, read: Read, trail: _Trail, *, shown: Callable[[str], str]) -> Fetched:
    tried: list[str] = []
    for cursor in last.next_cursors:
        trail.cursors.add(cursor)
        try:
            fetched = read(cursor, number=last.number + 1, is_stalled=trail.is_stalled)
        except RequestError as error:
            if error.status_code not in _REFUSED_CURSOR:
                raise
            tried.append(f"{_named(cursor, shown)} was refused with {error.status_code}")
            continue
        if trail.is_forward(fetched):
            return fetched
        tried.append(f"{_named(cursor, shown)} brought {len(fetched.page.events)} events and leads back to known ones")
    raise _no_progress(last, tried, cursor=_named(last.cursor, shown))


class _Trail:
    """What a walk has seen: every event, by its id or, where it has none, by its text, and every cursor it sent."""

    def __init__(self, start: str | None, *, backward: bool) -> None:
        self.cursors = {start} if start else set()
        self._seen = Fingerprints()
        self._backward = backward
        self._empty_pages = 0
        self._edge: str | bytes | None = None

    def candidates(self, page: Page) -> tuple[str, ...]:
        """Return the cursors that may lead on, best first.

        The id of the outermost row is the documented cursor and cannot skip an event. The
        envelope's id comes second, since it need not be any row's; then the outermost id that any
        row has, which can only go back over rows already seen.
        """
        ids = page.ids if self._backward else page.ids[::-1]
        envelope = page.first_id if self._backward else page.last_id
        ordered = dict.fromkeys((*ids[:1], envelope, next(filter(None, ids), None)))
        return tuple(filter(self._is_new_cursor, ordered))

    def _is_new_cursor(self, cursor: str | None) -> TypeGuard[str]:
        return is_sendable(cursor) and cursor not in self.cursors

    def is_stalled(self, page: Page) -> bool:
        """Whether a page is empty, promises more and gives no new cursor to get it."""
        return not page.events and page.has_more is True and not self.candidates(page)

    def is_forward(self, fetched: Fetched) -> bool:
        """Take a page in if it brings the walk forward; say whether it does."""
        identities = [id_ or event for id_, event in zip(fetched.page.ids, fetched.page.events, strict=True)]
        self._empty_pages = 0 if identities else self._empty_pages + 1
        if not identities:
            return fetched.is_last or self._empty_pages <= MAX_EMPTY_PAGES
        edge, before = identities[0 if self._backward else -1], self._edge
        # A page may begin with rows that are known. One that ends with such a row has turned round, whatever else it
        # holds, unless it is the last one and only repeats what came before its cursor.
        if self._seen.may_hold([edge]) and not (fetched.is_last and edge == before):
            return False
        self._seen.add(identities)
        self._edge = edge
        return True


def _no_progress(last: Fetched, tried: list[str], *, cursor: str) -> PageError:
    seen = f"cursor {cursor}, {len(last.page.events)} events, has_more {last.page.has_more}"
    attempts = "; ".join(tried) or "it gives no cursor that was not used before"
    return PageError(
        f"Paging makes no progress after page {last.number} ({seen}): {attempts}. The pages so far are whole, nothing "
        "is known about the rest. Run it again, or over a shorter window.",
        request_id=last.request_id,
        status_code=200,
    )


def _named(cursor: str | None, shown: Callable[[str], str]) -> str:
    return "none" if cursor is None else repr(shown(cursor)[:80])
