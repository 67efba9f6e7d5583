"""How a lake's cost grows: import, increments, verify, rebuild and reports at 10,000 to 10 million events.

Every figure comes from a process that does nothing else. Prints a row a step, and the slope of its cost: 1 is linear.
Slopes are of processor time, which a busy machine alters less than the time that passes: over all sizes, and from the
last but one to the last, where what every process costs at its start hides no growth. Peers that are not installed are
left out: `make bench` installs them in an environment of its own.
"""

from __future__ import annotations

import argparse
import functools
import gzip
import importlib.util
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

sys.path.insert(0, str(Path(__file__).parents[1]))

import duckdb
import numpy as np

import auditframe as af
from auditframe.files import read_pages
from auditframe.flatten import flatten_texts
from auditframe.load import check_files, read_batches
from auditframe.reports import REGISTRY
from benchmarks import _dataframes
from benchmarks._big_log import END, EVENTS_A_DAY, PERIOD_DAYS, write_logs
from benchmarks._memory import peak_mib

if TYPE_CHECKING:
    from collections.abc import Callable

    Grain = Literal["day", "month"]
    Took = tuple[float, float]
    Step = Callable[[Path], list[Took]]

RESULTS = Path(__file__).parent / "results"
SIZES = (10_000, 100_000, 1_000_000, 10_000_000)
QUICK_SIZES = (2_000,)
QUICK_PERIOD_DAYS = 3
INCREMENTS = 5
REPORTS = ("events_per_actor", "login_failures", "first_seen")
MONTHS = ", months"  # what is done to the same events in a lake with a file a month
BYTES = ("bytes_of_days", "bytes_of_months")
GZIPPED_AT_MOST = 1_000_000  # above, gzip alone takes minutes and says the same


def main() -> None:
    """Measure every size in turn, print the table and write it down."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a small run that proves only that the benchmark works")
    parser.add_argument("--events", type=int, nargs="*", help="the sizes")
    parser.add_argument("--step", nargs=2, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.step:
        name, folder = asked.step
        print(json.dumps(_measured({**STEPS, "agree": _agree}[name], Path(folder))))
        return
    for library in _dataframes.PEERS.keys() - PEERS:
        print(f"{library} is left out: it is not installed (requirements/peers.lock).")
    sizes = asked.events or (QUICK_SIZES if asked.quick else SIZES)
    figures = [_of_size(events, is_quick=asked.quick) for events in sizes]
    slopes = {key: slopes_of(figures, key) for key in (*STEPS, *BYTES)} if len(figures) > 1 else {}
    _print(figures, slopes)
    if not asked.quick and not asked.events:
        _write(figures, slopes)


def _of_size(events: int, *, is_quick: bool) -> dict[str, Any]:
    """Make a log, import it, and do the rest to the lake that this gives."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        logs = [folder / "log.jsonl", *(folder / f"next-{number}.jsonl" for number in range(INCREMENTS))]
        period_days = QUICK_PERIOD_DAYS if is_quick else PERIOD_DAYS
        write_logs(logs, sizes=[events, *[EVENTS_A_DAY] * INCREMENTS], period_days=period_days)
        found: dict[str, Any] = {"events": events, "log_bytes": logs[0].stat().st_size, "gzip_bytes": None}
        if events <= GZIPPED_AT_MOST:
            found["gzip_bytes"] = len(gzip.compress(logs[0].read_bytes(), compresslevel=9))
        for step in STEPS:
            found[step] = (_here if is_quick else _in_a_process)(step, folder)
            if step.startswith("import"):
                grain = "month" if step.endswith(MONTHS) else "day"
                files = [path for path in (folder / grain).rglob("*") if path.is_file()]
                found[f"bytes_of_{grain}s"] = sum(path.stat().st_size for path in files)
        _in_a_process("agree", folder)
        return found


def _here(step: str, folder: Path) -> dict[str, float]:
    return _measured(STEPS[step], folder)


