"""Incidents: windows of failed sign-ins that are significant and touch, told as one finding each."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from auditframe.catalogue import SEVERITIES
from auditframe.reports._columns import FINDING_COLUMNS, ReportColumn

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    Rows = Mapping[str, Sequence[dict[str, Any]]]
    Step = tuple[int, str]
    Subjects = defaultdict[str, list[dict[str, Any]]]

INCIDENT_COLUMNS = (
    ReportColumn(
        "pattern", "text", "What it looks like: burst, spray, stuffing, slow, success_after_failures or outage."
    ),
    ReportColumn("subject_type", "text", "What it is about: actor or ip; null for an outage."),
    ReportColumn("subject", "text", "The e-mail, or id where there is none, or the address; null for an outage."),
    ReportColumn("start", "instant", "When the first of its attempts failed, in UTC."),
    ReportColumn("end", "instant", "When the last of them failed, in UTC."),
    ReportColumn("failures", "integer", "How many attempts failed.", "events"),
    ReportColumn(
        "expected",
        "number",
        "How many failures were to be expected in the time of the most telling window; of stuffing how many addresses, "
        "of slow how many runs of failures, of a spray or an outage how many accounts.",
        "1",
    ),
    ReportColumn("actors", "integer", "How many accounts the attempts were on.", "actors"),
    ReportColumn("addresses", "integer", "How many addresses they came from, as far as they are named.", "addresses"),
    ReportColumn("p_value", "number", "How likely as much is by chance, in its most telling window; two digits.", "1"),
    ReportColumn("q_value", "number", "The least false discovery rate at which it is reported; two digits.", "1"),
    ReportColumn(
        "succeeded",
        "flag",
        "Whether a login from one of its unfamiliar addresses followed within a day; if all are familiar, from one of "
        "them within an hour.",
    ),
)
"""The columns of an incident beside those of every finding."""

_SCHEMA = pa.schema([column.field for column in (*FINDING_COLUMNS, *INCIDENT_COLUMNS)])
_SECOND = 1_000_000  # in microseconds
_TOUCH_S = 6 * 3_600
_SOON_S = 86_400
_SEVERITIES: Mapping[str, str] = {
    "burst": "medium",
    "slow": "medium",
    "stuffing": "high",
    "spray": "high",
    "success_after_failures": "high",
    "outage": "info",
}
_COUNTED: Mapping[str, tuple[str, str]] = {  # what is expected, one and more of them
    "burst": ("", ""),
    "success_after_failures": ("", ""),
    "slow": (" run of them", " runs of them"),
    "stuffing": (" address", " addresses"),
    "spray": (" account", " accounts"),
    "outage": (" account", " accounts"),
}


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of time that was tested.

    Attributes:
        pattern: What it was tested for.
        subject_type: ``actor`` or ``ip``; None for the whole organization.
        subject: Which.
        starts_s: The time of its first failure [Unix seconds].
        ends_s: The time of its last failure [Unix seconds].
        p_value: How likely so much or more is.
        expected: What was to be expected.
        q_value: The least false discovery rate at which it is reported.
    """

    pattern: str
    subject_type: str | None
    subject: str | None
    starts_s: float
    ends_s: float
    p_value: float = 1.0
    expected: float = 0.0
    q_value: float = 1.0


@dataclass(frozen=True, slots=True)
class Incident:
    """Windows of one subject that touch, with what happened in them.

    Attributes:
        named: The window with the smallest p-value, which names it.
        failures: The failures, each its time [Unix microseconds] and its id.
        answers: The logins that followed from its addresses, likewise.
        actors: The accounts.
        addresses: The addresses.
        is_foreign: Whether any failure came from an address that is not familiar.
    """

    named: Window
    failures: Sequence[Step]
    answers: Sequence[Step]
    actors: frozenset[str]
    addresses: frozenset[str]
    is_foreign: bool = True


