"""The measured figures of how well attacks on sign-ins are found, as text."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from docs._pages import ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

RESULTS = ROOT / "benchmarks" / "results" / "anomalies.json"


def anomaly_tables() -> str:
    """Give the last measurement: every method, then the report by kind of incident and by size of organization."""
    facts = json.loads(RESULTS.read_text("utf-8"))
    ours, *peers = facts["figures"]
    sizes = ", ".join(f"{count} of {int(people):,} people" for people, count in facts["sizes"].items())
    lead = (
        f"{ours['organizations']} made-up organizations ({sizes}) over {facts['days']} days each, seeds "
        f"{facts['seeds_attacked']}, with {ours['attacks']} attacks and {ours['kinds']['outage']['incidents']} outages "
        f"among the traps; and as many in which nothing is to be found, seeds {facts['seeds_quiet']}. The report was "
        f"measured on {ours['measured_at']} with {ours['software']}; the others on {peers[0]['measured_at']} with "
        f"{peers[0]['software']}."
    )
    return "\n\n".join([lead, _methods(facts["figures"]), _kinds(ours), _sizes(ours)])


def _methods(figures: Sequence[Mapping[str, Any]]) -> str:
    head = ("method", "recall", "precision", "false alarms a month", "time to detect", "quiet, with any alarm")
    rows = [
        (
            _code(each["method"]),
            _share(each["recall"]),
            _share(each["precision"]),
            f"{each['false_per_month']:,.2f}",
            _time(each["median_s"]),
            f"{each['quiet_with_any']} of {each['quiet_organizations']}",
        )
        for each in figures
    ]
    return _table(head, rows)


def _kinds(ours: Mapping[str, Any]) -> str:
    head = ("incident", "how many", "recall", "time to detect")
    rows = [
        (f"`{kind}`", str(each["incidents"]), _share(each["recall"]), _time(each["median_s"]))
        for kind, each in ours["kinds"].items()
    ]
    return _table(head, rows)


def _sizes(ours: Mapping[str, Any]) -> str:
    head = ("people", "organizations", "recall", "precision", "false alarms a month", "time to detect")
    rows = [
        (
            f"{int(people):,}",
            str(each["organizations"]),
            _share(each["recall"]),
            _share(each["precision"]),
            f"{each['false_per_month']:.2f}",
            _time(each["median_s"]),
        )
        for people, each in ours["sizes"].items()
    ]
    return _table(head, rows)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Write a table whose columns but the first hold numbers."""
    marks = ["---", *["--:"] * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, marks, *rows))


def _code(method: str) -> str:
    return f"`{method}`" if method.isidentifier() else method


def _share(value: float | None) -> str:
    return "none raised" if value is None else f"{value:.3f}"


def _time(seconds: float | None) -> str:
    if seconds is None:
        return "never"
    return f"{seconds / 60:.0f} min" if seconds < 2 * 3_600 else f"{seconds / 3_600:.1f} h"