def _in_a_process(step: str, folder: Path) -> Any:
    command = [sys.executable, __file__, "--step", step, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 - our own command
    return json.loads(done.stdout)


def _measured(step: Step, folder: Path) -> dict[str, float]:
    """Return the medians of what a step says its runs took [s], and the peak of memory [MiB]."""
    took_s, took_cpu_s = map(statistics.median, zip(*step(folder), strict=True))
    return {"took_s": took_s, "took_cpu_s": took_cpu_s, "peak_mib": peak_mib()}


def _timed(run: Callable[[], object]) -> Took:
    """Return the time that passes, and that of all processors together [s]."""
    began, began_cpu = time.perf_counter(), time.process_time()
    run()
    return time.perf_counter() - began, time.process_time() - began_cpu


def _flatten(folder: Path) -> list[Took]:
    def run() -> None:
        for page in read_pages([folder / "log.jsonl"]):
            flatten_texts(page.events)

    return [_timed(run)]


def _import(folder: Path, grain: Grain = "day") -> list[Took]:
    return [_timed(lambda: _add(folder, folder / "log.jsonl", grain))]


def _add(folder: Path, log: Path, grain: Grain) -> None:
    """Do what ``auditframe import`` does."""
    check_files([log])
    with _lake(folder, grain).writer() as writer:
        for batch in read_batches([log]):
            writer.add(batch)
            del batch
        writer.commit("import")


def _lake(folder: Path, grain: Grain = "day") -> af.Lake:
    return af.Lake(folder / grain, partition=grain)


def _merge(folder: Path, grain: Grain = "day") -> list[Took]:
    logs = [folder / f"next-{number}.jsonl" for number in range(INCREMENTS)]
    return [_timed(functools.partial(_add, folder, log, grain)) for log in logs]


def _verify(folder: Path) -> list[Took]:
    def run() -> None:
        assert _lake(folder).verify() == ()  # noqa: S101 - a faulty lake is measured for nothing

    return [_timed(run)]


def _rebuild(folder: Path) -> list[Took]:
    return [_timed(_lake(folder).rebuild)]


def _report(name: str, grain: Grain = "day") -> Step:
    def step(folder: Path) -> list[Took]:
        lake = _lake(folder, grain)
        return [_timed(lambda: REGISTRY[name].arrow(lake)) for _ in range(3)]

    return step


def _week(folder: Path) -> list[Took]:
    window = _lake(folder).window(END - timedelta(days=7), END)
    return [_timed(lambda: REGISTRY["events_per_actor"].arrow(window)) for _ in range(3)]


def _bare(folder: Path, grain: Grain = "day") -> list[Took]:
    """Read the columns of `events_per_actor` from the same files."""
    columns = ", ".join(f"max({name})" for name in REGISTRY["events_per_actor"].reads)

    def run() -> None:
        with duckdb.connect() as connection:
            connection.execute("SET TimeZone = 'UTC'")
            connection.sql(f"SELECT {columns} FROM read_parquet('{folder}/{grain}/events/**/*.parquet')").fetchnumpy()  # noqa: S608

    return [_timed(run) for _ in range(3)]


def _data_frame(library: str, grain: Grain = "day") -> Step:
    """Answer `events_per_actor` from the same files with a library of data frames."""

    def step(folder: Path) -> list[Took]:
        importlib.import_module(library)
        lake = _lake(folder, grain)
        return [_timed(lambda: _dataframes.PEERS[library](list(lake.partitions().values()))) for _ in range(3)]

    return step


def _agree(folder: Path) -> list[Took]:
    """Assert that each library of data frames answers what the report answers."""
    lake = _lake(folder)
    files = list(lake.partitions().values())

    def run() -> None:
        ours = REGISTRY["events_per_actor"].arrow(lake).to_pydict()
        for library in PEERS:
            answer = _dataframes.PEERS[library](files).to_pydict()
            assert {name: answer[name] for name in ours} == ours, library  # noqa: S101 - else two questions are timed

    return [_timed(run)]


PEERS = [library for library in _dataframes.PEERS if importlib.util.find_spec(library)]
STEPS: dict[str, Step] = {
    "flatten": _flatten,
    "import": _import,
    "merge": _merge,
    "verify": _verify,
    "rebuild": _rebuild,
    **{name: _report(name) for name in REPORTS},
    "bare": _bare,
    **{library: _data_frame(library) for library in PEERS},
    "week": _week,
    "events_per_day": _report("events_per_day"),
    f"import{MONTHS}": functools.partial(_import, grain="month"),
    f"merge{MONTHS}": functools.partial(_merge, grain="month"),
    **{f"{name}{MONTHS}": _report(name, "month") for name in (*REPORTS, "events_per_day")},
    f"bare{MONTHS}": functools.partial(_bare, grain="month"),
    **{f"{library}{MONTHS}": _data_frame(library, "month") for library in PEERS},
}
"""What is measured of a size, in this order: each works on the log, or on what the steps before have left."""


def slopes_of(figures: list[dict[str, Any]], key: str) -> dict[str, float]:
    """Return the exponents with which a cost grows with the events: by least squares over all sizes, and at the end."""
    costs = np.log([each[key] if key in BYTES else each[key]["took_cpu_s"] for each in figures])
    sizes = np.log([each["events"] for each in figures])
    return {name: float(np.polyfit(sizes[some:], costs[some:], 1)[0]) for name, some in (("all", 0), ("last", -2))}


def _print(figures: list[dict[str, Any]], slopes: dict[str, dict[str, float]]) -> None:
    sizes = "".join(f"{each['events']:>24,}" for each in figures)
    print(f"{'':26}{sizes}{'slope':>8}{'last':>8}   time [s], CPU [s], peak [MiB]")
    for step in STEPS:
        times = ((each[step]["took_s"], each[step]["took_cpu_s"], each[step]["peak_mib"]) for each in figures)
        cells = (f"{took_s:.2f}, {took_cpu_s:.2f}, {peak:.0f}" for took_s, took_cpu_s, peak in times)
        grown = "".join(f"{slope:8.2f}" for slope in slopes.get(step, {}).values())
        print(f"{step:26}" + "".join(f"{cell:>24}" for cell in cells) + grown)
    for each in figures:
        for key in BYTES:
            gzipped = each["gzip_bytes"] and f", {each[key] / each['gzip_bytes']:.2f} x gzip -9"
            size = f"1/{each['log_bytes'] / each[key]:.1f} of the JSONL{gzipped or ''}"
            print(f"{each['events']:>12,} events, {key.replace('_', ' ')}: {size}")


def _write(figures: list[dict[str, Any]], slopes: dict[str, dict[str, float]]) -> None:
    facts = {
        "measured_at": datetime.now(UTC).strftime("%F"),
        "software": ", ".join(f"{name} {version(name)}" for name in ("auditframe", "duckdb", "pyarrow", *PEERS))
        + f", Python {platform.python_version()}",
        "slopes": _rounded(slopes),
        "figures": [_rounded(each) for each in figures],
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "lake.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")


def _rounded(facts: dict[str, Any]) -> dict[str, Any]:
    return {
        key: {name: round(number, 3) for name, number in value.items()} if isinstance(value, dict) else value
        for key, value in facts.items()
    }


if __name__ == "__main__":
    main()
