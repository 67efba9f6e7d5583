"""How fast flattening is, beside what others would be used for it; every peer in one run, on the same response bodies.

Prints medians and ratios. Absolute times are this machine's and mean little; the ratios are the result. Peers that are
not installed are left out: `make bench` installs them in an environment of its own.
"""

from __future__ import annotations

import argparse
import gc
import importlib.util
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import msgspec

from auditframe.sample import sample
from benchmarks import _flatteners
from benchmarks._flatteners import Pages

if TYPE_CHECKING:
    from benchmarks._flatteners import Peer

RESULTS = Path(__file__).parent / "results" / "flatten.json"
EVENTS_PER_PAGE = 100


def main() -> None:
    """Time each peer in turn, round after round, print the medians and write them down."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a small run that proves only that the benchmark works")
    parser.add_argument("--events", type=int, default=200_000, help="how many events are flattened")
    parser.add_argument("--rounds", type=int, default=5, help="how often each is timed")
    parser.add_argument("--only", nargs="*", help="these peers alone")
    parser.add_argument("--ask", help=argparse.SUPPRESS)
    parser.add_argument("--pages", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.ask:
        print(json.dumps(_measure(next(peer for peer in _flatteners.PEERS if peer.name == asked.ask), asked.pages)))
        return
    events, rounds = (1_000, 1) if asked.quick else (asked.events, asked.rounds)
    peers = [peer for peer in _flatteners.PEERS if _is_there(peer) and (not asked.only or peer.name in asked.only)]
    took: dict[str, list[tuple[float, float]]] = {peer.name: [] for peer in peers}
    with tempfile.TemporaryDirectory() as folder:
        pages = _write_pages(events, Path(folder) / "pages.jsonl")
        size_mib = pages.stat().st_size / 2**20
        for _ in range(rounds):
            for peer in peers:
                took[peer.name].append(_in_a_process_of_its_own(peer, pages))
    figures = [_figure(peer, took[peer.name]) for peer in peers]
    print(f"{events:,} events, {size_mib:.1f} MiB of JSON, median of {rounds}; CPU is the time of all processors")
    print(f"{'peer':30}{'time [s]':>9}{'ratio':>8}{'CPU [s]':>9}{'ratio':>8}")
    ours = figures[0]
    for each in figures:
        ratio, ratio_cpu = each["took_s"] / ours["took_s"], each["took_cpu_s"] / ours["took_cpu_s"]
        print(
            f"{each['peer']:34}{each['took_s']:9.3f} s{ratio:8.2f} x{each['took_cpu_s']:9.3f} s CPU{ratio_cpu:8.2f} x"
        )
    if not asked.quick and not asked.only:
        _write(events, size_mib, rounds, figures)


def _is_there(peer: Peer) -> bool:
    missing = [name for name in peer.needs if importlib.util.find_spec(name) is None]
    if missing:
        print(f"{peer.name} is left out: {', '.join(missing)} is not installed (requirements/peers.lock).")
    return not missing


def _write_pages(events: int, path: Path) -> Path:
    """Write response bodies, one a line."""
    made = sample(seed=3, events=events, days=90).events
    cut = (made[start : start + EVENTS_PER_PAGE] for start in range(0, len(made), EVENTS_PER_PAGE))
    bodies = (msgspec.json.encode({"object": "list", "data": page, "has_more": True}) for page in cut)
    path.write_bytes(b"".join(body + b"\n" for body in bodies))
    return path


def _in_a_process_of_its_own(peer: Peer, pages: Path) -> tuple[float, float]:
    command = [sys.executable, __file__, "--ask", peer.name, "--pages", str(pages)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 - our own command
    took_s, took_cpu_s = json.loads(done.stdout.splitlines()[-1])
    return took_s, took_cpu_s


def _measure(peer: Peer, path: Path) -> tuple[float, float]:
    """Return the time that passes, and that of all processors together [s]; what is made is freed afterwards."""
    pages = Pages(path.read_bytes().splitlines(), path)
    peer.prepare()
    gc.collect()
    began, began_cpu = time.perf_counter(), time.process_time()
    made = peer.run(pages)
    took = time.perf_counter() - began, time.process_time() - began_cpu
    del made
    return took


def _figure(peer: Peer, took: list[tuple[float, float]]) -> dict[str, Any]:
    took_s, took_cpu_s = map(statistics.median, zip(*took, strict=True))
    return {"peer": peer.name, "gives": peer.gives, "took_s": round(took_s, 3), "took_cpu_s": round(took_cpu_s, 3)}


def _write(events: int, size_mib: float, rounds: int, figures: list[dict[str, Any]]) -> None:
    libraries = sorted({name for peer in _flatteners.PEERS for name in peer.needs if importlib.util.find_spec(name)})
    software = ["auditframe", "pandas", "msgspec", *libraries]
    facts = {
        "measured_at": datetime.now(UTC).strftime("%F"),
        "software": ", ".join(f"{name} {version(name)}" for name in software) + f", Python {platform.python_version()}",
        "events": events,
        "size_mib": round(size_mib, 1),
        "rounds": rounds,
        "figures": figures,
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
