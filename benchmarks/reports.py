"""What each report costs on a large lake, beside the bare aggregation over the columns that it reads.

Prints for each report the median time, its ratio to the bare aggregation, and the peak memory of a process that does
nothing else. Absolute times are this machine's; the ratios are the result.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import duckdb

import auditframe as af
from auditframe.reports import REGISTRY
from benchmarks._big_lake import make

if TYPE_CHECKING:
    from collections.abc import Callable

    from auditframe.reports import Report

RESULTS = Path(__file__).parent / "results"
ROUNDS = 3


def main() -> None:
    """Make the lake, ask every report in a process of its own, print the table and write it down."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a small run that proves only that the benchmark works")
    parser.add_argument("--events", type=int, default=10_000_000, help="how many events the lake has")
    parser.add_argument("--lake", type=Path, help="a folder to keep the lake in, or one that holds it already")
    parser.add_argument("--only", nargs="*", help="these reports alone")
    parser.add_argument("--ask", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.ask:
        print(json.dumps(_ask(REGISTRY[asked.ask], asked.lake, rounds=1 if asked.quick else ROUNDS)))
        return
    names = asked.only or (["events_per_day", "api_keys"] if asked.quick else list(REGISTRY))
    with tempfile.TemporaryDirectory() as folder:
        lake = asked.lake or Path(folder) / "lake"
        if not lake.exists():
            make(lake, events=20_000 if asked.quick else asked.events)
        events = int(af.Lake(lake).sql("SELECT count(*) AS events FROM events")["events"][0])
        figures = [_in_its_own_process(name, lake, is_quick=asked.quick) for name in names]
    print(f"{events:,} events, median of {1 if asked.quick else ROUNDS}")
    print(f"{'report':28}{'rows':>9}{'time [s]':>10}{'bare [s]':>10}{'ratio':>8}{'week [s]':>10}{'peak [MiB]':>12}")
    for each in figures:
        print(
            f"{each['report']:28}{each['rows']:>9}{each['took_s']:>10.2f}{each['bare_s']:>10.2f}"
            f"{each['took_s'] / each['bare_s']:>8.2f}{each['week_s']:>10.2f}{each['peak_mib']:>12.0f}"
        )
    if not asked.quick and not asked.only:
        _write(events, figures)


def _in_its_own_process(name: str, lake: Path, *, is_quick: bool) -> dict[str, Any]:
    command = [sys.executable, __file__, "--ask", name, "--lake", str(lake), *(["--quick"] if is_quick else [])]
    done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 - our own command
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _ask(report: Report[Any], path: Path, *, rounds: int) -> dict[str, Any]:
    """Ask once for the peak of memory, then in turn with the bare aggregation."""
    lake = af.Lake(path)
    rows = report.arrow(lake).num_rows
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    last: datetime = lake.arrow("SELECT max(effective_at) AS last_at FROM events")["last_at"][0].as_py()
    week = lake.window(last.date().isoformat(), None) if rounds == 1 else lake.window("2026-10-19", "2026-10-26")
    took: dict[str, list[float]] = {"took_s": [], "bare_s": [], "week_s": []}
    for _ in range(rounds):
        took["took_s"].append(_time_s(lambda: report.arrow(lake)))
        took["bare_s"].append(_time_s(lambda: _bare(report, path)))
        took["week_s"].append(_time_s(lambda: report.arrow(week)))
    medians = {name: statistics.median(times) for name, times in took.items()}
    return {"report": report.name, "rows": rows, "peak_mib": peak_mib, **medians}


def _bare(report: Report[Any], path: Path) -> None:
    """Read the columns that a report reads, whole, into the cheapest aggregate."""
    columns = ", ".join(f"max({name})" for name in report.reads or ("id",))
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.sql(f"SELECT {columns} FROM read_parquet('{path}/events/**/*.parquet')").fetchnumpy()  # noqa: S608


def _time_s(run: Callable[[], object]) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def _write(events: int, figures: list[dict[str, Any]]) -> None:
    facts = {
        "measured_at": datetime.now(UTC).strftime("%F"),
        "software": f"auditframe {af.__version__}, DuckDB {duckdb.__version__}, Python {platform.python_version()}",
        "events": events,
        "figures": [
            {key: round(value, 3) if isinstance(value, float) else value for key, value in each.items()}
            for each in figures
        ],
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "reports.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
