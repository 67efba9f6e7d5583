"""A seeded, made-up organization over time: events as the endpoint returns them, with labelled incidents.

Nobody and nothing in it exists: addresses come from the documentation ranges, e-mail addresses stand
under example.com and example.org. The same seed gives the same bytes on every Python version.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

from auditframe.errors import AuditFrameError
from auditframe.sample.dice import Dice
from auditframe.sample.incidents import Incident, Storyline, labels, storylines
from auditframe.sample.people import Cast, gather
from auditframe.sample.plans import Plan, event_id, in_other_case
from auditframe.sample.signins import signins
from auditframe.sample.story import allowlists, everyday, lives, one_of_each
from auditframe.sample.written import Sample, SignIns, in_order, to_jsonl, write
from auditframe.window import parse_instant

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from auditframe.window import Instant

__all__ = ["Incident", "Sample", "SignIns", "sample", "signins", "to_jsonl"]

_DAY_S = 86_400
_WHOLE_STORY = 1_000  # fewer events than this hold no incidents and no doubled events


def sample(*, seed: int = 7, events: int = 20_000, days: int = 90, end: Instant = "2026-11-01") -> Sample:
    """Make up an organization and what it did.

    Args:
        seed: Which organization.
        events: How many events; from 1,000 on incidents occur, from 2,000 on every known type does.
        days: How long before `end` the events begin [days].
        end: The end of the window; every event is before it.

    Returns:
        Exactly `events` events in ``[end - days, end)``, and the labels of the incidents.

    Raises:
        AuditFrameError: Less than one event or one day is asked for.
        WindowError: `end` cannot be read.
    """
    if events < 1 or days < 1:
        raise AuditFrameError(f"A sample needs at least one event and one day; asked for {events} and {days}.")
    dice, end_s = Dice(seed), int(parse_instant(end).timestamp())
    cast = gather(dice, size=min(max(events // 200, 24), 400), start=end_s - days * _DAY_S, end=end_s)
    planted = _planted(dice, cast, events)
    twins = events // 400 if events >= _WHOLE_STORY else 0
    plans = _plans(dice, cast, planted, events - twins)
    written = write(dice, cast, plans)
    return Sample(in_order([*written, *_twins(dice, written, twins)]), labels(planted))


def _planted(dice: Dice, cast: Cast, events: int) -> list[Storyline]:
    rounds = min(1 + events // 10_000, 12) if events >= _WHOLE_STORY else 0
    return list(storylines(dice, cast, rounds=rounds))


def _plans(dice: Dice, cast: Cast, planted: Iterable[Storyline], count: int) -> list[Plan]:
    """Plan exactly `count` events: the incidents, then the story in at most half of them, then everyday life."""
    plans = [plan for storyline in planted for plan in storyline.plans]
    told = [*one_of_each(dice, cast), *allowlists(dice, cast), *lives(dice, cast)]
    plans += _at_most(dice, list(_inside(cast, told)), count // 2)
    plans += islice(_inside(cast, everyday(dice, cast)), count - len(plans))
    return sorted(plans, key=lambda plan: (plan.at, plan.id))


def _inside(cast: Cast, plans: Iterable[Plan]) -> Iterator[Plan]:
    return (plan for plan in plans if cast.start <= plan.at < cast.end)


def _at_most(dice: Dice, plans: list[Plan], count: int) -> list[Plan]:
    """Drop plans by chance until `count` are left."""
    while len(plans) > count:
        plans.pop(dice.below(len(plans)))
    return plans


def _twins(dice: Dice, events: list[dict[str, Any]], count: int) -> Iterator[dict[str, Any]]:
    """Repeat events of keys under another id; the first pair's ids differ in nothing but case."""
    by_machines = [event for event in events if not (event.get("actor") or {}).get("session")]
    for number in range(count):
        event = by_machines.pop(dice.below(len(by_machines)))
        yield {**event, "id": event_id(dice, event["effective_at"]) if number else in_other_case(event["id"])}
