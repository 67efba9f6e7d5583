"""Iterators on threads: several at once as one, or one that is ahead of who takes its items."""

from __future__ import annotations

import collections
import itertools
import math
import os
import queue
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Sequence

T = TypeVar("T")

_ROOM = 1
"""How many items may wait to be taken, beside the one that each worker has at hand."""

_PATIENCE_S = 3.0
"""How long, after one has failed or somebody stops, the others may take to hand over what they have [s]."""

_POLL_S = 0.1  # how soon either side notices that the other, or somebody else, wants no more

_LINGER_S = 0.005
"""How long to wait for an item that is ready to join those that have come [s]: it needs this thread to let go."""


def side_by_side(
    sources: Iterable[Callable[[], Iterator[T]]],
    *,
    workers: int,
    stop: threading.Event,
    are_enough: Callable[[list[T]], bool] = bool,
) -> Generator[list[T], None, None]:
    """Run iterators on threads, so many at a time, and yield what they yield as it comes.

    Args:
        sources: Each begins an iterator; they are begun in their order.
        workers: How many run at once.
        stop: Set when the first one fails, or when nobody wants more; an iterator that sees it may end early.
        are_enough: Whether items are yielded without waiting for those that are ready, too.

    Yields:
        Items that have come, at least one and at most one for each worker; those of one source in its order. When a
        source raises, or the user does, what the others have at hand comes first, then the error is raised.
    """
    crew: _Crew[T] = _Crew(sources, workers=workers, stop=stop, are_enough=are_enough)
    try:
        yield from crew.items()
    except KeyboardInterrupt:
        stop.set()
        yield from crew.items()
        raise
    finally:
        crew.dismiss()
    if crew.failure is not None:
        raise crew.failure


def ahead(items: Iterator[T]) -> Generator[T, None, None]:
    """Yield items in their order, while a thread makes the next one.

    Yields:
        Each item, without keeping it; what making one raises is raised when it is due.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="auditframe") as maker:
        coming = maker.submit(list, itertools.islice(items, 1))
        while item := coming.result():
            coming = maker.submit(list, itertools.islice(items, 1))
            yield item.pop()


def spread(act: Callable[[T], object], items: Sequence[T]) -> None:
    """Act on items, begun in their order, on a thread for each processor; the first failure among them is raised.

    Where there are no two for each thread, one does it all: little is gained, and each takes memory.
    """
    workers = min(os.cpu_count() or 1, len(items) // 2)
    if workers <= 1:
        collections.deque(map(act, items), maxlen=0)
        return
    with ThreadPoolExecutor(workers, thread_name_prefix="auditframe") as threads:
        collections.deque(threads.map(act, items), maxlen=0)


class _Ended:
    """Says that a thread has no more."""


class _Crew(Generic[T]):
    """Threads that take sources from one list and put items into one queue."""

    def __init__(
        self,
        sources: Iterable[Callable[[], Iterator[T]]],
        *,
        workers: int,
        stop: threading.Event,
        are_enough: Callable[[list[T]], bool],
    ) -> None:
        self.failure: BaseException | None = None
        self._sources = iter(sources)
        self._lock = threading.Lock()
        self._queue: queue.Queue[T | _Ended] = queue.Queue(_ROOM)
        self._stop = stop
        self._dismissed = threading.Event()
        self._workers = self._busy = workers
        self._come: list[T] = []
        self._are_enough = are_enough
        # A request that never ends must not hold up the end of the process.
        for number in range(workers):
            threading.Thread(target=self._work, name=f"auditframe-{number}", daemon=True).start()

    def items(self) -> Iterator[list[T]]:
        """Yield items until every thread has ended, or, once they are to stop, has had the time to."""
        deadline_s = math.inf
        while self._busy:
            if self._stop.is_set():
                deadline_s = min(deadline_s, time.monotonic() + _PATIENCE_S)
            is_due = not self._take_one()
            if is_due and not self._come and time.monotonic() >= deadline_s:
                return
            if self._come and (is_due or len(self._come) >= self._workers or self._are_enough(self._come)):
                yield self._handed_over()
        if self._come:
            yield self._handed_over()

    def _take_one(self) -> bool:
        """Wait for an item, and shortly where others have come; say whether there was one, or the end of a thread."""
        try:
            item = self._queue.get(timeout=_LINGER_S if self._come else _POLL_S)
        except queue.Empty:
            return False
        if isinstance(item, _Ended):
            self._busy -= 1
        else:
            self._come.append(item)
        return True

    def _handed_over(self) -> list[T]:
        come, self._come = self._come, []
        return come

    def dismiss(self) -> None:
        """Let the threads end; nobody takes their items any more."""
        self._stop.set()
        self._dismissed.set()

    def _work(self) -> None:
        try:
            while (source := self._next()) is not None:
                for item in source():
                    self._put(item)
        except BaseException as failure:  # raised again where the items are taken
            self._fail(failure)
        finally:
            self._put(_Ended())

    def _next(self) -> Callable[[], Iterator[T]] | None:
        with self._lock:
            return None if self._stop.is_set() else next(self._sources, None)

    def _fail(self, failure: BaseException) -> None:
        with self._lock:
            self.failure = self.failure or failure
        self._stop.set()

    def _put(self, item: T | _Ended) -> None:
        while not self._dismissed.is_set():
            try:
                return self._queue.put(item, timeout=_POLL_S)
            except queue.Full:
                continue
        return None
