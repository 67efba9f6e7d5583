"""Chance that falls alike on every Python: nothing but `Random.random` is used."""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate
from random import Random
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

T = TypeVar("T")

_ALNUM = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_HEX = "0123456789abcdef"


class Weighted:
    """A table of values with integer weights, ready to draw from."""

    def __init__(self, weights: Mapping[str, int]) -> None:
        self._values = tuple(weights)
        self._sums = tuple(accumulate(weights.values()))

    def draw(self, dice: Dice) -> str:
        """Draw one value, in proportion to its weight."""
        return self._values[bisect_right(self._sums, dice.below(self._sums[-1]))]


class Dice:
    """A seeded source of chance."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed).random  # noqa: S311 - made-up data, not secrets

    def below(self, n: int) -> int:
        """Draw an integer from ``[0, n)``; 0 when `n` is not positive."""
        return int(self._random() * n) if n > 0 else 0

    def between(self, low: int, high: int) -> int:
        """Draw an integer from ``[low, high)``; `low` when that is empty."""
        return low + self.below(high - low)

    def chance(self, one_in: int) -> bool:
        """Say yes once in `one_in` throws."""
        return self.below(one_in) == 0

    def pick(self, values: Sequence[T]) -> T:
        """Draw one of the values."""
        return values[self.below(len(values))]

    def some(self, values: Sequence[T], *, most: int | None = None) -> list[T]:
        """Draw one value or more, at most `most`, each at most once, in the order given."""
        left = self.between(1, min(most or len(values), len(values)) + 1)
        chosen = []
        for remaining, value in zip(range(len(values), 0, -1), values, strict=True):
            if self.below(remaining) < left:
                chosen.append(value)
                left -= 1
        return chosen

    def token(self, length: int) -> str:
        """Draw letters and digits."""
        return "".join([_ALNUM[int(self._random() * 62)] for _ in range(length)])

    def hex(self, length: int) -> str:
        """Draw lower-case hexadecimal digits."""
        return "".join([_HEX[int(self._random() * 16)] for _ in range(length)])
