"""How much a run may read, and how much of what it has read may be at risk."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_PAGES = 100
"""How many pages of a window are held in memory before they are handed over."""


class Budget:
    """What the threads of a run share: pages left, time left, and pages that a kill would lose.

    Args:
        pages: How many pages the run may read; None for any number.
        seconds: How long it may go on [s]; None for ever.

    Attributes:
        stop: Set when no page is wanted any more, for whatever reason.
        ended_by: Which bound ended the run, in words; None when none did.
    """

    def __init__(self, *, pages: int | None, seconds: float | None) -> None:
        self.stop = threading.Event()
        self.ended_by: str | None = None
        self._pages, self._seconds = pages, seconds
        self._lock = threading.Lock()
        self._left = pages
        self._held = 0
        self._handed_over = 0

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Let the time run."""
        if self._seconds is None:
            yield
            return
        alarm = threading.Timer(self._seconds, self._end, (f"the {self._seconds:g} s that it was given are over",))
        alarm.daemon = True
        alarm.start()
        try:
            yield
        finally:
            alarm.cancel()

    def take_page(self) -> bool:
        """Take the right to read one more page; False when there is none."""
        with self._lock:
            if self._left == 0:
                self._end(f"the {self._pages} page(s) that it was given are read")
            if self.stop.is_set():
                return False
            if self._left is not None:
                self._left -= 1
            return True

    def is_due(self, batch: int) -> bool:
        """Say, after each page, whether a window's pages since the last time should be handed over now.

        The more a run has handed over, the more may be at risk: so one that is killed early has brought something,
        and one that is not writes little more often than it must.

        Args:
            batch: How many pages they are.
        """
        with self._lock:
            self._held += 1
            return batch >= MOST_PAGES or self._held > self._handed_over

    def hand_over(self, batch: int) -> None:
        """Note that so many pages are no longer held."""
        with self._lock:
            self._held -= batch
            self._handed_over += batch

    def _end(self, why: str) -> None:
        if not self.stop.is_set():
            self.ended_by = why
            self.stop.set()
