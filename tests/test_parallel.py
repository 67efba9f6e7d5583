"""Iterators side by side: nothing is lost, failures come last, and nobody waits for ever."""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
import weakref
from functools import partial
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditframe import parallel
from auditframe.parallel import ahead, side_by_side, spread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def counting(name: int, items: int) -> Iterator[tuple[int, int]]:
    yield from ((name, number) for number in range(items))


def never(_: object) -> bool:
    return False


@given(st.lists(st.integers(0, 5), max_size=9), st.integers(1, 4), st.sampled_from([bool, never]))
def test_every_item_comes_once_and_those_of_one_source_in_order(
    sizes: list[int], workers: int, are_enough: Callable[[object], bool]
) -> None:
    sources = [partial(counting, name, size) for name, size in enumerate(sizes)]
    together = list(side_by_side(sources, workers=workers, stop=threading.Event(), are_enough=are_enough))
    items = list(itertools.chain.from_iterable(together))

    assert all(0 < len(come) <= workers for come in together)
    assert sorted(items) == [(name, number) for name, size in enumerate(sizes) for number in range(size)]
    assert all([n for m, n in items if m == name] == list(range(size)) for name, size in enumerate(sizes))


def test_items_that_are_ready_come_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "_LINGER_S", 20.0)  # on a busy machine, too
    meeting = threading.Barrier(3, timeout=20)

    def source(number: int) -> Iterator[int]:
        meeting.wait()
        yield number

    sources = [partial(source, number) for number in range(3)]
    together = list(side_by_side(sources, workers=3, stop=threading.Event(), are_enough=never))

    assert [sorted(come) for come in together] == [[0, 1, 2]]


def test_so_many_run_at_once_and_no_more() -> None:
    meeting = threading.Barrier(3, timeout=20)
    running, most = 0, 0
    lock = threading.Lock()

    def source() -> Iterator[int]:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        meeting.wait()
        with lock:
            running -= 1
        yield 1

    assert list(side_by_side([source] * 9, workers=3, stop=threading.Event())) == [[1]] * 9
    assert most == 3


def test_what_arrived_comes_before_the_failure_and_nothing_new_is_begun() -> None:
    begun: list[int] = []
    stop = threading.Event()

    def source(number: int) -> Iterator[int]:
        begun.append(number)
        yield number
        if number == 2:
            raise ValueError("two")

    items = side_by_side([partial(source, number) for number in range(9)], workers=1, stop=stop)
    taken = [next(items), next(items), next(items)]
    with pytest.raises(ValueError, match="two"):
        next(items)

    assert taken == [[0], [1], [2]]
    assert begun == [0, 1, 2]
    assert stop.is_set()


def test_who_wants_no_more_does_not_leave_threads_behind() -> None:
    stop = threading.Event()
    before = threading.active_count()
    items = side_by_side([partial(counting, 0, 1_000_000)], workers=2, stop=stop)
    next(items)
    items.close()
    for thread in threading.enumerate():
        if thread.name.startswith("auditframe-"):
            thread.join(20)

    assert stop.is_set()
    assert threading.active_count() <= before


def test_nobody_runs_far_ahead_of_who_takes_the_items() -> None:
    made: list[int] = []

    def source() -> Iterator[int]:
        for number in range(100):
            made.append(number)
            yield number

    items = side_by_side([source] * 3, workers=3, stop=threading.Event())
    most = 0
    for taken, _ in enumerate(itertools.chain.from_iterable(items), start=1):
        time.sleep(0.005)
        most = max(most, len(made) - taken)

    assert len(made) == 300
    assert most <= 3 + 1  # what each has at hand, and one that waits


@given(st.lists(st.integers()), st.none() | st.integers(0, 5))
def test_what_is_made_ahead_comes_in_order_and_an_error_when_it_is_due(items: list[int], fails_at: int | None) -> None:
    def made() -> Iterator[int]:
        for number, item in enumerate(items):
            if number == fails_at:
                raise LookupError(item)
            yield item

    taken: list[int] = []
    fails = fails_at is not None and fails_at < len(items)
    with pytest.raises(LookupError) if fails else contextlib.nullcontext():
        for item in ahead(made()):
            taken.append(item)  # noqa: PERF402 - what came before an error counts

    assert taken == items[:fails_at]


def test_one_item_is_made_while_one_is_used_and_none_is_kept() -> None:
    begun: list[int] = []
    second = threading.Event()

    class Item:
        pass

    def made() -> Iterator[Item]:
        for number in range(4):
            begun.append(number)
            if number == 1:
                second.set()
            yield Item()

    coming = ahead(made())
    item = next(coming)
    assert second.wait(timeout=10)
    kept = weakref.ref(item)
    del item
    assert kept() is None
    next(coming)
    coming.close()
    assert begun[:2] == [0, 1]
    assert len(begun) <= 3


@given(st.lists(st.integers(), max_size=20), st.none() | st.integers(0, 19))
def test_each_item_is_acted_on_once_and_the_first_failure_is_raised(items: list[int], fails_at: int | None) -> None:
    acted: list[int] = []

    def act(numbered: tuple[int, int]) -> None:
        number, item = numbered
        if fails_at is not None and number >= fails_at:
            raise ValueError(number)
        acted.append(item)

    if fails_at is not None and fails_at < len(items):
        with pytest.raises(ValueError, match=f"^{fails_at}$"):
            spread(act, list(enumerate(items)))
        assert sorted(acted) == sorted(items[:fails_at])
    else:
        spread(act, list(enumerate(items)))
        assert sorted(acted) == sorted(items)
