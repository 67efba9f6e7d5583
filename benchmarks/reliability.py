"""The soak: what is claimed of a lake is tried at length, part by part. ``make soak`` writes the figures.

Each part puts its own figures, with their date and seeds, among those that are there: ``--only worlds races``.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import itertools
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
from tests import cuts, jobs, races, small_disk, strace, worlds
from tests.tampering import make_lake, undetected_flips

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from tests.strace import Call

    Asked = argparse.Namespace
    Figure = dict[str, Any]

RESULTS = Path(__file__).parent / "results" / "reliability.json"

FULL = {"worlds": 10_000, "races": 200, "every": 1, "jobs": 5, "share": 1, "errors": 4, "draws": 20, "examples": 2_000}
QUICK = {"worlds": 2, "races": 1, "every": 20_000, "jobs": 1, "share": 1_000, "errors": 1, "draws": 0, "examples": 2}
"""The sizes of a run that proves only that the soak works."""


def main() -> int:
    """Run what is asked for, print and write the figures; return 1 when anything failed."""
    asked = _asked()
    has_failed = False
    for name in asked.only or PARTS:
        for figure in PARTS[name](asked):
            failed, seconds = len(figure["failed"]), figure["seconds"]
            print(f"{figure['what']:<44}{figure['tried']:>8} tried {failed:>4} failed {seconds:>8} s", flush=True)
            has_failed = has_failed or bool(failed)
            if not asked.quick:
                _write(figure)
    return int(has_failed)


def _asked() -> Asked:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a small run that proves only that the soak works")
    parser.add_argument("--only", nargs="+", choices=list(PARTS), metavar="PART", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--worlds", type=int, help="how many random worlds")
    parser.add_argument("--races", type=int, help="how many races of four writers")
    parser.add_argument("--every", type=int, help="which bytes of the lake are flipped: each so many")
    parser.add_argument("--jobs", type=int, help=f"how many of {', '.join(jobs.NAMES)}")
    parser.add_argument("--share", type=int, help="at which system calls, pages and steps: each so many")
    parser.add_argument("--errors", type=int, help="how many of the errors a call fails with")
    parser.add_argument("--draws", type=int, help="how often it is drawn what comes through a power cut")
    parser.add_argument("--examples", type=int, help="how many sequences of the state machine")
    parser.set_defaults(**(QUICK if "--quick" in sys.argv else FULL))
    return parser.parse_args()


def _worlds(asked: Asked) -> Iterator[Figure]:
    yield _soak("random worlds", worlds.disproof, range(asked.worlds))


def _races(asked: Asked) -> Iterator[Figure]:
    yield _soak("races of four writers", races.disproof, range(asked.races))


def _soak(what: str, disproof: Callable[[int, Path], str | None], seeds: range) -> Figure:
    def tries() -> Iterator[tuple[object, str | None]]:
        for seed in seeds:
            with tempfile.TemporaryDirectory() as folder:
                yield seed, disproof(seed, Path(folder))

    return _figure(what, tries(), seeds=f"0 to {len(seeds) - 1}")


def _flips(asked: Asked) -> Iterator[Figure]:
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        make_lake(lake := Path(folder) / "lake")
        found = undetected_flips(lake, every=asked.every, seed=0)
    seeds = "0; each byte, two masks" if asked.every == 1 else f"0; every {asked.every}th byte, two masks"
    failed = [{"case": f"{flip.file}, byte {flip.offset_bytes}", "what": "undetected"} for flip in found.undetected]
    yield _facts("flipped bytes", seeds, found.tried, failed=failed, began=began)


def _kills(asked: Asked) -> Iterator[Figure]:
    for shop, name in _jobs(asked, strace.missing()):
        calls, which = _calls(shop, name, asked.share)
        tries = ((call, shop.killed(name, call)) for call in calls)
        yield _figure(f"kills at system calls: {name}", tries, seeds=which)


def _errors(asked: Asked) -> Iterator[Figure]:
    errors = jobs.ERRORS[: asked.errors]
    for shop, name in _jobs(asked, strace.missing()):
        calls, which = _calls(shop, name, asked.share)
        tries = ((pair, shop.refused(name, *pair)) for pair in itertools.product(calls, errors))
        yield _figure(f"errors at system calls: {name}", tries, seeds=f"{which}, {len(errors)} errors")


def _disks(asked: Asked) -> Iterator[Figure]:
    for shop, name in _jobs(asked, small_disk.missing()):
        yield _figure(f"full disks: {name}", _fill(shop, name, asked), seeds="no free page, 1, and so on to enough")


def _fill(shop: jobs.Workshop, name: str, asked: Asked) -> Iterator[tuple[object, str | None]]:
    """Do a job with no free page, one, and so on until there are enough."""
    with tempfile.TemporaryDirectory() as folder, small_disk.small_disk(Path(folder)) as disk:
        for pages in itertools.count(step=asked.share):
            is_too_few, wrong = shop.crowded_out(name, disk, pages=pages)
            yield pages, wrong
            if not is_too_few:
                return


def _cuts(asked: Asked) -> Iterator[Figure]:
    for name in jobs.NAMES[: asked.jobs]:
        began = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            found = cuts.cut(name, Path(folder), draws=asked.draws, every=asked.share)
        failed = [{"case": name, "what": found.wrong}] if found.wrong else []
        seeds = f"after each step, {asked.draws + 2} ways" if asked.share == 1 else f"every {asked.share}th step"
        yield _facts(f"power cuts: {name}", seeds, found.tried, failed=failed, began=began)


def _machine(asked: Asked) -> Iterator[Figure]:
    if importlib.util.find_spec("tests.machine") is None:
        print("machine: left out, there is no tests/machine.py", file=sys.stderr)
        return
    run = importlib.import_module("tests.machine").run
    began, failed, tried = time.monotonic(), [], 0
    try:
        tried = run(asked.examples, 0)
    except Exception as error:  # a counterexample, whatever it raised
        failed = [{"case": "seed 0", "what": f"{type(error).__name__}: {error}"[:500]}]
    seeds = f"0, {asked.examples:,} sequences"
    yield _facts("steps of random sequences", seeds, tried, failed=failed, began=began)


PARTS: Mapping[str, Callable[[Asked], Iterator[Figure]]] = {
    "worlds": _worlds,
    "races": _races,
    "flips": _flips,
    "kills": _kills,
    "errors": _errors,
    "disks": _disks,
    "cuts": _cuts,
    "machine": _machine,
}
"""What can be run by itself, in the order of the figures."""


def _jobs(asked: Asked, missing: str | None) -> Iterator[tuple[jobs.Workshop, str]]:
    """Yield each job and the workshop for it; none, and a word about it, where something is missing."""
    if missing is not None:
        print(f"left out: {missing}", file=sys.stderr)
        return
    with tempfile.TemporaryDirectory() as folder, jobs.workshop(Path(folder)) as shop:
        for name in jobs.NAMES[: asked.jobs]:
            yield shop, name


def _calls(shop: jobs.Workshop, name: str, share: int) -> tuple[Sequence[Call], str]:
    """Return the calls at which to strike, and which they are in words."""
    calls = shop.calls(name)
    some = calls[::share]
    return some, f"each of {len(calls)} calls" if share == 1 else f"{len(some)} of {len(calls)} calls"


def _figure(what: str, tries: Iterable[tuple[object, str | None]], *, seeds: str) -> Figure:
    """Try one case after the other; each comes with what is wrong with it."""
    began, failed, tried = time.monotonic(), [], 0
    for case, wrong in tries:
        tried += 1
        if wrong:
            failed.append({"case": str(case), "what": wrong})
            print(f"{what}, {case}: {wrong}", file=sys.stderr, flush=True)
    return _facts(what, seeds, tried, failed=failed, began=began)


def _facts(what: str, seeds: str, tried: int, *, failed: list[dict[str, str]], began: float) -> Figure:
    return {
        "what": what,
        "seeds": seeds,
        "tried": tried,
        "failed": failed,
        "seconds": round(time.monotonic() - began),
        "measured_at": datetime.now(UTC).strftime("%F"),
        "software": f"auditframe {af.__version__}, Python {platform.python_version()}",
    }


def _write(figure: Figure) -> None:
    """Put a figure among those that are there, in the place of an earlier one of its kind."""
    there = json.loads(RESULTS.read_text("utf-8"))["figures"] if RESULTS.exists() else []
    figures = {each["what"]: each for each in there} | {figure["what"]: figure}
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({"figures": list(figures.values())}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    raise SystemExit(main())
