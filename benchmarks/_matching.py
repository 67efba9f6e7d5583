"""Alarms of any method, and which of them are about an incident: one definition for all.

An alarm and an incident match when most of the alarm's failures belong to the incident, or when the alarm holds most of
the incident's events. Whom the alarm names does not matter. Alarms that one method raises on one subject less than an
hour apart are one alarm.
"""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from auditframe.sample import Incident

OUTAGE = "outage"
APART_S = 3_600


@dataclass(frozen=True, slots=True)
class Alarm:
    """What a method raised.

    Attributes:
        subject: What it is about: an account, an address, the organization.
        start: When the first of its events happened [Unix seconds].
        end: When the last of them happened [Unix seconds].
        known_at: When it could be raised first [Unix seconds].
        event_ids: The events that it rests on.
    """

    subject: str
    start: int
    end: int
    known_at: float
    event_ids: frozenset[str]


@dataclass(frozen=True, slots=True)
class Judged:
    """How a method did on one organization.

    Attributes:
        delays_s: For each incident by its number, after how long it was known [s]; infinite when it was missed.
        true: How many alarms match an incident.
        false: The alarms that match none.
    """

    delays_s: Mapping[int, float]
    true: int
    false: tuple[Alarm, ...]


def merged(alarms: Iterable[Alarm]) -> Iterator[Alarm]:
    """Make one of the alarms on one subject that are less than an hour apart."""
    waiting: Alarm | None = None
    for alarm in sorted(alarms, key=lambda alarm: (alarm.subject, alarm.start, alarm.end)):
        if waiting and alarm.subject == waiting.subject and alarm.start - waiting.end < APART_S:
            alarm = _joined(waiting, alarm)
        elif waiting:
            yield waiting
        waiting = alarm
    if waiting:
        yield waiting


def matches(event_ids: frozenset[str], incident: Incident) -> bool:
    """Whether an alarm that rests on these events is about an incident."""
    shared = len(event_ids.intersection(incident.event_ids))
    return 2 * shared > len(event_ids) or 2 * shared > len(incident.event_ids)


def judge(alarms: Iterable[Alarm], incidents: Sequence[Incident]) -> Judged:
    """Say which incidents were found and which alarms are about none."""
    delays, true, false = dict.fromkeys(range(len(incidents)), math.inf), 0, []
    for alarm in merged(alarms):
        found = [number for number, incident in enumerate(incidents) if matches(alarm.event_ids, incident)]
        for number in found:
            began = incidents[number].start.timestamp()
            delays[number] = min(delays[number], max(alarm.known_at - began, 0.0))
        true += bool(found)
        false += [] if found else [alarm]
    return Judged(delays, true, tuple(false))


def median(delays_s: Sequence[float]) -> float | None:
    """Return the median delay, where a miss lasts for ever [s]; None when half or more are missed."""
    middle = statistics.median_low(delays_s) if delays_s else math.inf
    return None if math.isinf(middle) else middle


def _joined(one: Alarm, other: Alarm) -> Alarm:
    ids = one.event_ids | other.event_ids
    return Alarm(one.subject, one.start, max(one.end, other.end), min(one.known_at, other.known_at), ids)
