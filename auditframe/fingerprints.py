"""Which texts were seen, at eight bytes each."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Protocol, TypeVar

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

Text = TypeVar("Text", str, bytes, str | bytes)

STORED = np.dtype("<u8")
"""How a fingerprint stands in a file."""


class Run(Protocol):
    """Fingerprints that are sorted, wherever they are."""

    def __len__(self) -> int:
        """Return how many there are."""

    def whole(self) -> NDArray[np.uint64]:
        """Return all of them."""

    def holds(self, wanted: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Say of each that is wanted whether it is one of them, in the same order."""


@dataclass(frozen=True, slots=True)
class HeldRun:
    """A run in memory.

    Attributes:
        ids: The fingerprints, sorted.
    """

    ids: NDArray[np.uint64]

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.ids)

    def whole(self) -> NDArray[np.uint64]:
        """Return all of them."""
        return self.ids

    def holds(self, wanted: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Say of each that is wanted whether it is one of them, in the same order."""
        return are_in(self.ids, wanted)


class Fingerprints:
    """The fingerprints of texts, such as ids.

    What they do not hold was never added. What they may hold was, but for a chance of 1 in 2^64 for each text that they
    hold.

    Args:
        runs: What is held from the beginning.
    """

    def __init__(self, runs: Iterable[Run] = ()) -> None:
        self._runs = list(runs)

    def add(self, texts: Sequence[Text]) -> None:
        """Remember texts."""
        self.put(*self.joined(fingerprints(texts)))

    def joined(self, run: NDArray[np.uint64]) -> tuple[NDArray[np.uint64], int]:
        """Make one of a new run and the last ones that are not much longer; return it, and how many those are."""
        left, parts = list(self._runs), [run]
        while left and len(left[-1]) <= 2 * sum(map(len, parts)):
            parts.append(left.pop().whole())
        joined = np.concatenate(parts)
        joined.sort()
        return joined, len(self._runs) - len(left)

    def put(self, run: NDArray[np.uint64], taken: int) -> None:
        """Let a run stand for the last ones, of which it has so many taken in."""
        self._runs[len(self._runs) - taken :] = [HeldRun(run)]

    def lacking(self, others: Fingerprints) -> int:
        """Return how many of these others do not hold."""
        return sum(int(np.count_nonzero(~others.holds(run.whole()))) for run in self._runs)

    def holds(self, wanted: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Say of each fingerprint that is wanted whether it was added, in the same order."""
        found = np.zeros(len(wanted), dtype=bool)
        for run in self._runs:
            found |= run.holds(wanted)
        return found

    def may_hold(self, texts: Sequence[Text], wanted: NDArray[np.uint64] | None = None) -> list[Text]:
        """Return, in their order, the texts that were added; `wanted` are their fingerprints, where known."""
        wanted = fingerprints(texts) if wanted is None else wanted
        return [texts[int(place)] for place in np.flatnonzero(self.holds(wanted))]


def are_in(ids: NDArray[np.uint64], wanted: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Say of each fingerprint that is wanted whether sorted ones hold it."""
    if not len(ids):
        return np.zeros(len(wanted), dtype=bool)
    nearest = ids[np.minimum(np.searchsorted(ids, wanted), len(ids) - 1)]
    return np.equal(nearest, wanted)


def fingerprints(texts: Sequence[Text]) -> NDArray[np.uint64]:
    """Return the fingerprint of each text, in the same order."""
    encoded = (text.encode() if isinstance(text, str) else text for text in texts)
    digests = b"".join(blake2b(text, digest_size=STORED.itemsize).digest() for text in encoded)
    return np.frombuffer(digests, dtype=STORED).astype(np.uint64, copy=False)
