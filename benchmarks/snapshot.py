"""What a snapshot of many events takes: time, processor time, and the peak of memory.

The endpoint is another process, answers at once and never fails; each snapshot is a process of its own.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import platform
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import auditframe as af
from auditframe.window import DAY, midnight
from benchmarks._big_log import write_logs
from benchmarks._memory import peak_mib

if TYPE_CHECKING:
    from collections.abc import Iterator

RESULTS = Path(__file__).parent / "results"
SIZES = (100_000, 1_000_000, 10_000_000)
QUICK_SIZES = (2_000,)
EVENTS_A_DAY = 27_400  # ten million are a year
PERIOD_DAYS = 1
KEY = "sk-admin-emulator"


def main() -> None:
    """Snapshot logs of several sizes, print the figures and write them down."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a small run that proves only that the benchmark works")
    parser.add_argument("--collect", nargs=4, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.collect:
        print(json.dumps(_collect(*asked.collect)))
        return
    figures = [_of_size(events) for events in (QUICK_SIZES if asked.quick else SIZES)]
    print(f"{'events':>12}{'time [s]':>10}{'CPU [s]':>10}{'CPU, an event [us]':>20}{'peak [MiB]':>12}")
    for each in figures:
        cpu_us = 1e6 * each["took_cpu_s"] / each["events"]
        print(
            f"{each['events']:>12,}{each['took_s']:>10.1f}{each['took_cpu_s']:>10.1f}{cpu_us:>20.0f}"
            f"{each['peak_mib']:>12.0f}"
        )
    if not asked.quick:
        _write(figures)


def _of_size(events: int) -> dict[str, Any]:
    end = midnight(datetime.now(UTC))
    start = end - timedelta(days=events / EVENTS_A_DAY) - DAY
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        log = folder / "log.jsonl"
        write_logs([log], sizes=[events], period_days=PERIOD_DAYS, events_a_day=EVENTS_A_DAY, end=end)
        with _serving(log) as url:
            place = [url, str(folder / "lake"), start.isoformat(), end.isoformat()]
            command = [sys.executable, __file__, "--collect", *place]
            done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["events"] == events, found  # noqa: S101 - else something else is measured
    return found


@contextlib.contextmanager
def _serving(log: Path) -> Iterator[str]:
    command = [sys.executable, str(Path(__file__).with_name("_endpoint.py")), str(log)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:  # noqa: S603
        try:
            assert server.stdout is not None  # noqa: S101 - it is a pipe
            yield server.stdout.readline().strip()
        finally:
            server.kill()


def _collect(url: str, lake: str, start: str, end: str) -> dict[str, float]:
    began, began_cpu = time.perf_counter(), time.process_time()
    with af.Client(KEY, base_url=url) as client:
        result = af.snapshot(af.Lake(lake), client, start=start, end=end)
    took_s, took_cpu_s = time.perf_counter() - began, time.process_time() - began_cpu
    return {
        "events": result.new,
        "took_s": round(took_s, 2),
        "took_cpu_s": round(took_cpu_s, 2),
        "peak_mib": round(peak_mib(), 1),
    }


def _write(figures: list[dict[str, Any]]) -> None:
    facts = {
        "measured_at": datetime.now(UTC).strftime("%F"),
        "software": f"auditframe {af.__version__}, Python {platform.python_version()}",
        "events_a_day": EVENTS_A_DAY,
        "figures": figures,
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "snapshot.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
