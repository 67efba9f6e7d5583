"""The figures that benchmarks and soak have written, as tables."""

from __future__ import annotations

import json
from typing import Any

from docs._pages import ROOT


def reliability_table() -> str:
    """Give the figures of the last soak, a row for each thing that was tried."""
    facts = _results("reliability")
    lines = ["| what | tried | failed | seeds | measured with | on |", "| --- | --: | --: | --- | --- | --- |"]
    for each in facts["figures"]:
        numbers = f"{each['tried']:,} | {len(each['failed'])}"
        lines.append(f"| {each['what']} | {numbers} | {each['seeds']} | {each['software']} | {each['measured_at']} |")
    return "\n".join(lines) + "\n"


def performance_table() -> str:
    """Give the figures of the last run of ``benchmarks/reports.py``, a row a report."""
    facts = _results("reports")
    limit = facts["limit"]
    lines = [
        f"{facts['events']:,} events, {facts['software']}, {facts['measured_at']}; median of {facts['rounds']}.\n",
        f"| report | rows | time [s] | bare [s] | ratio | CPU | week [s] | peak [MiB] | with {limit} [MiB] |",
        "| --- " + "| --: " * 8 + "|",
    ]
    for each in facts["figures"]:
        times = f"{each['took_s']:.1f} | {each['bare_s']:.1f} | {each['took_s'] / each['bare_s']:.1f}"
        cpu, week = each["took_cpu_s"] / each["bare_cpu_s"], each["week_s"]
        limited = "" if each["limited_mib"] is None else f"{each['limited_mib']:.0f}"
        memory = f"{each['peak_mib']:.0f} | {limited}"
        lines.append(f"| {each['report']} | {each['rows']:,} | {times} | {cpu:.1f} | {week:.1f} | {memory} |")
    return "\n".join(lines) + "\n"


def flatten_table() -> str:
    """Give the figures of the last run of ``benchmarks/flatten.py``, a row a peer."""
    facts = _results("flatten")
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
    facts = _results("lake")
    sizes = facts["figures"]
    steps = [key for key, value in sizes[0].items() if isinstance(value, dict)]
    lines = [
        f"{facts['software']}; {facts['measured_at']}; time [s], and the peak of memory [MiB].\n",
        "| | " + " | ".join(f"{each['events']:,} events" for each in sizes) + " | slope |",
        "| --- " + "| --: " * (len(sizes) + 1) + "|",
    ]
    for step in steps:
        cells = (f"{each[step]['took_s']:.2f}, {each[step]['peak_mib']:.0f}" for each in sizes)
        lines.append(f"| {step.replace('_', ' ')} | {' | '.join(cells)} | {facts['slopes'][step]:.2f} |")
    times = (f"1/{each['log_bytes'] / each['bytes']:.1f}" for each in sizes)
    gzipped = (f"{each['bytes'] / each['gzip_bytes']:.2f}" if each["gzip_bytes"] else "" for each in sizes)
    lines.append(f"| size, of the JSON lines | {' | '.join(times)} | {facts['slopes']['bytes']:.2f} |")
    lines.append(f"| size, of them as gzip -9 | {' | '.join(gzipped)} | |")
    return "\n".join(lines) + "\n"


def startup_table() -> str:
    """Give the figures of the last run of ``benchmarks/startup.py``, a row a command."""
    facts = _results("startup")
    lines = [
        f"{facts['software']}; {facts['measured_at']}; median of {facts['rounds']} processes each.\n",
        "| | time [ms] |",
        "| --- | --: |",
    ]
    lines += [f"| `{name}` | {took_ms} |" for name, took_ms in facts["took_ms"].items()]
    return "\n".join(lines) + "\n"


def _results(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text("utf-8"))
    return found
