"""Jobs are killed at system calls, or the system refuses them: the next run completes them, and nothing is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.jobs import ERRORS, NAMES, workshop
from tests.soak import IS_SOAK
from tests.strace import missing

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.jobs import Workshop
    from tests.strace import Call

pytestmark = [
    pytest.mark.zoneless,  # it strikes at writes; which UTC day they are for is proved without strikes
    pytest.mark.skipif(missing() is not None, reason=missing() or ""),
]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    with workshop(tmp_path_factory.mktemp("shop")) as found:
        yield found


def struck(calls: Sequence[Call], *, most: int, first: int = 0) -> Sequence[Call]:
    """Return the calls at which to strike: each in a soak, else a few of them, spread evenly."""
    return calls if IS_SOAK else calls[first :: -(-len(calls) // most)]


@pytest.mark.parametrize("name", NAMES)
def test_a_job_killed_at_a_system_call_is_completed_by_the_next_run(shop: Workshop, name: str) -> None:
    for call in struck(shop.calls(name), most=4, first=3):
        assert (call, shop.killed(name, call)) == (call, None)


@pytest.mark.parametrize("name", NAMES)
def test_a_disk_that_refuses_leaves_the_lake_readable_and_is_told_in_one_line(shop: Workshop, name: str) -> None:
    calls = shop.calls(name)
    for number, error in enumerate(ERRORS):
        for call in struck(calls, most=1, first=len(calls) * (2 * number + 1) // 8):
            assert (call, error, shop.refused(name, call, error)) == (call, error, None)


@pytest.mark.parametrize("name", NAMES)
def test_the_calls_of_a_job_include_opening_writing_syncing_and_naming_files(shop: Workshop, name: str) -> None:
    names = {call.name for call in shop.calls(name)}

    assert names >= {"openat", "write", "fsync", "unlink"}
