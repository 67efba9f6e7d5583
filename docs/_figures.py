"""The figures that benchmarks and soak have written, as tables."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from docs._pages import ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def reliability_table() -> str:
    """Give the figures of the last soak, a row for each thing that was tried."""
    facts = results("reliability")
    lines = ["| what | tried | failed | seeds | measured with | on |", "| --- | --: | --: | --- | --- | --- |"]
    for each in facts["figures"]:
        numbers = f"{each['tried']:,} | {len(each['failed'])}"
        lines.append(f"| {each['what']} | {numbers} | {each['seeds']} | {each['software']} | {each['measured_at']} |")
    return "\n".join(lines) + "\n"


def performance_table() -> str:
    """Give the figures of the run of ``benchmarks/reports.py`` that asked most, a row a report."""
    run = max(results("reports")["runs"], key=lambda each: (len(each["figures"]), each["events"]))
    lines = [
        f"{_told(run)}\n",
        "| report | rows | answer [MiB] | time [s] | bare [s] | ratio | CPU | week [s] "
        "| peak [MiB] | CPU, plenty | peak, plenty |",
        "| --- " + "| --: " * 10 + "|",
    ]
    for each in run["figures"]:
        times = f"{each['took_s']:.1f} | {each['bare_s']:.1f} | {each['took_s'] / each['bare_s']:.1f}"
        cpu, week = each["took_cpu_s"] / each["bare_cpu_s"], each["week_s"]
        plenty = f"{each['plenty_cpu_s'] / each['bare_cpu_s']:.1f} | {each['plenty_mib']:.0f}"
        memory = f"{each['peak_mib']:.0f} | {plenty}"
        answer = f"{each['rows']:,} | {each['answer_mib']:.0f}"
        lines.append(f"| {each['report']} | {answer} | {times} | {cpu:.1f} | {week:.1f} | {memory} |")
    return "\n".join(lines) + "\n"


def growth_table() -> str:
    """Give what each report costs on lakes of several sizes, from the runs of ``benchmarks/reports.py``."""
    runs = results("reports")["runs"]
    asked = [{each["report"]: each for each in run["figures"]} for run in runs]
    lines = [
        *(f"{_told(run)}\n" for run in runs),
        "| report | " + " | ".join(f"{run['events']:,} events" for run in runs) + " | slope | week | answer |",
        "| --- " + "| --: " * (len(runs) + 3) + "|",
    ]
    for name in (each["report"] for each in max(asked, key=len).values()):
        found = [(run["events"], figures[name]) for run, figures in zip(runs, asked, strict=True) if name in figures]
        cells = (_cost(figures[name]) if name in figures else "" for figures in asked)
        lines.append(f"| {name} | {' | '.join(cells)} | {_slope(found)} | {_week(found)} | {_answer(found)} |")
    return "\n".join(lines) + "\n"


def _told(run: Mapping[str, Any]) -> str:
    return f"{run['events']:,} events, {run['software']}, {run['measured_at']}; median of {run['rounds']}."


def _cost(figure: Mapping[str, Any]) -> str:
    return f"{figure['took_s']:.2f}, {figure['took_cpu_s'] / figure['bare_cpu_s']:.1f}, {figure['peak_mib']:.0f}"


def _slope(found: Sequence[tuple[int, Mapping[str, Any]]]) -> str:
    """Return by which power of the events the processor time grows, between the two largest lakes."""
    (fewer, before), (more, after) = ([found[0], *found])[-2:]
    return f"{math.log(after['took_cpu_s'] / before['took_cpu_s'], more / fewer):.2f}" if more > fewer else ""


def _week(found: Sequence[tuple[int, Mapping[str, Any]]]) -> str:
    """Return how much longer a week takes in the largest lake than in the smallest."""
    return f"{found[-1][1]['week_s'] / found[0][1]['week_s']:.1f}"


def _answer(found: Sequence[tuple[int, Mapping[str, Any]]]) -> str:
    """Return how large the answer of the largest lake is [MiB]."""
    return f"{found[-1][1]['answer_mib']:.0f}"


def flatten_table() -> str:
    """Give the figures of the last run of ``benchmarks/flatten.py``, a row a peer."""
    facts = results("flatten")
    ours = facts["figures"][0]
    lines = [
        f"{facts['events']:,} events, {facts['size_mib']:.0f} MiB of JSON; {facts['software']}; "
        f"{facts['measured_at']}; median of {facts['rounds']}.\n",
        "| | gives | time [s] | ratio | CPU [s] | ratio |",
        "| --- | --- | --: | --: | --: | --: |",
    ]
    for each in facts["figures"]:
        figures = (f"{each[key]:.2f} | {each[key] / ours[key]:.2f}" for key in ("took_s", "took_cpu_s"))
        lines.append(f"| {each['peer']} | {each['gives']} | {' | '.join(figures)} |")
    return "\n".join(lines) + "\n"


def lake_table() -> str:
    """Give the figures of the last run of ``benchmarks/lake.py``, a row for each thing that is done."""
    facts = results("lake")
    sizes = facts["figures"]
    steps = [key for key, value in sizes[0].items() if isinstance(value, dict)]
    lines = [
        f"{facts['software']}; {facts['measured_at']}; time [s], peak of memory [MiB], CPU [s] at the largest size.\n",
        "| | " + " | ".join(f"{each['events']:,} events" for each in sizes) + " | CPU | slope | last |",
        "| --- " + "| --: " * (len(sizes) + 3) + "|",
    ]
    for step in steps:
        cells = (f"{each[step]['took_s']:.2f}, {each[step]['peak_mib']:.0f}" for each in sizes)
        cpu_s, grown = sizes[-1][step]["took_cpu_s"], _slopes(facts["slopes"][step])
        lines.append(f"| {step.replace('_', ' ')} | {' | '.join(cells)} | {cpu_s:.2f} | {grown} |")
    for key, what in (("bytes_of_days", "size"), ("bytes_of_months", "size, months")):
        shares = (f"1/{each['log_bytes'] / each[key]:.1f}" for each in sizes)
        gzipped = (f"{each[key] / each['gzip_bytes']:.2f}" if each["gzip_bytes"] else "" for each in sizes)
        lines.append(f"| {what}, of the JSON lines | {' | '.join(shares)} | | {_slopes(facts['slopes'][key])} |")
        lines.append(f"| {what}, of them as gzip -9 | {' | '.join(gzipped)} | | | |")
    return "\n".join(lines) + "\n"


def _slopes(of: Mapping[str, float]) -> str:
    return f"{of['all']:.2f} | {of['last']:.2f}"


def collection_table() -> str:
    """Give the figures of the last run of ``benchmarks/collection.py``."""
    facts = results("collection")
    clients = (("auditframe.load", facts["client_cpu_us"]), ("official SDK, json_normalize", facts["sdk_cpu_us"]))
    lines = [
        f"{facts['software']}; {facts['measured_at']}; {facts['events']:,} events of {facts['days']} days, each answer "
        f"{1000 * facts['latency_s']:.0f} ms late; the clients without that, median of {facts['rounds']} processes.\n",
        "| | | |",
        "| --- | --: | --: |",
        f"| snapshot, 1 worker | {facts['workers_1_s']:.1f} s | {facts['ratio']:.1f} |",
        f"| snapshot, 8 workers | {facts['workers_8_s']:.1f} s | 1.0 |",
    ]
    first_us = clients[0][1]
    lines += [f"| {name}, CPU an event | {cpu_us:.0f} us | {cpu_us / first_us:.1f} |" for name, cpu_us in clients]
    return "\n".join(lines) + "\n"


def snapshot_table() -> str:
    """Give the figures of the last run of ``benchmarks/snapshot.py``, a row a size."""
    facts = results("snapshot")
    lines = [
        f"{facts['software']}; {facts['measured_at']}; {facts['events_a_day']:,} events a day.\n",
        "| events | time [s] | CPU [s] | CPU, an event [us] | peak [MiB] |",
        "| --: | --: | --: | --: | --: |",
    ]
    lines += [
        f"| {each['events']:,} | {each['took_s']:.1f} | {each['took_cpu_s']:.1f} "
        f"| {1e6 * each['took_cpu_s'] / each['events']:.0f} | {each['peak_mib']:.0f} |"
        for each in facts["figures"]
    ]
    return "\n".join(lines) + "\n"


def startup_table() -> str:
    """Give the figures of the last run of ``benchmarks/startup.py``, a row a command."""
    facts = results("startup")
    lines = [
        f"{facts['software']}; {facts['measured_at']}; median of {facts['rounds']} processes each.\n",
        "| | time [ms] |",
        "| --- | --: |",
    ]
    lines += [f"| `{name}` | {took_ms} |" for name, took_ms in facts["took_ms"].items()]
    return "\n".join(lines) + "\n"


def results(name: str) -> dict[str, Any]:
    """Return what a benchmark or the soak has written down."""
    found: dict[str, Any] = json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text("utf-8"))
    return found
