"""How long auditframe takes before it does anything: each command as a process of its own, beside Python alone."""

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

import auditframe as af
from auditframe.flatten import flatten_events
from auditframe.sample import sample

RESULTS = Path(__file__).parent / "results" / "startup.json"
ROUNDS = 15
EVENTS = 2_000


def main() -> None:
    """Time each command, round after round, print the medians and write them down."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a small run that proves only that the benchmark works")
    is_quick = parser.parse_args().quick
    with tempfile.TemporaryDirectory() as folder:
        lake = af.Lake(Path(folder) / "lake")
        lake.append(flatten_events(sample(seed=7, events=EVENTS, days=30, end="2026-11-01").events))
        auditframe = [sys.executable, "-m", "auditframe"]
        commands = {
            "python": [sys.executable, "-c", ""],
            "import auditframe": [sys.executable, "-c", "import auditframe"],
            "auditframe --help": [*auditframe, "--help"],
            "auditframe report": [*auditframe, "report", "events_per_actor", "--lake", str(lake.path)],
        }
        took_s: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(1 if is_quick else ROUNDS):
            for name, command in commands.items():
                took_s[name].append(_time_s(command))
    figures = {name: round(1000 * statistics.median(times)) for name, times in took_s.items()}
    for name, took_ms in figures.items():
        print(f"{name:<20}{took_ms:>6} ms{took_ms - figures['python']:>6} ms more than Python alone")
    if not is_quick:
        facts = {
            "measured_at": datetime.now(UTC).strftime("%F"),
            "software": f"auditframe {af.__version__}, Python {platform.python_version()}",
            "rounds": ROUNDS,
            "events": EVENTS,
            "took_ms": figures,
        }
        RESULTS.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")


def _time_s(command: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, capture_output=True, check=True)  # noqa: S603 - our own command
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
