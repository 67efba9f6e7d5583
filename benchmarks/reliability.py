"""The soak: random worlds, races and flipped bytes, with their seeds. ``make soak`` writes the figures."""

from __future__ import annotations

import argparse
import json
import platform
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import auditframe as af
from tests import races, worlds
from tests.tampering import make_lake, undetected_flips

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

RESULTS = Path(__file__).parent / "results"


def main() -> int:
    """Run everything, print and write the figures; return 1 when anything failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a small run that proves only that the soak works")
    parser.add_argument("--worlds", type=int, default=10_000, help="how many random worlds")
    parser.add_argument("--races", type=int, default=200, help="how many races of four writers")
    parser.add_argument("--every", type=int, default=1, help="which bytes of the lake are flipped: each so many")
    asked = parser.parse_args()
    if asked.quick:
        asked.worlds, asked.races, asked.every = 5, 1, 20_000
    figures = [
        _soak("random worlds", worlds.disproof, range(asked.worlds)),
        _soak("races of four writers", races.disproof, range(asked.races)),
        _tamper(asked.every),
    ]
    for figure in figures:
        print(
            f"{figure['what']:<24}{figure['tried']:>8} tried {len(figure['failed']):>4} failed {figure['seconds']:>8} s"
        )
    if not asked.quick:
        _write(figures)
    return int(any(figure["failed"] for figure in figures))


def _soak(what: str, disproof: Callable[[int, Path], str | None], seeds: Iterable[int]) -> dict[str, Any]:
    began, failed, tried = time.monotonic(), [], 0
    for seed in seeds:
        tried += 1
        with tempfile.TemporaryDirectory() as folder:
            if wrong := disproof(seed, Path(folder)):
                failed.append({"seed": seed, "what": wrong})
                print(f"{what}, seed {seed}: {wrong}", file=sys.stderr)
    return {"what": what, "seeds": f"0 to {tried - 1}", "tried": tried, "failed": failed, "seconds": _since(began)}


def _tamper(every: int) -> dict[str, Any]:
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        make_lake(lake := Path(folder) / "lake")
        found = undetected_flips(lake, every=every, seed=0)
    failed = [{"seed": 0, "what": f"{flip.file}, byte {flip.offset_bytes}"} for flip in found.undetected]
    seeds = "0" if every == 1 else f"0, every {every}th byte"
    return {"what": "flipped bytes", "seeds": seeds, "tried": found.tried, "failed": failed, "seconds": _since(began)}


def _since(began: float) -> int:
    return round(time.monotonic() - began)


def _write(figures: list[dict[str, Any]]) -> None:
    facts = {
        "measured_at": datetime.now(UTC).strftime("%F"),
        "software": f"auditframe {af.__version__}, Python {platform.python_version()}",
        "figures": figures,
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "reliability.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    raise SystemExit(main())
