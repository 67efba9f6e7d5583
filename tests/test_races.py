"""Four writers at once: exactly the truth, nobody waits for ever, and a killed writer holds nobody up."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.races import disproof

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("seed", range(6))
def test_writers_that_race_leave_exactly_the_truth(tmp_path: Path, seed: int) -> None:
    assert disproof(seed, tmp_path) is None
