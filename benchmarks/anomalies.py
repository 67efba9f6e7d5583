"""How well attacks on sign-ins are found, and how often nothing is cried over, beside what others do.

Every organization is made up and seeded: attacks of every size and an outage are labelled, and so are the traps. Each
method sees the same events, and `benchmarks/_matching.py` says once what counts as found. An organization-month is 30
days of one organization. Time to detect runs from an attack's first event; a missed attack lasts for ever. The report
is asked anew of what the log held after 10 minutes, 30 minutes, 1 hour and so on, and the first time at which it finds
the attack counts; each peer's time is when its own rule was met, or the end of its hour.

IsolationForest needs scikit-learn, which nothing else here does. To compare with it too, run this in an environment of
its own: ``pip install --require-hashes -r requirements/dev.lock -r requirements/peers.lock``.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import sys
from bisect import bisect_left
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import auditframe as af
from auditframe.flatten import flatten_events
from auditframe.reports import REGISTRY
from auditframe.sample import signins
from benchmarks import _peers
from benchmarks._matching import OUTAGE, Alarm, Judged, judge, matches, median

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from auditframe.lake import Events
    from auditframe.sample import Incident, SignIns

RESULTS = Path(__file__).parent / "results" / "anomalies.json"
OURS = "login_failure_anomalies"
DAYS = 60
SIZES = (30, 300, 30, 300, 3_000)
"""How many people the organizations have, in turn."""
HELD_OUT, QUIET = 5_000, 6_000
"""The first seed of the organizations under attack, and of those that are not; no other run looks at these."""
STEPS = tuple(timedelta(minutes=each) for each in (10, 30, 60, 120, 240, 480, 1_440, 2_880, 5_760, 11_520))
"""After how long the report is asked anew."""


def main() -> None:
    """Judge every method on every organization, print the table and write it down."""
    asked = _asked()
    print(_peers.missing() or "Every peer is installed.")
    methods = [name for name in (OURS, *_peers.METHODS) if _can(name) and (not asked.only or name in asked.only)]
    attacked = range(asked.seed, asked.seed + asked.organizations)
    quiet = range(asked.seed + QUIET - HELD_OUT, asked.seed + QUIET - HELD_OUT + asked.organizations)
    sizes = SIZES[:1] if asked.quick else SIZES
    worlds = [(seed, sizes[seed % len(sizes)], 1) for seed in attacked]
    worlds += [(seed, sizes[seed % len(sizes)], 0) for seed in quiet]
    judge_one = partial(_organization, methods=methods, is_explained=asked.explain)
    if asked.jobs == 1:
        tried = [row for world in worlds for row in judge_one(world)]
    else:
        with ProcessPoolExecutor(asked.jobs) as pool:
            tried = [row for rows in pool.map(judge_one, worlds) for row in rows]
    figures = [_figure(method, [row for row in tried if row["method"] == method]) for method in methods]
    _print(figures)
    if asked.seed == HELD_OUT and not asked.explain:
        _write(figures, attacked, quiet)


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a small run that proves only that the benchmark works")
    parser.add_argument("--organizations", type=int, default=50, help="how many under attack, and as many that are not")
    parser.add_argument("--seed", type=int, default=HELD_OUT, help="the first seed; others than the default are to try")
    parser.add_argument("--jobs", type=int, default=1, help="how many organizations at once")
    parser.add_argument("--only", nargs="+", metavar="METHOD", help="these methods alone")
    parser.add_argument("--explain", action="store_true", help="say what the report missed or cried over; time nothing")
    if "--quick" in sys.argv:
        parser.set_defaults(seed=0, organizations=1)
    return parser.parse_args()


def _can(method: str) -> bool:
    return method in REGISTRY if method == OURS else not (method.startswith("IsolationForest") and _peers.missing())


def _organization(which: tuple[int, int, int], methods: Sequence[str], *, is_explained: bool) -> list[dict[str, Any]]:
    """Let every method look at the organization of a seed, of so many people, under so many attacks; a row for each."""
    seed, people, attacks = which
    world = signins(seed=seed, people=people, days=DAYS, attacks=attacks)
    events = af.reports.as_events(flatten_events(world.events).events)
    tries = _peers.attempts(events)
    print(f"seed {seed}: {people} people, {len(tries)} attempts", file=sys.stderr, flush=True)
    rows = []
    for method in methods:
        judged = judge(_alarms(events) if method == OURS else _peers.METHODS[method](tries), world.incidents)
        if method == OURS and is_explained:
            _explain(seed, people, world, judged)
        elif method == OURS:
            judged = _timed(judged, events, world)
        delays = [(incident.kind, judged.delays_s[number]) for number, incident in enumerate(world.incidents)]
        counted = {"delays": delays, "true": judged.true, "false": len(judged.false)}
        rows.append({"method": method, "people": people, "is_attacked": attacks > 0, **counted})
    return rows


def _timed(judged: Judged, events: Events, world: SignIns) -> Judged:
    """Ask the report anew of each incident that it found, to learn how soon it did."""
    delays = {
        number: delay if math.isinf(delay) else _delay_s(events, world.incidents[number])
        for number, delay in judged.delays_s.items()
    }
    return Judged(delays, judged.true, judged.false)


def _alarms(events: Events) -> Iterator[Alarm]:
    for row in REGISTRY[OURS].arrow(events).to_pylist():
        start, end = int(row["start"].timestamp()), int(row["end"].timestamp())
        subject = f"{row['pattern']} {row['subject'] or 'organization'}"
        yield Alarm(subject, start, end, float(end), frozenset(row["event_ids"]))


def _delay_s(events: Events, incident: Incident) -> float:
    """Return the first of the steps after which the report finds an incident [s]; the last stands for later."""

    def is_found(step: timedelta) -> bool:
        answer = REGISTRY[OURS].arrow(events.window(end=incident.start + step))
        return any(matches(frozenset(ids or ()), incident) for ids in answer["event_ids"].to_pylist())

    return STEPS[min(bisect_left(STEPS, True, hi=len(STEPS) - 1, key=is_found), len(STEPS) - 1)].total_seconds()


def _figure(method: str, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Sum up how a method did over the organizations: overall, by kind of incident, by size."""
    attacked = [row for row in rows if row["is_attacked"]]
    quiet = [row for row in rows if not row["is_attacked"]]
    found: dict[str, list[float]] = {}
    for kind, delay in (each for row in attacked for each in row["delays"]):
        found.setdefault(kind, []).append(delay)
    return {
        "method": method,
        **_rates(attacked),
        "quiet_with_any": sum(row["false"] > 0 for row in quiet),
        "quiet_false_per_month": _per_month(quiet),
        "quiet_organizations": len(quiet),
        "kinds": {
            kind: {"incidents": len(delays), "recall": _recall(delays), "median_s": median(delays)}
            for kind, delays in sorted(found.items())
        },
        "sizes": {
            str(people): _rates([row for row in attacked if row["people"] == people])
            for people in sorted({row["people"] for row in attacked})
        },
    }


