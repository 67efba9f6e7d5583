"""Models of the reports on how much was done, when, where and of what kind."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from tests.models.reading import CATALOGUE, Event, Row, grouped, how_many, instant, nulls_last, only

if TYPE_CHECKING:
    from collections.abc import Sequence

_WEEK = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def ends(events: Sequence[Event]) -> Row:
    """Return the ids of the first and the last of events in time order, if there are any."""
    return {
        "first_event_id": events[0].id if events else None,
        "last_event_id": events[-1].id if events else None,
    }


def span(events: Sequence[Event]) -> Row:
    """Return when events in time order began and ended, and which do."""
    return {"first_at": instant(events[0].at), "last_at": instant(events[-1].at), **ends(events)}


def events_per_actor(log: list[Event]) -> list[Row]:
    """Return what each actor did, the busiest first."""
    rows = [
        {
            "actor": actor,
            "actor_kind": only(event.actor_kind for event in caused) if actor is not None else None,
            "actor_id": only(event.actor_id for event in caused),
            "events": len(caused),
            "types": how_many(event.type for event in caused),
            "addresses": how_many(event.ip_address for event in caused),
            **span(caused),
        }
        for actor, caused in grouped(log, lambda event: event.account).items()
    ]
    return sorted(rows, key=lambda row: (-row["events"], nulls_last(row["actor"])))


def events_per_day(log: list[Event]) -> list[Row]:
    """Return what happened on each day from the first to the last, in UTC."""
    by_day = grouped(log, lambda event: instant(event.at).date())
    days = [min(by_day) + timedelta(days=number) for number in range((max(by_day) - min(by_day)).days + 1)]
    return [
        {
            "day": day,
            "events": len(by_day.get(day, ())),
            "actors": how_many(event.account for event in by_day.get(day, ())),
            **ends(by_day.get(day, ())),
        }
        for day in days
    ]


def events_per_type(log: list[Event]) -> list[Row]:
    """Return what happened of each type, the most frequent first."""
    rows = [
        {
            "type": type_,
            "effect": events[0].effect,
            "severity": CATALOGUE[type_]["severity"] if type_ in CATALOGUE else None,
            "documented": type_ in CATALOGUE and CATALOGUE[type_]["documented"] == "true",
            "events": len(events),
            "actors": how_many(event.account for event in events),
            **span(events),
        }
        for type_, events in grouped(log, lambda event: event.type).items()
    ]
    return sorted(rows, key=lambda row: (-row["events"], row["type"]))


def events_per_project(log: list[Event]) -> list[Row]:
    """Return what happened in each project, the busiest first."""
    rows = [
        {
            "project_id": project_id,
            "project_name": _last_name(events) if project_id is not None else None,
            "events": len(events),
            "actors": how_many(event.account for event in events),
            "types": how_many(event.type for event in events),
            **span(events),
        }
        for project_id, events in grouped(log, lambda event: event.project_id).items()
    ]
    return sorted(rows, key=lambda row: (-row["events"], nulls_last(row["project_id"])))


def _last_name(events: Sequence[Event]) -> str | None:
    return next((event.project_name for event in reversed(events) if event.project_name is not None), None)


def activity_heatmap(log: list[Event], *, zone: str = "UTC") -> list[Row]:
    """Return what happened at each hour of the week in a zone."""

    def hour_of_week(event: Event) -> tuple[int, int]:
        local = instant(event.at).astimezone(ZoneInfo(zone))
        return local.weekday(), local.hour

    by_hour = grouped(log, hour_of_week)
    return [
        {
            "day_of_week": name,
            "hour": hour,
            "events": len(by_hour.get((day, hour), ())),
            **ends(by_hour.get((day, hour), ())),
        }
        for day, name in enumerate(_WEEK)
        for hour in range(24)
    ]


def actor_timeline(log: list[Event], *, actor: str | None = None) -> list[Row]:
    """Return what everybody, or one actor, did, with the time since that actor's event before."""
    rows, last = [], dict[str, int]()
    for event in log:
        if actor is None or actor.lower() == event.mailbox or actor in (event.actor_id, event.actor_key):
            before = last.get(event.account) if event.account is not None else None
            rows.append(
                {
                    "actor": event.account,
                    "effective_at": instant(event.at),
                    "gap_s": None if before is None else (event.at - before) / 1_000_000,
                    "type": event.type,
                    "effect": event.effect,
                    "resource_id": event.resource_id,
                    "project_id": event.project_id,
                    "ip_address": event.ip_address,
                    "ip_country": event.country,
                    "actor_api_key_id": event.actor_key,
                    "event_id": event.id,
                }
            )
            if event.account is not None:
                last[event.account] = event.at
    return rows
