"""Random worlds: endpoints with quirks and faults; the lake equals the truth, or the run says what is missing."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import pytest

from tests.worlds import disproof

if TYPE_CHECKING:
    from pathlib import Path

SEEDS = tuple(Random(20261124).sample(range(10_000), 40))  # noqa: S311 - reproducible, not secret


@pytest.mark.parametrize("seed", SEEDS)
def test_the_lake_equals_the_truth_or_the_gap_is_shown(tmp_path: Path, seed: int) -> None:
    assert disproof(seed, tmp_path) is None