def _rates(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    delays = [delay for row in rows for kind, delay in row["delays"] if kind != OUTAGE]
    true, false = sum(row["true"] for row in rows), sum(row["false"] for row in rows)
    return {
        "organizations": len(rows),
        "attacks": len(delays),
        "recall": _recall(delays),
        "alarms": true + false,
        "precision": true / (true + false) if true + false else None,
        "false_per_month": _per_month(rows),
        "median_s": median(delays),
    }


def _recall(delays: Sequence[float]) -> float:
    return sum(math.isfinite(delay) for delay in delays) / len(delays) if delays else math.nan


def _per_month(rows: Sequence[dict[str, Any]]) -> float:
    false: int = sum(row["false"] for row in rows)
    return false / (len(rows) * DAYS / 30)


def _explain(seed: int, people: int, world: SignIns, judged: Judged) -> None:
    """Say what was missed, and of each false alarm which traps its events belong to."""
    for number, incident in enumerate(world.incidents):
        if math.isinf(judged.delays_s[number]):
            size = f"{len(incident.event_ids)} events in {incident.end - incident.start} from {incident.start:%F %T}"
            print(f"missed  seed {seed}, {people} people: {incident.kind} on {incident.subject}, {size}", flush=True)
    for alarm in judged.false:
        traps = Counter(trap.kind for trap in world.traps if alarm.event_ids.intersection(trap.event_ids))
        start, minutes = datetime.fromtimestamp(alarm.start, UTC), (alarm.end - alarm.start) / 60
        size = f"{len(alarm.event_ids)} events in {minutes:.0f} min from {start:%F %T}"
        print(f"false   seed {seed}, {people} people: {alarm.subject}, {size}; traps: {', '.join(traps)}", flush=True)


def _print(figures: Sequence[dict[str, Any]]) -> None:
    print(f"{'method':40}{'recall':>8}{'precision':>11}{'false/month':>13}{'to detect':>11}{'quiet with any':>16}")
    for each in figures:
        precision = "none" if each["precision"] is None else f"{each['precision']:.3f}"
        took = "never" if each["median_s"] is None else f"{each['median_s'] / 60:.0f} min"
        quiet = f"{each['quiet_with_any']} of {each['quiet_organizations']}"
        print(
            f"{each['method']:40}{each['recall']:>8.3f}{precision:>11}{each['false_per_month']:>13.2f}{took:>11}{quiet:>16}"
        )


def _write(figures: Sequence[dict[str, Any]], attacked: range, quiet: range) -> None:
    """Write the figures; those of methods that were not asked stay, if they are of the same organizations."""
    world = {
        "days": DAYS,
        "seeds_attacked": f"{attacked[0]} to {attacked[-1]}",
        "seeds_quiet": f"{quiet[0]} to {quiet[-1]}",
        "sizes": dict(Counter(str(SIZES[seed % len(SIZES)]) for seed in attacked)),
    }
    there = json.loads(RESULTS.read_text("utf-8")) if RESULTS.exists() else {}
    kept = there.get("figures", []) if {name: there.get(name) for name in world} == world else []
    stamp = {"measured_at": datetime.now(UTC).strftime("%F"), "software": _software()}
    by_method = {each["method"]: each for each in (*kept, *({**_rounded(figure), **stamp} for figure in figures))}
    in_order = [by_method[name] for name in (OURS, *_peers.METHODS) if name in by_method]
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({**world, "figures": in_order}, indent=2) + "\n", encoding="utf-8")


def _software() -> str:
    names = ["auditframe", "scipy", "pandas", *([] if _peers.missing() else ["scikit-learn"])]
    return ", ".join([*(f"{name} {version(name)}" for name in names), f"Python {platform.python_version()}"])


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(inner) for key, inner in value.items()}
    return round(value, 4) if isinstance(value, float) else value


if __name__ == "__main__":
    main()
