"""A page as the bytes of an answer, and the cursors that it hands out."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from auditframe.emulator.behaviour import Behaviour
    from auditframe.emulator.listing import Page


def write_page(page: Page, behaviour: Behaviour) -> bytes:
    """Write a page in the shape that the behaviour gives it."""
    return b"".join(_document(part, behaviour) for part in _parts(page, behaviour))


def cursors_on(page: Page, behaviour: Behaviour) -> Iterator[str]:
    """Yield what a client may take for a cursor: the ids of the rows, and those of the envelope."""
    yield from (row.id for row in page.rows if row.id)
    for part in _parts(page, behaviour):
        yield from (id_ for id_ in _envelope_ids(part, behaviour) if id_ is not None)


def to_json(value: object) -> bytes:
    """Write a value as compact JSON."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")


def _parts(page: Page, behaviour: Behaviour) -> tuple[Page, ...]:
    return page.halves() if behaviour.concatenated else (page,)


def _document(page: Page, behaviour: Behaviour) -> bytes:
    first_id, last_id = _envelope_ids(page, behaviour)
    raws = (row.raw for row in page.rows)
    elements = (_as_string(raw) for raw in raws) if behaviour.string_events else raws
    end = {"first_id": first_id, "last_id": last_id, "has_more": page.has_more}
    return b'{"object":"list","data":[' + b",".join(elements) + b"]," + to_json(end)[1:]


def _envelope_ids(page: Page, behaviour: Behaviour) -> tuple[str | None, str | None]:
    if behaviour.null_ids or not page.rows:
        return None, None
    first, last = page.rows[0], page.rows[-1]
    # A row without an id can be paged past only by a cursor of another kind.
    last_id = "" if behaviour.foreign_last_id else last.id
    return first.id or first.cursor, last_id or last.cursor


def _as_string(raw: bytes) -> bytes:
    return to_json(raw.decode("utf-8", "surrogatepass"))
