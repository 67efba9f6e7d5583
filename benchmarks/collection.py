"""What collecting costs: windows side by side beside one after another, and our client beside the official SDK.

The endpoint is the emulator on the loopback interface. With a latency for each answer, the time that passes tells;
without, the processor time of the process that fetches, from the first request to a table.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import openai
import pandas as pd

import auditframe as af
from auditframe.emulator import Behaviour, Emulator, serve
from auditframe.sample import Sample, sample

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS = 5
KEY = "sk-admin-emulator"
RESULTS = Path(__file__).parent / "results"
END = "2026-11-01"


def main() -> None:
    """Snapshot the same organization with 1 and with 8 workers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a small run that proves only that the benchmark works")
    parser.add_argument("--fetch", nargs=2, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.fetch:
        client, url = asked.fetch
        print(json.dumps(_cpu_s(CLIENTS[client], url)))
        return
    is_quick = asked.quick
    events, days, latency_s = (500, 6, 0.01) if is_quick else (100_000, 365, 0.2)
    organization = sample(seed=7, events=events, days=days, end=END)
    cpu_us = _cpu_us_by_client(sample(seed=7, events=300 if is_quick else 20_000, days=30, end=END), is_quick=is_quick)
    took_s = {workers: _time_s(organization, workers, days=days, latency_s=latency_s) for workers in (8, 1)}
    facts = {
        "measured_at": datetime.now(UTC).strftime("%F"),
        "software": f"auditframe {af.__version__}, openai {openai.__version__}, Python {platform.python_version()}",
        "rounds": ROUNDS,
        "events": events,
        "days": days,
        "latency_s": latency_s,
        "workers_8_s": round(took_s[8], 1),
        "workers_1_s": round(took_s[1], 1),
        "ratio": round(took_s[1] / took_s[8], 2),
        "client_cpu_us": round(cpu_us["auditframe"], 1),
        "sdk_cpu_us": round(cpu_us["openai"], 1),
        "cpu_ratio": round(cpu_us["openai"] / cpu_us["auditframe"], 2),
    }
    for name, value in facts.items():
        print(f"{name:<14}{value}")
    if not is_quick:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / "collection.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")


def _cpu_us_by_client(organization: Sample, *, is_quick: bool) -> dict[str, float]:
    """Return the processor time an event that each client takes [us], the median of several processes in turn."""
    took: dict[str, list[float]] = {name: [] for name in CLIENTS}
    with serve(Emulator(organization.events)) as url:
        for _ in range(1 if is_quick else ROUNDS):
            for name in CLIENTS:
                command = [sys.executable, __file__, "--fetch", name, url]
                done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
                events, took_s = json.loads(done.stdout)
                took[name].append(1e6 * took_s / events)
    return {name: statistics.median(figures) for name, figures in took.items()}


def _cpu_s(fetch: Callable[[str], int], url: str) -> tuple[int, float]:
    """Fetch everything once, so that nothing is left to be imported, then again; return the events and the time [s]."""
    fetch(url)
    began = time.process_time()
    return fetch(url), time.process_time() - began


def _with_auditframe(url: str) -> int:
    with af.Client(KEY, base_url=url) as client:
        return len(af.load(client=client, scope="organization"))


def _with_the_sdk(url: str) -> int:
    with openai.OpenAI(admin_api_key=KEY, base_url=url) as client:
        listed = client.admin.organization.audit_logs.list(limit=100)
        return len(pd.json_normalize([event.to_dict() for event in listed]))


CLIENTS: dict[str, Callable[[str], int]] = {"auditframe": _with_auditframe, "openai": _with_the_sdk}


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
