"""How much faster windows side by side are than one after another, at an endpoint that takes its time to answer.

Prints medians and the ratio; the endpoint is the emulator on the loopback interface, with a latency for each answer.
"""

from __future__ import annotations

import argparse
import json
import platform
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import auditframe as af
from auditframe.emulator import Behaviour, Emulator, serve
from auditframe.sample import Sample, sample

KEY = "sk-admin-emulator"
RESULTS = Path(__file__).parent / "results"
END = "2026-11-01"


def main() -> None:
    """Snapshot the same organization with 1 and with 8 workers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a small run that proves only that the benchmark works")
    is_quick = parser.parse_args().quick
    events, days, latency_s = (500, 6, 0.01) if is_quick else (100_000, 365, 0.2)
    organization = sample(seed=7, events=events, days=days, end=END)
    took_s = {workers: _time_s(organization, workers, days=days, latency_s=latency_s) for workers in (8, 1)}
    facts = {
        "measured_at": datetime.now(UTC).strftime("%F"),
        "software": f"auditframe {af.__version__}, Python {platform.python_version()}",
        "events": events,
        "days": days,
        "latency_s": latency_s,
        "workers_8_s": round(took_s[8], 1),
        "workers_1_s": round(took_s[1], 1),
        "ratio": round(took_s[1] / took_s[8], 2),
    }
    for name, value in facts.items():
        print(f"{name:<14}{value}")
    if not is_quick:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / "collection.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")


def _time_s(organization: Sample, workers: int, *, days: int, latency_s: float) -> float:
    emulator = Emulator(organization.events, behaviour=Behaviour(latency_s=latency_s))
    start = datetime.fromisoformat(END).replace(tzinfo=UTC).timestamp() - days * 86_400
    with tempfile.TemporaryDirectory() as folder, serve(emulator) as url, af.Client(KEY, base_url=url) as client:
        lake, began = af.Lake(folder), time.perf_counter()
        result = af.snapshot(lake, client, start=datetime.fromtimestamp(start, UTC), end=END, workers=workers)
        took_s = time.perf_counter() - began
    print(f"{workers} worker(s): {result.new} events, {result.pages} pages, {took_s:.1f} s")
    return took_s


if __name__ == "__main__":
    main()
