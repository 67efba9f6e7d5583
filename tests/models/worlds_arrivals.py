"""Visits to an endpoint that tells late, tells again, and tells otherwise than before; drawn at random."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from tests.models.arrivals import ALL_TIME, HOUR, Stretch, Visit

if TYPE_CHECKING:
    from random import Random

_T0 = datetime(2026, 1, 1, tzinfo=UTC)
_HOURS = 96
_QUARTER = timedelta(minutes=15)
_SCOPES = ("organization", "tenant")
_ACTORS: tuple[dict[str, Any] | None, ...] = (
    None,
    {"type": "session", "session": {"user": {"id": "user-a", "email": "Ada@example.com"}}},
    {"type": "session", "session": {"user": {"id": "user-b"}, "ip_address": "192.0.2.1"}},
    {"type": "api_key", "api_key": {"id": "key-c", "type": "user"}},
)
_PAYLOADS: tuple[tuple[str, dict[str, Any] | None], ...] = (
    ("login.succeeded", None),
    ("api_key.created", {"id": "key-x", "data": {"scopes": ["all"]}}),
    ("rate_limit.updated", {"id": "rl-y", "changes_requested": {"max_requests_per_1_minute": 10}}),
    ("tenant.user.added", {"id": "t-z", "anything": {}}),
    ("nobody.listed_it", {"id": "n-1", "half": 1.5}),
)


def visits(dice: Random) -> list[Visit]:
    """Draw visits; an id may come again in any of them, as it was or otherwise."""
    pool = [_event(dice, number) for number in range(dice.randint(4, 12))]
    return [_visit(dice, pool) for _ in range(dice.randint(2, 5))]


def window(dice: Random) -> Stretch:
    """Draw a window to ask for; every second time none."""
    return ALL_TIME if dice.random() < 0.5 else _stretch(dice, open_end=dice.random() < 0.3)


def _visit(dice: Random, pool: list[dict[str, Any]]) -> Visit:
    is_snapshot = dice.random() < 0.7
    told = [dice.choice(pool) for _ in range(dice.randint(0, 8))]
    whole = [(dice.choice(_SCOPES), _stretch(dice)) for _ in range(dice.choice((0, 1, 1, 2, 3)) if is_snapshot else 0)]
    return Visit(
        seen_at=_T0 + 6 * HOUR * dice.randrange(_HOURS // 6 + 4),
        scope=dice.choice(_SCOPES if is_snapshot else (*_SCOPES, None)),
        texts=tuple(_text(dice, event) for event in told),
        is_snapshot=is_snapshot,
        whole=tuple(whole),
    )


def _stretch(dice: Random, *, open_end: bool = False) -> Stretch:
    first, last = sorted(dice.sample(range(0, _HOURS, 6), 2))
    start = None if dice.random() < 0.2 else _T0 + first * HOUR
    return start, None if open_end and start else _T0 + last * HOUR


def _event(dice: Random, number: int) -> dict[str, Any]:
    type_, payload = dice.choice(_PAYLOADS)
    at = _T0 + dice.choice((6 * HOUR * dice.randrange(_HOURS // 6), _QUARTER * dice.randrange(4 * _HOURS)))
    event = {"id": f"e{number}", "type": type_, "effective_at": int(at.timestamp())}
    actor = dice.choice(_ACTORS)
    return event | ({"actor": actor} if actor else {}) | ({type_: payload} if payload else {})


def _text(dice: Random, event: dict[str, Any]) -> str:
    """Write an event as it is, or one time in three in another way or with another meaning."""
    told = json.loads(json.dumps(event))
    match dice.randrange(24):
        case 0:
            return json.dumps(told, indent=1)
        case 1:
            told = dict(reversed(told.items()))
        case 2:
            told["new"] = dice.choice((None, {}, {"a": {"b": 1}}, [1]))
        case 3:
            told.pop("actor", None)
        case 4:
            told["effective_at"] += dice.choice((1, 3600, 86_400))
        case 5:
            del told["type"]
        case 6:
            told["effective_at"] = float(told["effective_at"])
        case 7:
            told["type"] = "logout.succeeded"
        case 8 if isinstance(told.get(told["type"]), dict):
            told[told["type"]]["id"] = {"nested": "id"}
        case _:
            pass
    return json.dumps(told, separators=(",", ":"))
