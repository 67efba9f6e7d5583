"""A lake of every kind of file, and what becomes of it when single bytes change.

Run as a program for the whole: ``python -m tests.tampering [EVERY] [SEED]``; 1 tries every byte.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auditframe.errors import LakeError
from auditframe.flatten import Flattened, Quarantined, flatten_events
from auditframe.lake import Lake
from auditframe.lake.journal import Journal, Walk, write_journal, write_walk
from auditframe.lake.layout import Layout
from auditframe.lake.records import Collected, Span

if TYPE_CHECKING:
    from collections.abc import Iterator

DAY_S = 86_400
T0 = datetime(1970, 1, 1, tzinfo=UTC)
WHO = "ana@example.org"


@dataclass(frozen=True, slots=True)
class Flip:
    """One changed byte.

    Attributes:
        file: The file, from the lake's root.
        offset_bytes: Where [B].
        mask: What the byte was combined with by exclusive or.
    """

    file: str
    offset_bytes: int
    mask: int


@dataclass(frozen=True, slots=True)
class Tampering:
    """What became of many flips.

    Attributes:
        tried: How many.
        undetected: Those that `Lake.verify` named no fault for.
    """

    tried: int
    undetected: tuple[Flip, ...]


def event(id_: str, at: int = 0, email: str = "bo@example.org", **more: Any) -> dict[str, Any]:
    actor = {"type": "session", "session": {"user": {"id": f"user-{email}", "email": email}}}
    return {"id": id_, "type": "login.succeeded", "effective_at": at, "actor": actor} | more


def arriving(*events: dict[str, Any]) -> Flattened:
    return flatten_events(events, scope="organization", seen_at=T0 + timedelta(days=30))


def make_lake(path: Path) -> str:
    """Make a lake of six entries: snapshot, import, retry, erasure, expiry, snapshot.

    It has three partitions, two lines in quarantine, a window cut short and the journal of a run that changed nothing.

    Returns:
        The hash of its last entry.
    """
    lake, layout = Lake(path), Layout(path)
    with lake.writer() as writer:
        writer.add(arriving(event("a", 1, WHO), event("b", 2), event("c", DAY_S), event("old", 0)))
        writer.commit("snapshot", [collected(T0, T0 + timedelta(days=2))])
    unplaced = [
        Quarantined(b'{"id":"q"}', "It has no 'type'.", "q", "type"),
        Quarantined(b"\xff", "No JSON.", None, ""),
    ]
    lake.append(Flattened(arriving(event("d", 2 * DAY_S)).events, tuple(unplaced)))
    lake.retry_quarantine()
    lake.erase(WHO, reason="Ticket 7")
    lake.expire(T0 + timedelta(seconds=1), reason="retention")
    with lake.writer() as writer:
        entry = writer.commit("snapshot", [collected(T0 + timedelta(days=1), T0 + timedelta(days=3))])
    start = T0 + timedelta(days=3)
    write_walk(layout, Walk(scope="tenant", start=start, end=None, asked_at=start, number=6, cursors=["c"]))
    write_journal(layout, Journal(number=7, kind="import", started_at=start, touched=[], quarantine=[]))
    return entry.hash


def collected(start: datetime | None, end: datetime, *, scope: str = "organization") -> Collected:
    return Collected(
        scope=scope,
        status="complete",
        windows=[Span(start=start, end=end)],
        pages=1,
        first_request_id="req_1",
        last_request_id="req_1",
    )


def files_of(lake: Path) -> list[Path]:
    """Return every file with bytes, sorted."""
    return sorted(path for path in lake.rglob("*") if path.is_file() and path.stat().st_size)


def is_detected(lake: Path, *, anchor: str | None = None) -> bool:
    """Whether a lake has a fault, or is refused with one of the project's errors; anything else is raised."""
    try:
        return bool(Lake(lake).verify(anchor=anchor))
    except LakeError:
        return True


def undetected_flips(lake: Path, *, every: int, seed: int) -> Tampering:
    """Flip bytes of a lake one at a time, verify it whole each time, and put the byte back.

    Args:
        lake: A lake without a fault; it is left as it was.
        every: Try each so manieth byte of every file, twice: with its lowest bit flipped, and with a random mask.
        seed: Decides on which byte to begin, and on the masks.
    """
    anchor = Lake(lake).ledger()[-1].hash
    assert not is_detected(lake, anchor=anchor)
    flips = list(_flips(lake, every=every, seed=seed))
    return Tampering(len(flips), tuple(flip for flip in flips if not _is_noticed(lake, flip, anchor)))


def _flips(lake: Path, *, every: int, seed: int) -> Iterator[Flip]:
    dice = random.Random(seed)  # noqa: S311 - no secret
    for path in files_of(lake):
        name, size = path.relative_to(lake).as_posix(), path.stat().st_size
        for offset in range(dice.randrange(min(every, size)), size, every):
            yield Flip(name, offset, 0x01)
        for offset in range(dice.randrange(min(every, size)), size, every):
            yield Flip(name, offset, dice.choice([0xFF, dice.randrange(2, 0x100)]))


def _is_noticed(lake: Path, flip: Flip, anchor: str) -> bool:
    path = lake / flip.file
    data = path.read_bytes()
    changed = bytearray(data)
    changed[flip.offset_bytes] ^= flip.mask
    path.write_bytes(changed)
    try:
        return is_detected(lake, anchor=anchor)
    except Exception as error:
        error.add_note(str(flip))
        raise
    finally:
        path.write_bytes(data)


def main(every: int = 1, seed: int = 0) -> int:
    """Try a lake made anew, and say how many flips were undetected."""
    with tempfile.TemporaryDirectory() as folder:
        make_lake(Path(folder) / "lake")
        started = time.monotonic()
        found = undetected_flips(Path(folder) / "lake", every=every, seed=seed)
    seconds = time.monotonic() - started
    sys.stdout.write(f"{found.tried} flips tried in {seconds:.0f} s, {len(found.undetected)} undetected\n")
    sys.stdout.writelines(f"{flip}\n" for flip in found.undetected)
    return len(found.undetected)


if __name__ == "__main__":
    sys.exit(bool(main(*map(int, sys.argv[1:]))))
