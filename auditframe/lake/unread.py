"""Unread: what nobody has read whole of the time that a question is asked about."""

from __future__ import annotations

import warnings
from datetime import datetime, timedelta  # msgspec reads the annotations
from typing import TYPE_CHECKING

import msgspec

from auditframe.errors import AuditFrameWarning
from auditframe.window import ALWAYS, Window, difference, union

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

FRESH = timedelta(days=2)
"""How far behind the present coverage may end before a question up to the present is told so: a snapshot a day reads on
in time, even if one of them fails."""

_SCOPE = "organization"  # the other one is not everybody's to read


class Stretch(msgspec.Struct, frozen=True):
    """A window as an entry writes it."""

    start: datetime | None
    end: datetime


class Pass(msgspec.Struct, frozen=True):
    """What an entry says of a pass over the endpoint: the windows that were read whole, and those that were not."""

    scope: str
    windows: list[Stretch]
    unread: list[Stretch] = msgspec.field(default_factory=list)


def unread(
    passes: Sequence[Pass], asked: Window, *, expired: Sequence[Window], is_empty: bool, now: datetime
) -> tuple[Window, ...]:
    """Return what nobody has read whole of the time that a question is asked about, oldest first.

    A side that is left open asks for no more than the lake is to hold: from where the first snapshot began to where
    coverage ends. Only where a start is given, coverage must reach it, and end no longer than `FRESH` ago. A lake that
    no snapshot wrote claims nothing; there, it is a window in which it has no partition.

    Args:
        passes: Every pass that the ledger tells of.
        asked: The window.
        expired: The windows whose events were removed for their age.
        is_empty: Whether the lake has no partition in the window.
        now: The present.
    """
    own = [each for each in passes if each.scope == _SCOPE]
    covered = union(_joined(window for each in own for window in each.windows))
    promised = union([*covered, *_joined(window for each in own for window in each.unread)])
    if not promised:
        return (asked,) if is_empty and asked != ALWAYS else ()
    first, last = promised[0].start, (covered or promised)[-1].end
    bounds = Window(_start(asked, first), _end(asked, last, now=now))
    return difference([bounds], [*covered, *expired])


def warn_of(unread: Sequence[Window], lake: Path, *, stacklevel: int) -> None:
    """Warn of what nobody has read of the time that a question is asked about, if there is any.

    Args:
        unread: What `unread` returned.
        lake: The lake's folder.
        stacklevel: Whose line is named: 2 is the caller's.
    """
    if not unread:
        return
    more = f" and {len(unread) - 1} more window(s)" if len(unread) > 1 else ""
    message = f"Nobody has read {unread[0]}{more} whole: no answer speaks of it. See: auditframe status --lake {lake}"
    warnings.warn(AuditFrameWarning(message), stacklevel=stacklevel)


def _start(asked: Window, first: datetime | None) -> datetime | None:
    is_before = first is not None and asked.end is not None and asked.end <= first
    return asked.start if asked.start is not None or is_before else first


def _end(asked: Window, last: datetime | None, *, now: datetime) -> datetime | None:
    if asked.end is not None and asked.end <= now:
        return asked.end
    is_behind = last is not None and asked.start is not None and last <= max(asked.start, now - FRESH)
    return asked.end if is_behind else last


def _joined(stretches: Iterable[Stretch]) -> Iterator[Window]:
    """Yield the same time in fewer windows: each snapshot goes on from the one before, and there are thousands."""
    held: Stretch | None = None
    for each in stretches:
        if held and (each.start is None or held.end < each.start or (held.start and each.start < held.start)):
            yield Window(held.start, held.end)
            held = each
        elif held is None or held.end < each.end:
            held = Stretch(held.start if held else each.start, each.end)
    if held:
        yield Window(held.start, held.end)
