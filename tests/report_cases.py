"""The cases of reports: events, parameters, and an expected answer that was worked out by hand."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auditframe.flatten import Flattened, flatten_events
from auditframe.lake import Lake
from auditframe.lake.records import Collected, Span

if TYPE_CHECKING:
    import pyarrow as pa

    from auditframe.reports import Report

CASES = Path(__file__).parent / "cases"
SEEN_AT = "2026-02-01T00:00:00Z"


@dataclass(frozen=True)
class Asked:
    """A case of a report; its lake is made, and asked, when a test first looks at it, and changed by none.

    Attributes:
        report: The report.
        case: The case; see `cases_of`.
        folder: Where the lake and the files of the case are.
    """

    report: Report[Any]
    case: dict[str, Any]
    folder: Path

    @cached_property
    def parameters(self) -> dict[str, Any]:
        """What the report is asked with."""
        return parameters_of(self.case, self.folder)

    @cached_property
    def lake(self) -> Lake:
        """The events, as they arrived."""
        return lake_of(self.case, self.folder / "lake")

    @cached_property
    def answer(self) -> pa.Table:
        """What the report answers about the lake."""
        return self.report.arrow(self.lake, **self.parameters)


def cases_of(name: str) -> list[dict[str, Any]]:
    """Read a report's cases.

    A case has ``claim``, ``parameters``, ``expected`` and either ``events`` or ``arrivals``: a list of events that were
    first seen together, at ``seen_at``; an arrival that has ``collected`` is a snapshot instead of an import, and its
    ``scope`` is the organization's unless it says so. ``files`` holds texts by name; a parameter of the value
    ``file:NAME`` gets the path of one. ``collected`` lists windows that a snapshot read whole. ``lake_only`` says that
    the answer needs a ledger or a quarantine, so that only a lake and its path can give it.
    """
    path = CASES / f"{name}.json"
    cases: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    return cases


def flat(events: list[dict[str, Any]], *, seen_at: str = SEEN_AT, scope: str = "organization") -> Flattened:
    return flatten_events(events, scope=scope, seen_at=datetime.fromisoformat(seen_at))


def arrivals_of(case: dict[str, Any]) -> list[dict[str, Any]]:
    arrivals: list[dict[str, Any]] = case.get("arrivals") or [{"seen_at": SEEN_AT, "events": case["events"]}]
    return arrivals


def events_of(case: dict[str, Any]) -> list[dict[str, Any]]:
    return [event for arrival in arrivals_of(case) for event in arrival["events"]]


def torn_events(case: dict[str, Any]) -> list[dict[str, Any]]:
    """Put halves of surrogate pairs, beside what looks like one, into every payload of the tenant's."""
    events = [dict(event) for event in events_of(case)]
    for event in events:
        payload = event.get(event["type"])
        if event["type"].startswith("tenant.") and isinstance(payload, dict):
            event[event["type"]] = {"\ud800": "\udfff \\ud800 \\", **payload, "z": ["\U0001f600", "\\\udc00"]}
    return events


def lake_of(case: dict[str, Any], path: Path) -> Lake:
    lake = Lake(path)
    for arrival in arrivals_of(case):
        arriving = flat(arrival["events"], seen_at=arrival["seen_at"], scope=arrival.get("scope", "organization"))
        _take(lake, arriving, arrival.get("collected", []))
    if case.get("collected"):
        _take(lake, flat([]), case["collected"])
    return lake


def _take(lake: Lake, arriving: Flattened, windows: list[dict[str, Any]]) -> None:
    with lake.writer() as writer:
        writer.add(arriving)
        writer.commit("snapshot" if windows else "import", [_collected(**each) for each in windows])


def _collected(scope: str, start: str, end: str, status: Any = "complete") -> Collected:
    window = Span(start=datetime.fromisoformat(start), end=datetime.fromisoformat(end))
    return Collected(scope=scope, status=status, windows=[window], pages=1, first_request_id=None, last_request_id=None)


def parameters_of(case: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return the parameters of a case, its files written into a folder."""
    for name, text in case.get("files", {}).items():
        (folder / name).write_text(text, encoding="utf-8")
    given: dict[str, Any] = case["parameters"]
    return {
        name: str(folder / value.removeprefix("file:")) if str(value).startswith("file:") else value
        for name, value in given.items()
    }