def told_incidents(windows: Sequence[Window], rows: Rows, values: Mapping[str, Any]) -> pa.Table:
    """Merge significant windows into incidents, leave out what others explain, and say why each is one."""
    groups = gathered(windows)
    tries, entries = (_by_subject(rows[kind]) for kind in ("try", "entry"))
    sprays = [_spray(group, tries, entries) for group in groups if group[0].subject_type == "ip"]
    outages = [_outage(group, rows) for group in groups if group[0].subject_type is None]
    accounts = _accounts((group for group in groups if group[0].subject_type == "actor"), rows)
    told = [*outages, *sprays, *(each for each in accounts if not _is_left_by(each, sprays))]
    found = [_row(each, values["history_days"]) for each in told]
    return pa.Table.from_pylist(sorted(found, key=lambda row: (row["effective_at"], row["finding"])), schema=_SCHEMA)


def gathered(windows: Iterable[Window]) -> list[list[Window]]:
    """Put windows of one subject together that overlap or are less than six hours apart."""
    groups: list[list[Window]] = []
    end = 0.0
    for window in sorted(windows, key=lambda each: (str(each.subject_type), each.subject or "", each.starts_s)):
        last = groups[-1][0] if groups else None
        same = last is not None and (last.subject_type, last.subject) == (window.subject_type, window.subject)
        if same and window.starts_s - end < _TOUCH_S:
            groups[-1].append(window)
            end = max(end, window.ends_s)
        else:
            groups.append([window])
            end = window.ends_s
    return groups


def _by_subject(rows: Iterable[dict[str, Any]]) -> Subjects:
    found: Subjects = defaultdict(list)
    for row in rows:
        found[row["subject"]].append(row)
    return found


def _span(group: Sequence[Window]) -> tuple[float, float]:
    return min(window.starts_s for window in group), max(window.ends_s for window in group)


def _named(group: Sequence[Window]) -> Window:
    return min(group, key=lambda window: (window.p_value, -len(window.pattern)))


def _steps(rows: Iterable[dict[str, Any]]) -> list[Step]:
    """Return the events of rows in their order, each once."""
    return sorted({step for row in rows for step in row["attempts"]})


def _accounts(groups: Iterable[list[Window]], rows: Rows) -> Iterator[Incident]:
    runs, answers = _by_subject(rows["run"]), _by_subject(rows["answer"])
    for group in groups:
        named = _named(group)
        alone = {(window.starts_s, window.ends_s) for window in group if window.pattern not in {"slow", "stuffing"}}
        scanned = [window for window in group if window.pattern in {"slow", "stuffing"}]
        inside = [
            run
            for run in runs[str(named.subject)]
            if (run["starts_s"], run["ends_s"]) in alone
            or (run["numbers"][0] and any(_meet(run, window) for window in scanned))
        ]
        is_foreign = any(run["numbers"][0] for run in inside)
        # The owner's own failures may be among those of an attack; that the owner then gets in is no success of it.
        begun = {run["starts_s"] for run in inside if run["numbers"][0] or not is_foreign}
        followed = [row for row in answers[str(named.subject)] if row["starts_s"] in begun]
        yield Incident(
            named,
            _steps(inside),
            _steps(followed),
            frozenset({str(named.subject)}),
            frozenset(name for run in inside for name in run["names"] or ()),
            is_foreign=is_foreign,
        )


def _meet(row: dict[str, Any], window: Window) -> bool:
    return bool(row["starts_s"] <= window.ends_s and row["ends_s"] >= window.starts_s)


def _spray(group: Sequence[Window], tries: Subjects, entries: Subjects) -> Incident:
    named, (start, end) = _named(group), _span(group)
    address = str(named.subject)
    met = Window("spray", "ip", address, start, end)
    inside = [row for row in tries[address] if _meet(row, met)]
    logins = (step for row in entries[address] for step in row["attempts"])
    soon = [step for step in logins if start <= step[0] / _SECOND <= end + _SOON_S]
    actors = frozenset(name for row in inside for name in row["names"] or ())
    return Incident(named, _steps(inside), _steps([{"attempts": soon}]), actors, frozenset({address}))


