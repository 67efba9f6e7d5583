"""How fast flattening is, beside what an analyst would write instead; every peer in one run, on the same bodies.

Prints medians and ratios. Absolute times are this machine's and mean little; the ratios are the result.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from typing import TYPE_CHECKING

import msgspec
import pandas as pd

from auditframe.flatten import flatten
from auditframe.sample import sample

if TYPE_CHECKING:
    from collections.abc import Callable

EVENTS_PER_PAGE = 100


def main() -> None:
    """Time each peer in turn, round after round, and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a small run that proves only that the benchmark works")
    quick = parser.parse_args().quick
    events, rounds = (1_000, 1) if quick else (50_000, 5)
    bodies = _bodies(events)
    took_s: dict[str, list[float]] = {name: [] for name in PEERS}
    for _ in range(rounds):
        for name, run in PEERS.items():
            took_s[name].append(_time_s(run, bodies))
    medians = {name: statistics.median(times) for name, times in took_s.items()}
    ours = medians["auditframe.flatten"]
    print(f"{events} events, {sum(map(len, bodies)) / 2**20:.1f} MiB of JSON, median of {rounds}")
    for name, median in medians.items():
        print(f"{name:28} {median:8.3f} s  {median / ours:6.2f} x auditframe.flatten")


def _bodies(events: int) -> list[bytes]:
    made = sample(seed=3, events=events, days=90).events
    pages = (made[start : start + EVENTS_PER_PAGE] for start in range(0, len(made), EVENTS_PER_PAGE))
    return [msgspec.json.encode({"object": "list", "data": page, "has_more": True}) for page in pages]


def _time_s(run: Callable[[list[bytes]], object], bodies: list[bytes]) -> float:
    started = time.perf_counter()
    run(bodies)
    return time.perf_counter() - started


def _json_normalize(bodies: list[bytes]) -> pd.DataFrame:
    return pd.json_normalize([event for body in bodies for event in json.loads(body)["data"]])


def _only_parse(bodies: list[bytes]) -> list[object]:
    return [msgspec.json.decode(body) for body in bodies]


PEERS: dict[str, Callable[[list[bytes]], object]] = {
    "auditframe.flatten": flatten,
    "pandas.json_normalize": _json_normalize,
    "msgspec, parsing alone": _only_parse,
}

if __name__ == "__main__":
    main()
