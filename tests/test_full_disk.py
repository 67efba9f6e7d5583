"""A disk that is really full, or read-only: the lake stays readable, one line says so, and the next run completes."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from tests.jobs import NAMES, workshop
from tests.small_disk import missing, small_disk
from tests.soak import IS_SOAK

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.jobs import Workshop

pytestmark = [
    pytest.mark.zoneless,  # a disk is full at writes; which UTC day they are for is proved on disks with room
    pytest.mark.skipif(missing() is not None, reason=missing() or ""),
]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    with workshop(tmp_path_factory.mktemp("shop")) as found:
        yield found


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path) as found:
        yield found


@pytest.mark.parametrize("name", NAMES)
def test_a_full_disk_keeps_the_lake_and_the_next_run_has_what_is_missing(shop: Workshop, disk: Path, name: str) -> None:
    """AUDITFRAME_SOAK=1 tries every number of free pages up to the first that is enough; else a few of them."""
    for pages in itertools.count() if IS_SOAK else (0, 1, 10):
        is_too_few, wrong = shop.crowded_out(name, disk, pages=pages)
        assert (pages, wrong) == (pages, None)
        assert is_too_few or pages
        if not is_too_few:
            break


@pytest.mark.parametrize("name", NAMES)
def test_a_disk_that_is_read_only_is_told_in_one_line(shop: Workshop, disk: Path, name: str) -> None:
    assert shop.locked_out(name, disk) is None
