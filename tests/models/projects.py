"""Models of the reports on projects and their rate limits."""

from __future__ import annotations

from tests.models.reading import (
    DAY_US,
    Event,
    Row,
    actor_of,
    at_path,
    first,
    grouped,
    ids,
    instant_of,
    moment,
    only,
    until,
)

_SECOND_US = 1_000_000


def project_lifecycle(log: list[Event], *, as_of: str | None = None) -> list[Row]:
    """Return every project, with what became of it and what outlived it."""
    at = moment(as_of, log)
    seen = until(log, at)
    about = grouped((event for event in seen if event.area == "project"), lambda event: event.resource_id)
    inside = grouped(seen, lambda event: event.project_id)
    projects = [id_ for id_ in {*about, *inside} if id_ is not None]
    rows = [_project(id_, about.get(id_, []), inside.get(id_, []), seen, at) for id_ in projects]
    return sorted(
        rows, key=lambda row: (row["created_at"] is not None, row["created_at"] or row["project_id"], row["project_id"])
    )


def _project(id_: str, about: list[Event], inside: list[Event], seen: list[Event], at: int) -> Row:
    opened, archived, deleted = (
        next((event for event in about if event.type == f"project.{verb}"), None)
        for verb in ("created", "archived", "deleted")
    )
    titled = [event for event in about if _title(event) is not None]
    renamed = [event for event in titled if event.type == "project.updated"]
    ended = min((event for event in (archived, deleted) if event), key=lambda event: event.order, default=None)
    return {
        "project_id": id_,
        "title": _title(titled[-1]) if titled else only(event.project_name for event in inside),
        "created_at": instant_of(opened),
        "created_by": actor_of(opened),
        "renames": len(renamed),
        "renamed_at": instant_of(renamed[-1]) if renamed else None,
        "archived_at": instant_of(archived),
        "archived_by": actor_of(archived),
        "deleted_at": instant_of(deleted),
        "deleted_by": actor_of(deleted),
        "ended_at": instant_of(ended),
        "age_days": ((ended.at if ended else at) - opened.at) / DAY_US if opened else None,
        "events": len(inside),
        "keys_left": _left("api_key", inside, seen, ended),
        "service_accounts_left": _left("service_account", inside, seen, ended),
        "event_ids": ids(about),
    }


def _title(event: Event) -> str | None:
    return first(event.told("changes_requested", "title"), event.told("data", "title"), event.told("data", "name"))


def _left(area: str, inside: list[Event], seen: list[Event], ended: Event | None) -> list[str] | None:
    """Return what was in a project and is not known to be deleted by the second of its end; None if it is open."""
    if ended is None:
        return None
    known = {event.resource_id for event in inside if event.area == area}
    deleted = (event for event in seen if event.type == f"{area}.deleted")
    gone = {event.resource_id for event in deleted if event.at // _SECOND_US <= ended.at // _SECOND_US}
    return sorted(id_ for id_ in known - gone if id_ is not None)


_UNITS = {
    "batch_1_day_max_input_tokens": "tokens/day",
    "max_audio_megabytes_per_1_minute": "MB/min",
    "max_images_per_1_minute": "images/min",
    "max_requests_per_1_day": "requests/day",
    "max_requests_per_1_minute": "requests/min",
    "max_tokens_per_1_minute": "tokens/min",
}
LIMITS = tuple(_UNITS)

_Held = dict[str, tuple[int | None, Event]]
"""Of each limit its value, None for the default, and what set it."""


def rate_limit_changes(log: list[Event]) -> list[Row]:
    """Return each limit that was set, or went back to the default, with its value before."""
    held: dict[tuple[str, str | None], _Held] = {}
    rows: list[Row] = []
    for event in log:
        if event.type in ("rate_limit.updated", "rate_limit.deleted"):
            past = {} if event.resource_id is None else held.setdefault((event.resource_id, event.project_id), {})
            set_to = _defaults(past) if event.type == "rate_limit.deleted" else _asked(event)
            rows += [_limit(event, name, value, past) for name, value in set_to.items()]
            past |= {name: (value, event) for name, value in set_to.items()}
            if event.type == "rate_limit.deleted" and not set_to:
                rows.append(_limit(event, None, None, {}))
    return rows


def _asked(event: Event) -> dict[str, int | None]:
    values = {name: at_path(event.detail, "changes_requested", name) for name in LIMITS}
    return {name: value for name, value in values.items() if value is not None}


def _defaults(past: _Held) -> dict[str, int | None]:
    return {name: None for name in LIMITS if past.get(name, (None,))[0] is not None}


def _limit(event: Event, name: str | None, after: int | None, past: _Held) -> Row:
    before, setter = past.get(name or "", (None, None))
    return {
        "effective_at": instant_of(event),
        "project_id": event.project_id,
        "resource_id": event.resource_id,
        "field": name,
        "unit": _UNITS.get(name or ""),
        "before": before,
        "after": after,
        "factor": after / before if after is not None and before else None,
        "actor": event.actor,
        "event_id": event.id,
        "previous_event_id": setter.id if setter else None,
    }
