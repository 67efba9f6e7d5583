from __future__ import annotations

import errno
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditframe.errors import FileError
from auditframe.spool import Spool

if TYPE_CHECKING:
    from auditframe.spool import Day

days = st.one_of(st.none(), st.integers(-3, 3), st.integers(10**30, 10**30 + 1))


@given(st.lists(st.lists(st.tuples(days, st.binary(max_size=20)), max_size=6)), st.integers(0, 60))
def test_texts_come_back_whole_by_day_and_in_the_order_in_which_they_came(
    parts: list[list[tuple[Day, bytes]]], room_bytes: int
) -> None:
    with Spool(room_bytes=room_bytes) as spool:
        for part in parts:
            spool.add(part)
        found = [text for texts in spool.by_day() for text in texts]

    put = [pair for part in parts for pair in part]
    assert found == [text for day, text in sorted(put, key=lambda pair: (pair[0] is None, pair[0] or 0))]


def test_nothing_stays_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with Spool(room_bytes=0) as spool:
        spool.add([(1, b"a")])
        held = list(tmp_path.rglob("*"))

    assert len(held) == 2
    assert list(tmp_path.iterdir()) == []


def test_a_disk_without_room_is_told_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, mode: str) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path), mode)

    with Spool(room_bytes=0) as spool:
        monkeypatch.setattr(Path, "open", refuse)
        with pytest.raises(FileError, match=r"No space left on device\. .* TMPDIR names another one"):
            spool.add([(1, b"a")])
