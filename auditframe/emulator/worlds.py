"""Endpoints drawn at random, for soaks: which quirks they have, and what goes wrong when."""

from __future__ import annotations

from email.utils import formatdate
from random import Random
from typing import get_args

from auditframe.emulator.behaviour import Behaviour, Fault, FaultKind, RateLimit

_MOST_FAULTS = 12
_LONGEST_HANG_S = 0.01
_PAST = (1_500_000_000, 1_600_000_000)  # [Unix seconds]; a date in a Retry-After never makes a soak wait


def random_behaviour(seed: int, *, requests: int) -> Behaviour:
    """Draw a behaviour that never makes a client wait for long, though not every one lets it reach the end.

    Args:
        seed: Which one; the same seed and number of requests give the same behaviour.
        requests: Faults strike requests below this number, and what happens once happens before it.
    """
    rng = Random(seed)  # noqa: S311 - reproducible, not secret
    return Behaviour(
        order=rng.choice(("newest_first", "oldest_first")),
        faults=_faults(rng, requests),
        null_ids=_one_in(4, rng),
        foreign_last_id=_one_in(4, rng),
        string_events=_one_in(4, rng),
        concatenated=_one_in(4, rng),
        tenant="forbidden" if _one_in(4, rng) else "allowed",
        rate_limit=_rate_limit(rng) if _one_in(6, rng) else None,
        revoked_after=rng.randint(0, requests) if _one_in(12, rng) else None,
        cursor_life=rng.randint(2, 40) if _one_in(6, rng) else None,
        clock_offset_s=rng.uniform(-3600.0, 3600.0) if _one_in(4, rng) else 0.0,
        turned_at=rng.randint(0, requests) if _one_in(20, rng) else None,
        ignores_window=_one_in(20, rng),
        overlapping_rows=rng.randint(1, 5) if _one_in(4, rng) else 0,
    )


def _one_in(cases: int, rng: Random) -> bool:
    return rng.randrange(cases) == 0


def _faults(rng: Random, requests: int) -> tuple[Fault, ...]:
    struck = rng.sample(range(requests), min(rng.randint(0, _MOST_FAULTS), requests))
    return tuple(_fault(rng, at) for at in sorted(struck))


def _fault(rng: Random, at: int) -> Fault:
    kind: FaultKind = rng.choice(get_args(FaultKind))
    match kind:
        case "status":
            return Fault(at, rng.choice((429, 500, 502, 503, 504)), _retry_after(rng))
        case "html":
            return Fault(at, rng.choice((200, 502)), _retry_after(rng), kind)
        case "hang":
            return Fault(at, kind=kind, seconds=rng.uniform(0.0, _LONGEST_HANG_S))
        case _:
            return Fault(at, kind=kind)


def _retry_after(rng: Random) -> str | None:
    date = formatdate(rng.randint(*_PAST), usegmt=True)
    return rng.choice((None, "0", "0.005", date))


def _rate_limit(rng: Random) -> RateLimit:
    """Draw a limit that is met now and then; one that is met all the time would make a client crawl."""
    return RateLimit(rng.uniform(500.0, 5000.0), rng.randint(10, 100), _retry_after(rng))
