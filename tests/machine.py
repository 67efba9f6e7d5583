"""A state machine: whatever happens to an endpoint and a lake, in whatever order, the lake equals the model."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING
from unittest import mock

import hypothesis
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule, run_state_machine_as_test

from auditframe.flatten import Flattened, Quarantined, flatten_texts
from auditframe.lake import writer as lake_writer
from auditframe.lake.journal import read_walks
from auditframe.lake.layout import Layout
from auditframe.lake.parquet import encode_partition
from tests.ground import DAYS, Ground
from tests.model import read

if TYPE_CHECKING:
    from collections.abc import Collection

    import pyarrow as pa

    from tests.dying import How

QUARTERS = DAYS * 96
STEPS = 25
"""How many steps a sequence has at most."""

_PEOPLE = ("ana@example.org", "bo@example.org", "cy@example.org")
_TYPES = ("login.succeeded", "login.failed", "tenant.created", "new.type", None)

quarters = st.integers(0, QUARTERS)
people = st.sampled_from(_PEOPLE)
picks = st.integers(0, 1_000)
deaths = st.tuples(st.integers(1, 90), st.sampled_from(("before", "torn", "after")))
pages = st.sampled_from((1, 2, 100))


def run(examples: int, seed: int) -> int:
    """Run so many sequences of steps, drawn with a seed.

    Returns:
        How many steps were taken.

    Raises:
        AssertionError: A lake differs from its model; the steps that led there are in the notes.
    """
    return run_machine(Machine, examples, seed)


def run_machine(machine: type[Machine], examples: int, seed: int, *, phases: Collection[Phase] = tuple(Phase)) -> int:
    """Run a machine; the phases say whether a counterexample is made small."""
    taken = 0

    class Counting(machine):  # type: ignore[misc, valid-type]
        def teardown(self) -> None:
            nonlocal taken
            taken += self.taken
            super().teardown()

    asked = settings(
        max_examples=examples,
        stateful_step_count=STEPS,
        database=None,
        deadline=None,
        phases=phases,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(hypothesis.seed(seed)(Counting), settings=asked)
    return taken


class Machine(Ground):
    """What may happen to an endpoint, and to the lake that is collected from it."""

    # What happens at the endpoint.

    @rule(quarter=quarters, who=people, kinds=st.lists(st.sampled_from(_TYPES), min_size=1, max_size=4))
    def insert(self, quarter: int, who: str, kinds: list[str | None]) -> None:
        """Events of one second are listed; where the lake has read that time already, they come late."""
        texts = [self._write(f"e{next(self._numbers):03d}", quarter, who, kind) for kind in kinds]
        self._list(texts)

    @precondition(lambda self: self._covered())
    @rule(quarter=quarters, who=people, kind=st.sampled_from(_TYPES))
    def arrive_late(self, quarter: int, who: str, kind: str | None) -> None:
        """An event is listed inside a window that was read whole."""
        window = self._covered()[0]
        last = min(((window.end or self.end) - self.start) // timedelta(minutes=15), QUARTERS)
        self._list([self._write(f"late{next(self._numbers):03d}", quarter % max(last, 1), who, kind)])

    @precondition(lambda self: self.live)
    @rule(pick=picks, who=people, quarter=st.none() | quarters)
    def mutate(self, pick: int, who: str, quarter: int | None) -> None:
        """An event is listed with another payload, and maybe at another time."""
        id_ = self._pick(self.live, pick)
        event = read(self.live[id_])
        if self.has_lake and any(id_ in walk.cursors for walk in self.lake.walks()):
            quarter = None  # no reader could tell that its place in the list has moved away
        text = self._write(id_, quarter, who, event.get("type"), at=event["effective_at"])
        if read(text)["effective_at"] != event["effective_at"]:
            self.moved.add(id_)
        self.live[id_], self.listed_at[id_] = text, self.taken
        self.emulator.replace(text.encode())
        self.taken += 1

    @precondition(lambda self: self.live)
    @rule(pick=picks)
    def withdraw(self, pick: int) -> None:
        """An event is listed no more."""
        id_ = self._pick(self.live, pick)
        self.withdrawn[id_] = self.live.pop(id_)
        self.emulator.withdraw([id_])
        self.taken += 1

    @precondition(lambda self: self.withdrawn)
    @rule(pick=picks)
    def list_again(self, pick: int) -> None:
        """An event that was withdrawn is listed again."""
        self._list([self.withdrawn.pop(self._pick(self.withdrawn, pick))])

    # What happens to the lake.

    @rule(page=pages)
    def snapshot_everything(self, page: int) -> None:
        had_walks = bool(self.has_lake and list(read_walks(Layout(self.path))))
        self._snapshot(start=self.start, end=self.end, page=page)
        if not had_walks:
            self._check_vanished()

    @precondition(lambda self: self._covered())
    @rule(page=pages)
    def snapshot_what_is_new(self, page: int) -> None:
        self._snapshot(page=page)

    @rule(page=pages, most=st.integers(1, 6), workers=st.sampled_from((1, 8)))
    def snapshot_some_pages(self, page: int, most: int, workers: int) -> None:
        self._snapshot(start=self.start, end=self.end, page=page, max_pages=most, workers=workers)

    @rule(page=pages, fails_at=st.integers(0, 8))
    def snapshot_while_the_endpoint_fails(self, page: int, fails_at: int) -> None:
        self._snapshot(start=self.start, end=self.end, page=page, fails_at=fails_at)

    @rule(page=pages, death=deaths)
    def snapshot_and_die(self, page: int, death: tuple[int, How]) -> None:
        self._snapshot(start=self.start, end=self.end, page=page, death=death)

    @rule(
        picked=st.lists(picks, max_size=3),
        quarter=quarters,
        who=people,
        is_refused=st.booleans(),
        is_older=st.booleans(),
        death=st.none() | deaths,
    )
    def import_some(  # noqa: PLR0917 - what an import may be
        self,
        picked: list[int],
        quarter: int,
        who: str,
        is_refused: bool,
        is_older: bool,
        death: tuple[int, How] | None,
    ) -> None:
        """Events come from files: some that the endpoint lists, one that it does not; maybe in an older version."""
        own = self._write(f"file{next(self._numbers):03d}", quarter, who, "login.failed")
        texts = [*(self.live[self._pick(self.live, pick)] for pick in picked if self.live), own]
        arriving = flatten_texts([text.encode() for text in texts], scope="organization")
        if is_refused:
            items = (Quarantined(text.encode(), "No.", read(text)["id"], "type") for text in texts)
            arriving = Flattened(arriving.events.slice(0, 0), tuple(items))
        after = self.model.copy()
        for text in texts:
            after.arrive(text, is_refused=is_refused)
        encode = _encode_as_before if is_older else encode_partition
        with mock.patch.object(lake_writer, "encode_partition", encode):
            self._change(lambda: self.lake.append(arriving), after, death)

    @precondition(lambda self: self.has_lake)
    @rule(who=people, death=st.none() | deaths)
    def erase(self, who: str, death: tuple[int, How] | None) -> None:
        after = self.model.copy()
        after.erase(who)
        reason = f"ticket {self.taken}"
        self._remove(lambda: self.lake.erase(who, reason=reason), after, death, reason=reason)

    @precondition(lambda self: self.has_lake)
    @rule(quarter=quarters, death=st.none() | deaths)
    def expire(self, quarter: int, death: tuple[int, How] | None) -> None:
        after, before = self.model.copy(), self._at(quarter)
        after.expire(int(before.timestamp()))
        reason = f"ticket {self.taken}"
        self._remove(lambda: self.lake.expire(before, reason=reason), after, death, reason=reason)

    @precondition(lambda self: self.has_lake)
    @rule(death=st.none() | deaths)
    def rebuild(self, death: tuple[int, How] | None) -> None:
        self._change(lambda: self.lake.rebuild(), self.model.copy(), death)

    @precondition(lambda self: self.has_lake)
    @rule(death=st.none() | deaths)
    def retry_quarantine(self, death: tuple[int, How] | None) -> None:
        after = self.model.copy()
        after.retry()
        self._change(lambda: self.lake.retry_quarantine(), after, death)


def _encode_as_before(rows: pa.Table) -> bytes:
    """Write a partition as a version did that did not know every column."""
    return encode_partition(rows.drop_columns(["actor_email"]))
