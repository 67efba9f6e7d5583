"""Which way a walk goes through time, by what its pages show: nobody has specified it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from auditframe.errors import PageError

if TYPE_CHECKING:
    from auditframe.client._records import Fetched, Order

    Extent = tuple[float, float]


class Course:
    """The direction of one walk as known so far.

    A page that lies wholly before or after the page before it is a movement; times that overlap, or share
    a second, are none. A movement says more than the order of the events inside a page.
    """

    def __init__(self) -> None:
        self._hint: Order | None = None
        self._movement: Order | None = None
        self._extent: Extent | None = None

    @property
    def order(self) -> Order | None:
        """The direction; None while nothing shows it."""
        return self._movement or self._hint

    def take(self, fetched: Fetched) -> None:
        """Take the next page in.

        Raises:
            PageError: It moves against the movement of the pages before it.
        """
        known = [time for time in fetched.page.times if time is not None]
        if not known:
            return
        self._hint = self._hint or _order(known[0], known[-1])
        extent = min(known), max(known)
        movement = self._extent and _movement(self._extent, extent)
        if movement and self._movement and movement != self._movement:
            raise _turned(fetched, self._movement)
        self._movement = self._movement or movement
        self._extent = extent


def _order(earlier_seen: float, later_seen: float) -> Order | None:
    if earlier_seen == later_seen:
        return None
    return "newest_first" if earlier_seen > later_seen else "oldest_first"


def _movement(before: Extent, after: Extent) -> Order | None:
    if after[1] < before[0]:
        return "newest_first"
    return "oldest_first" if after[0] > before[1] else None


def _turned(fetched: Fetched, order: Order) -> PageError:
    was, now = ("older", "newer") if order == "newest_first" else ("newer", "older")
    return PageError(
        f"The endpoint changed its page order inside a walk: the pages went to {was} events, and after page "
        f"{fetched.number - 1} they go to {now} ones. The pages so far are whole, nothing is known about the rest. Run "
        "it again, or over a shorter window.",
        status_code=200,
        request_id=fetched.request_id,
    )
