"""Which ids a lake may hold, in memory: eight bytes an id, so that telling new events needs no disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_RUNS = 16
"""So many sorted runs are searched before they are made one."""


class Fingerprints:
    """The fingerprints of ids; what it does not hold was never added, what it may hold has to be looked up."""

    def __init__(self) -> None:
        self._runs: list[NDArray[np.int64]] = []

    def add(self, ids: Sequence[str]) -> None:
        """Remember ids."""
        self._runs.append(np.sort(_fingerprints(ids)))
        if len(self._runs) > _RUNS:
            self._runs = [np.sort(np.concatenate(self._runs))]

    def may_hold(self, ids: Sequence[str]) -> list[str]:
        """Return, in their order, the ids that may have been added."""
        wanted = _fingerprints(ids)
        found = np.zeros(len(ids), dtype=bool)
        for run in self._runs:
            places = np.searchsorted(run, wanted)
            found |= (places < len(run)) & (run[np.minimum(places, len(run) - 1)] == wanted) if len(run) else False
        return [ids[int(place)] for place in np.flatnonzero(found)]


def _fingerprints(ids: Sequence[str]) -> NDArray[np.int64]:
    """Hash with Python's own function: it differs from process to process, and none of it is ever written."""
    return np.fromiter(map(hash, ids), dtype=np.int64, count=len(ids))