def _outage(group: Sequence[Window], rows: Rows) -> Incident:
    spans = {(window.starts_s, window.ends_s) for window in group}
    inside, places = (
        [row for row in rows[kind] if (row["starts_s"], row["ends_s"] - 1) in spans] for kind in ("outage", "place")
    )
    actors = frozenset(name for row in inside for name in row["names"] or ())
    return Incident(_named(group), _steps(inside), (), actors, frozenset(row["subject"] for row in places))


def _is_left_by(account: Incident, sprays: Iterable[Incident]) -> bool:
    """Whether a spray explains an account's failures: they came from its address, and are about as many as others'."""
    first, last = account.failures[0][0], account.failures[-1][0]
    for spray in sprays:
        share = len(spray.failures) / max(len(spray.actors), 1)
        meets = first <= spray.failures[-1][0] and last >= spray.failures[0][0]
        if meets and account.addresses == spray.addresses and len(account.failures) <= 3 * share:
            return True
    return False


def _row(incident: Incident, history_days: int) -> dict[str, Any]:
    window, (start, first_id) = incident.named, incident.failures[0]
    return {
        "finding": f"login_failure_anomalies:{first_id}",
        "severity": _severity(incident),
        "effective_at": start,
        "actor": window.subject if window.subject_type == "actor" else None,
        "resource_id": None,
        "event_ids": [id_ for _, id_ in sorted({*incident.failures, *incident.answers})],
        "why": _why(incident, history_days),
        "pattern": window.pattern,
        "subject_type": window.subject_type,
        "subject": window.subject,
        "start": start,
        "end": incident.failures[-1][0],
        "failures": len(incident.failures),
        "expected": _rounded(window.expected),
        "actors": len(incident.actors),
        "addresses": len(incident.addresses),
        "p_value": _rounded(window.p_value),
        "q_value": _rounded(window.q_value),
        "succeeded": bool(incident.answers),
    }


def _rounded(value: float) -> float:
    """Keep two digits: no more of them mean anything."""
    return float(f"{value:.1e}")


def _severity(incident: Incident) -> str:
    """Return how severe an incident is: one step more when a login followed, and low when all of it is familiar."""
    severity = _SEVERITIES[incident.named.pattern] if incident.is_foreign else "low"
    return SEVERITIES[SEVERITIES.index(severity) + bool(incident.answers)]


def _why(incident: Incident, history_days: int) -> str:
    window = incident.named
    lasted = _lasted((incident.failures[-1][0] - incident.failures[0][0]) / _SECOND)
    failed = f"{_counted(len(incident.failures), 'failed login')} in {lasted}"
    places = _counted(len(incident.addresses), "address", "addresses")
    accounts = _counted(len(incident.actors), "account")
    told = {
        "ip": f"{failed} from {window.subject} on {accounts} that had never signed in from there",
        "actor": f"{failed} on {window.subject} from {places}",
        None: f"{failed} on {accounts} from {places}, mostly familiar ones: signing in did not work",
    }[window.subject_type]
    one, more = _COUNTED[window.pattern]
    expected = f"{window.expected:.1f}{more}" if window.expected >= 0.05 else f"less than 0.1{one}"
    since = "at other times" if window.subject_type is None else f"from the last {history_days} days"
    followed = {0: "", 1: " A login from there followed."}.get(
        len(incident.answers), f" {len(incident.answers)} logins from there followed."
    )
    return f"{told}; {expected} expected {since}.{followed}"


def _counted(number: int, one: str, more: str | None = None) -> str:
    return f"{number} {one if number == 1 else more or one + 's'}"


def _lasted(seconds: float) -> str:
    for unit_s, unit in ((2 * 86_400, "day"), (7_200, "hour")):
        if seconds >= unit_s:
            return _counted(round(seconds / (unit_s / 2)), unit)
    return _counted(int(seconds // 60) + 1, "minute")
