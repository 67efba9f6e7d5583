"""Which texts were seen, at eight bytes each."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, TypeVar

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

Text = TypeVar("Text", str, bytes, str | bytes)

STORED = np.dtype("<u8")
"""How a fingerprint stands in a file."""


class Fingerprints:
    """The fingerprints of texts, such as ids.

    What they do not hold was never added. What they may hold was, but for a chance of 1 in 2^64 for each text that they
    hold.

    Args:
        runs: Fingerprints that are held from the beginning; each run sorted.
    """

    def __init__(self, runs: Iterable[NDArray[np.uint64]] = ()) -> None:
        self._runs = list(runs)

    def add(self, texts: Sequence[Text]) -> None:
        """Remember texts."""
        self.put(*self.joined(fingerprints(texts)))

    def joined(self, run: NDArray[np.uint64]) -> tuple[NDArray[np.uint64], int]:
        """Make one of a new run and the last ones that are not much longer; return it, and how many those are."""
        left, parts = list(self._runs), [run]
        while left and len(left[-1]) <= 2 * sum(map(len, parts)):
            parts.append(left.pop())
        joined = np.concatenate(parts)
        joined.sort()
        return joined, len(self._runs) - len(left)

    def put(self, run: NDArray[np.uint64], taken: int) -> None:
        """Let a run stand for the last ones, of which it has so many taken in."""
        self._runs[len(self._runs) - taken :] = [run]

    def may_hold(self, texts: Sequence[Text], wanted: NDArray[np.uint64] | None = None) -> list[Text]:
        """Return, in their order, the texts that were added; `wanted` are their fingerprints, where known."""
        wanted = fingerprints(texts) if wanted is None else wanted
        found = np.zeros(len(texts), dtype=bool)
        for run in filter(len, self._runs):
            places = np.searchsorted(run, wanted)
            found |= run[np.minimum(places, len(run) - 1)] == wanted
        return [texts[int(place)] for place in np.flatnonzero(found)]


def fingerprints(texts: Sequence[Text]) -> NDArray[np.uint64]:
    """Return the fingerprint of each text, in the same order."""
    encoded = (text.encode() if isinstance(text, str) else text for text in texts)
    digests = b"".join(blake2b(text, digest_size=STORED.itemsize).digest() for text in encoded)
    return np.frombuffer(digests, dtype=STORED).astype(np.uint64, copy=False)
