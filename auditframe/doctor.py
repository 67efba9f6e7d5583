"""Doctor: which of key, scope, logging, network, clock or lake is the trouble, and how the live endpoint behaves."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from auditframe.client import Filters, Retry
from auditframe.coverage import missing, shortcomings
from auditframe.errors import ApiError, AuditFrameError, AuthError, NetworkError
from auditframe.lake import Lake
from auditframe.window import Window

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from auditframe.client import Client, Fetched, Scope

Verdict = Literal["ok", "trouble", "unknown"]

BRIEF = Retry(attempts=2, timeout_s=30.0)
"""How patient a client is that only looks."""

CLOCK_OFF = timedelta(seconds=5)
"""How far the local clock may be from the endpoint's."""

LEAST_FREE = 1 << 30
"""How much room a lake's disk should have [B]."""

_SECOND = timedelta(seconds=1)
_CENTURY = timedelta(days=36_500)


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found.

    Attributes:
        check: What was looked at.
        verdict: Whether it is the trouble; ``unknown`` when an earlier trouble hides it.
        seen: What was seen, as a sentence.
        advice: What to do, as a sentence; "" when nothing.
    """

    check: str
    verdict: Verdict
    seen: str
    advice: str = ""


def examine(connect: Callable[[], Client], lake: str | Path | None = None) -> tuple[Finding, ...]:
    """Look at everything that a snapshot needs, with one request a scope at most.

    Args:
        connect: Makes the client; one that is not patient, see `BRIEF`.
        lake: The folder of the lake to look at; None for none.

    Returns:
        A finding for each check, in the order in which a trouble hides the next.
    """
    return (*_examine_endpoint(connect), *(() if lake is None else (_look_at(lake),)))


def _examine_endpoint(connect: Callable[[], Client]) -> Iterator[Finding]:
    try:
        client = connect()
    except ApiError as error:
        check = "key" if isinstance(error, AuthError) else "network"
        yield Finding(check, "trouble", str(error), "Correct it, then run this again.")
        yield from _hidden(*(name for name in ("key", "network", "scope", "logging", "clock") if name != check))
        return
    with client:
        yield from _examine_answers(client)


def _examine_answers(client: Client) -> Iterator[Finding]:
    try:
        first = _ask(client, "organization")
    except ApiError as error:
        yield from _refused(error)
        return
    yield Finding("network", "ok", "The endpoint answers.")
    yield Finding("key", "ok", "The endpoint accepts the key.")
    tenant, said = _ask_tenant(client)
    yield Finding("scope", "ok", f"The key may read the organization's audit log. {said}")
    yield _logging(first, tenant)
    yield _clock(first)


def _refused(error: ApiError) -> Iterator[Finding]:
    """Say of a first request that failed whose fault it is."""
    if not isinstance(error, AuthError):
        advice = (
            "Check the name, the proxy and the firewall between here and the endpoint."
            if isinstance(error, NetworkError)
            else "Check OPENAI_BASE_URL, or try again later."
        )
        yield Finding("network", "trouble", str(error), advice)
        yield from _hidden("key", "scope", "logging", "clock")
        return
    yield Finding("network", "ok", "The endpoint answers.")
    if error.status_code == 403:
        yield Finding("key", "ok", "The endpoint knows the key.")
        advice = "Give the key the permission, or take an owner's admin key."
        yield Finding("scope", "trouble", str(error), advice)
        yield from _hidden("logging", "clock")
    else:
        yield Finding("key", "trouble", str(error), "Set OPENAI_ADMIN_KEY to an admin key that is not revoked.")
        yield from _hidden("scope", "logging", "clock")


def _ask(client: Client, scope: Scope) -> Fetched:
    return next(client.fetch_pages(scope=scope, limit=1))


def _ask_tenant(client: Client) -> tuple[Fetched | None, str]:
    try:
        return _ask(client, "tenant"), "It may read the tenant's, too."
    except AuthError as error:
        return None, f"It may not read the tenant's ({error.status_code}); snapshots record that and go on."
    except ApiError as error:
        return None, f"Whether it may read the tenant's could not be told: {error}"


def _logging(organization: Fetched, tenant: Fetched | None) -> Finding:
    if organization.page.events or (tenant and tenant.page.events):
        return Finding("logging", "ok", "There are events.")
    return Finding(
        "logging",
        "trouble",
        "The log holds no event at all.",
        "An owner has to activate audit logging in the organization's settings (data controls); only what happens "
        "after that is logged.",
    )


def _clock(fetched: Fetched) -> Finding:
    if fetched.date is None:
        return Finding("clock", "unknown", "The endpoint sent no date to compare the clock with.")
    ahead_s = (fetched.received_at - fetched.date) / _SECOND
    if abs(ahead_s) <= CLOCK_OFF / _SECOND:
        return Finding("clock", "ok", f"The clock here and the endpoint's agree within {CLOCK_OFF / _SECOND:.0f} s.")
    way = "ahead of" if ahead_s > 0 else "behind"
    seen = f"The clock here is {abs(ahead_s):,.0f} s {way} the endpoint's."
    return Finding("clock", "trouble", seen, "Let the system keep its time by NTP; coverage claims less until then.")


def _look_at(path: str | Path) -> Finding:
    try:
        return _lake_trouble(Lake(path)) or Finding("lake", "ok", f"{path} can be read and written. See also: verify.")
    except AuditFrameError as error:
        return Finding("lake", "trouble", str(error), "Read its files again: auditframe verify")
    except OSError as error:
        return Finding("lake", "trouble", f"{path}: {error.strerror}.", "Check owner and mode of the folder.")


def _lake_trouble(lake: Lake) -> Finding | None:
    folder = next(path for path in (lake.path, *lake.path.absolute().parents) if path.exists())
    if not os.access(folder, os.W_OK | os.X_OK):
        return Finding("lake", "trouble", f"{folder} cannot be written.", "Check owner and mode of the folder.")
    free = shutil.disk_usage(folder).free
    if free < LEAST_FREE:
        return Finding("lake", "trouble", f"The disk of {folder} has {free >> 20} MiB left.", "Make room.")
    if not lake.exists():
        return Finding("lake", "ok", f"There is no lake at {lake.path} yet; the first snapshot makes it.")
    entries = lake.ledger()
    if absent := missing(lake, entries):
        return Finding("lake", "trouble", " ".join(absent), "Restore it from a backup.")
    wrong = shortcomings(entries, now=datetime.now(UTC))
    advice = "Read what is missing: auditframe snapshot --start TIME --end TIME"
    return Finding("lake", "trouble", " ".join(wrong), advice) if wrong else None


def _hidden(*checks: str) -> Iterator[Finding]:
    for check in checks:
        yield Finding(check, "unknown", "It cannot be told before the trouble above is gone.")


PROBES = 10
"""How many requests `probe` sends at most, retries not counted."""


def probe(client: Client) -> dict[str, Any]:
    """Record how the endpoint behaves where its documentation is silent; it only reads.

    Args:
        client: The endpoint.

    Returns:
        Facts by name: no key, no event and no id of one. What the log cannot show is null; a request that was
        refused is its status.

    Raises:
        ApiError: The first page cannot be had.
    """
    pages = client.fetch_pages(limit=10)
    first = next(pages)
    second = None if first.is_last else _tried(lambda: next(pages))
    listing = _listing(first, second)
    facts = {
        "asked_at": first.asked_at,
        "order": getattr(second, "order", None) or first.order,
        "rows_for_limit_10": len(first.page.events),
        "has_more_is_sent": first.page.has_more is not None,
        "last_id_is_last_row": first.page.last_id == first.page.ids[-1] if first.page.ids else None,
        "rows_repeated_on_page_2": _shared(first, second),
        "headers": dict(first.headers),
        "unknown_cursor": _status(client, after="audit_log-of-nobody"),
        "empty_window": _empty_window(client),
    }
    return facts | (_about_rows(client, listing) if len(listing) > 4 else {})


def _about_rows(client: Client, listing: list[tuple[str, float]]) -> dict[str, Any]:
    """Record what only events can show; nothing about filters where a time is none in seconds of this age."""
    middle, second = listing[len(listing) // 2]
    until, since, later = _around(second) or (None, None, None)
    return {
        "before": _before(client, listing),
        "gte_includes_its_second": since and _holds(client, since, middle),
        "lt_excludes_its_second": until and _excludes(client, until, middle),
        "cursor_outside_the_filter": later and _status(client, after=middle, filters=Filters(window=later)),
    }


def _around(second: float) -> tuple[Window, Window, Window] | None:
    """Return the second before a time, its own and what is later; None where no calendar holds it."""
    try:
        at = datetime.fromtimestamp(int(second), UTC)
        return Window(at - _SECOND, at), Window(at, at + _SECOND), Window(at + _SECOND, at + _CENTURY)
    except (ValueError, OverflowError, OSError):
        return None


def _before(client: Client, listing: list[tuple[str, float]]) -> object:
    """Say which events a page before an event holds: those next to it, or the first of the listing."""
    ids = [id_ for id_, _ in listing]
    found = _tried(lambda: next(client.fetch_pages(before=ids[4], limit=2)))
    if isinstance(found, int) or found is None:
        return found
    came = list(found.page.ids)
    known = {"next to it": ids[2:4], "next to it, turned round": ids[3:1:-1], "first of the listing": ids[:2]}
    return next((what for what, expected in known.items() if came == expected), "others")


def _holds(client: Client, window: Window, id_: str) -> object:
    found = _tried(lambda: next(client.fetch_pages(filters=Filters(window=window))))
    return found if isinstance(found, int) or found is None else id_ in found.page.ids


def _excludes(client: Client, window: Window, id_: str) -> object:
    held = _holds(client, window, id_)
    return not held if isinstance(held, bool) else held


def _empty_window(client: Client) -> object:
    window = Window(datetime(2001, 1, 1, tzinfo=UTC), datetime(2001, 1, 2, tzinfo=UTC))
    found = _tried(lambda: next(client.fetch_pages(filters=Filters(window=window))))
    if isinstance(found, int) or found is None:
        return found
    has_ids = found.page.first_id is not None or found.page.last_id is not None
    return {"events": len(found.page.events), "has_more": found.page.has_more, "has_ids": has_ids}


def _status(client: Client, **asked: Any) -> object:
    found = _tried(lambda: next(client.fetch_pages(limit=1, **asked)))
    return 200 if found is not None and not isinstance(found, int) else found


def _tried(fetch: Callable[[], Fetched]) -> Fetched | int | None:
    """Return a page; of a refusal its status."""
    try:
        return fetch()
    except ApiError as error:
        return error.status_code


def _listing(*pages: Fetched | int | None) -> list[tuple[str, float]]:
    """Return the id and time of each event of some pages, in the endpoint's order."""
    fetched = [page for page in pages if page is not None and not isinstance(page, int)]
    pairs = [pair for page in fetched for pair in zip(page.page.ids, page.page.times, strict=True)]
    return [(id_, time) for id_, time in dict(pairs).items() if id_ is not None and time is not None]


def _shared(first: Fetched, second: Fetched | int | None) -> int | None:
    return None if second is None or isinstance(second, int) else len({*first.page.ids} & {*second.page.ids})
