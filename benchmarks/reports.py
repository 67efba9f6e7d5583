"""What each report costs on a large lake, beside the bare aggregation over the columns that it reads.

Prints for each report the median time, its ratio to the bare aggregation, and the peak memory of a process that does
nothing else. Absolute times are this machine's; the ratios are the result.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import duckdb

import auditframe as af
from auditframe.lake.engine import MEMORY_LIMIT
from auditframe.reports import REGISTRY
from benchmarks._big_lake import make
from benchmarks._memory import peak_mib
from benchmarks._scans import scanned_columns

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    import pyarrow as pa

    from auditframe.reports import Report

RESULTS = Path(__file__).parent / "results" / "reports.json"
ROUNDS = 3
QUICK = {"events": 5_000, "periods": 1}
PLENTY = "1TB"  # of memory: nothing is saved, and nothing goes to the disk


def main() -> None:
    """Make the lake, ask every report in a process of its own, print the table and write it down."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a small run that proves only that the benchmark works")
    parser.add_argument("--events", type=int, default=10_000_000, help="how many events the lake has")
    parser.add_argument("--lake", type=Path, help="a folder to keep the lake in, or one that holds it already")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="how often each is timed")
    parser.add_argument("--only", nargs="*", help="these reports alone; nothing is written down")
    parser.add_argument("--but", nargs="*", default=(), help="leave these out, whose answers grow with the log")
    parser.add_argument("--ask", help=argparse.SUPPRESS)
    parser.add_argument("--peak", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    rounds = 1 if asked.quick else asked.rounds
    if asked.peak:
        print(json.dumps(_peak(REGISTRY[asked.peak], asked.lake, rounds=rounds)))
        return
    if asked.ask:
        print(json.dumps(_ask(REGISTRY[asked.ask], asked.lake, rounds=rounds)))
        return
    left_out = {"findings", *asked.but}  # findings asks all the checks, so that it is their sum
    every = [name for name in REGISTRY if name not in left_out]
    names = asked.only or (["events_per_day", "api_keys"] if asked.quick else every)
    with tempfile.TemporaryDirectory() as folder:
        lake = asked.lake or Path(folder) / "lake"
        if not lake.exists():
            make(lake, **(QUICK if asked.quick else {"events": asked.events}))
        events = int(af.Lake(lake).sql("SELECT count(*) AS events FROM events")["events"][0])
        figures = [_in_processes_of_its_own(name, lake, rounds=rounds) for name in names]
    print(
        f"{events:,} events, median of {rounds}; CPU is the ratio of processor time, which a busy machine alters less"
    )
    print(
        f"{'report':28}{'rows':>9}{'answer [MiB]':>14}{'time [s]':>10}{'bare [s]':>10}{'ratio':>8}{'CPU':>8}"
        f"{'week [s]':>10}{'peak [MiB]':>12}{'CPU, plenty':>13}{'peak':>8}"
    )
    for each in figures:
        print(
            f"{each['report']:28}{each['rows']:>9}{each['answer_mib']:>14.0f}{each['took_s']:>10.2f}{each['bare_s']:>10.2f}"
            f"{each['took_s'] / each['bare_s']:>8.2f}{each['took_cpu_s'] / each['bare_cpu_s']:>8.2f}"
            f"{each['week_s']:>10.2f}{each['peak_mib']:>12.0f}"
            f"{each['plenty_cpu_s'] / each['bare_cpu_s']:>13.2f}{each['plenty_mib']:>8.0f}"
        )
    if not asked.quick and not asked.only:
        _write(events, rounds, figures)


def _in_processes_of_its_own(name: str, lake: Path, *, rounds: int) -> dict[str, Any]:
    """Ask a report, and once more with plenty of memory."""
    plenty = _child("--peak", name, lake, rounds=rounds, limit=PLENTY)
    return {**_child("--ask", name, lake, rounds=rounds), **plenty}


def _child(what: str, name: str, lake: Path, *, rounds: int, limit: str = "") -> dict[str, Any]:
    command = [sys.executable, __file__, what, name, "--lake", str(lake), "--rounds", str(rounds)]
    environment = {**os.environ, MEMORY_LIMIT: limit}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)  # noqa: S603 - our own command
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _peak(report: Report[Any], path: Path, *, rounds: int) -> dict[str, Any]:
    """Return the peak of memory [MiB], and the median of the processor time [s]."""
    lake = af.Lake(path)
    first_s, peak = _measure(lambda: report.arrow(lake))[1], peak_mib()
    later_s = [_measure(lambda: report.arrow(lake))[1] for _ in range(rounds if rounds > 1 else 0)]
    return {"plenty_mib": peak, "plenty_cpu_s": statistics.median(later_s or [first_s])}


def _ask(report: Report[Any], path: Path, *, rounds: int) -> dict[str, Any]:
    """Ask for the peak of memory first, then in turn with the bare aggregation, of which the medians are kept."""
    lake = af.Lake(path)
    first: list[pa.Table] = []
    measured = [_measure(lambda: first.append(report.arrow(lake)))]
    answer, peak = first.pop(), peak_mib()
    rows, answer_mib = answer.num_rows, answer.nbytes / 2**20
    del answer
    last: datetime = lake.arrow("SELECT max(effective_at) AS last_at FROM events")["last_at"][0].as_py()
    week = lake.window(last - timedelta(days=7), None)
    measured = measured if rounds == 1 else []  # the first time is the slowest one, but better than none
    columns = scanned_columns(report, week) or {"id"}
    bare, short = [], []
    for _ in range(rounds):
        if rounds > 1:
            measured.append(_measure(lambda: report.arrow(lake)))
        bare.append(_measure(lambda: _bare(columns, path)))
        short.append(_measure(lambda: report.arrow(week)))
    took_s, took_cpu_s = map(statistics.median, zip(*measured, strict=True))
    bare_s, bare_cpu_s = map(statistics.median, zip(*bare, strict=True))
    return {
        "report": report.name,
        "rows": rows,
        "answer_mib": answer_mib,
        "peak_mib": peak,
        "took_s": took_s,
        "took_cpu_s": took_cpu_s,
        "bare_s": bare_s,
        "bare_cpu_s": bare_cpu_s,
        "week_s": statistics.median(wall for wall, _ in short),
    }


def _bare(columns: Collection[str], path: Path) -> None:
    """Read the columns that a report reads, whole, into the cheapest aggregate."""
    maxima = ", ".join(f"max({name})" for name in sorted(columns))
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.sql(f"SELECT {maxima} FROM read_parquet('{path}/events/**/*.parquet')").fetchnumpy()  # noqa: S608


def _measure(run: Callable[[], object]) -> tuple[float, float]:
    """Return the time that passes, and that of all processors together [s]."""
    began, began_cpu = time.perf_counter(), time.process_time()
    run()
    return time.perf_counter() - began, time.process_time() - began_cpu


def _write(events: int, rounds: int, figures: list[dict[str, Any]]) -> None:
    """Write down a run in the place of the last one on a lake of the same size."""
    run = {
        "measured_at": datetime.now(UTC).strftime("%F"),
        "software": f"auditframe {af.__version__}, DuckDB {duckdb.__version__}, Python {platform.python_version()}",
        "events": events,
        "rounds": rounds,
        "figures": [
            {key: round(value, 3) if isinstance(value, float) else value for key, value in each.items()}
            for each in figures
        ],
    }
    written = json.loads(RESULTS.read_text(encoding="utf-8"))["runs"] if RESULTS.exists() else []
    runs = sorted([run, *(each for each in written if each["events"] != events)], key=lambda each: int(each["events"]))
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({"runs": runs}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
