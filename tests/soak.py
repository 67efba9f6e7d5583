"""How much is tried: everything under ``AUDITFRAME_SOAK=1``, else a sample that is the same at every run."""

from __future__ import annotations

import os
import random
from itertools import pairwise
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

Item = TypeVar("Item")

IS_SOAK = os.environ.get("AUDITFRAME_SOAK") == "1"
"""Whether everything is tried."""


def sampled(items: Sequence[Item], *, most: int, seed: int) -> list[Item]:
    """Return what is tried of many: all in a soak, else one of each of as many stretches of the same length.

    Args:
        items: What could be tried, in the order in which it happens.
        most: How many stretches there are at most.
        seed: Decides which of a stretch is tried.
    """
    count = len(items) if IS_SOAK else min(most, len(items))
    dice = random.Random(seed)  # noqa: S311 - no secret
    ends = [len(items) * number // count for number in range(count + 1)] if count else []
    return [items[dice.randrange(first, last)] for first, last in pairwise(ends)]
