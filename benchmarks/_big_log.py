"""JSON lines of any length, fast: a made-up organization's log, copied over time."""

from __future__ import annotations

import itertools
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from auditframe.sample import sample

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

PERIOD_DAYS = 36
EVENTS_A_DAY = 2_740  # ten million are ten years
END = datetime(2026, 11, 1, tzinfo=UTC)

_DAY_S = 86_400


def write_logs(
    paths: Sequence[Path],
    *,
    sizes: Sequence[int],
    period_days: int = PERIOD_DAYS,
    events_a_day: int = EVENTS_A_DAY,
    end: datetime = END,
) -> None:
    """Write logs of so many events, oldest first, a line each, the first up to an end and each further one after it."""
    lines = log_lines(sizes[0], period_days=period_days, events_a_day=events_a_day, end=end)
    for path, size in zip(paths, sizes, strict=True):
        with path.open("w", encoding="utf-8") as file:
            file.writelines(itertools.islice(lines, size))


def log_lines(events: int, *, period_days: int, events_a_day: int, end: datetime) -> Iterator[str]:
    """Yield the lines of a log that ends at an end, and then goes on for ever; its first period may begin before."""
    base = sample(seed=11, events=events_a_day * period_days, days=period_days, end=end).events
    pieces = [_pieces(event) for event in base]
    periods = -(-events // len(pieces))
    skipped = periods * len(pieces) - events
    for period in itertools.count():
        later_s = (period + 1 - periods) * period_days * _DAY_S
        for start, at, rest in pieces[skipped if period == 0 else 0 :]:
            yield f'{start}-{period}"{rest[0]}{at + later_s}{rest[1]}\n'


def _pieces(event: object) -> tuple[str, int, tuple[str, str]]:
    """Cut an event's text after its id, and around its time."""
    text = json.dumps(event, ensure_ascii=False, separators=(",", ":"))
    start, rest = text.split('"', 4)[0:4], text.split('"', 4)[4]
    before, _, after = rest.partition('"effective_at":')
    digits = "".join(itertools.takewhile(str.isdigit, after))
    return '"'.join(start), int(digits), (f'{before}"effective_at":', after[len(digits) :])
