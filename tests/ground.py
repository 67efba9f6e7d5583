"""What a state machine stands on: an endpoint, the lake that is collected from it, and how steps are taken."""

from __future__ import annotations

import json
import shutil
import tempfile
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import httpx
import pyarrow.parquet as pq
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant

import auditframe as af
from auditframe.catalogue import lookup
from auditframe.emulator import Emulator
from auditframe.errors import ApiError, SnapshotInterrupted
from auditframe.lake.journal import read_journal, read_walks
from auditframe.lake.layout import Layout
from auditframe.lake.ledger import vanished
from auditframe.window import midnight
from tests.conftest import HASTY, KEY
from tests.dying import dying
from tests.model import Model, read

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from wsgiref.types import StartResponse, WSGIEnvironment

    from tests.dying import How

DAYS = 3
_UNFINISHED = (
    "A run that was killed",
    "It was never finished",
    "was cut short",
    "The next entry will speak",
    "Nothing needs it: a run was killed",
)


class Told:
    """The endpoint for one run: it remembers what it told, and fails from one of its requests on."""

    def __init__(self, emulator: Emulator, *, fails_at: int | None = None, page: int = 100) -> None:
        self.ids: list[str] = []
        self._emulator, self._fails_at, self._page = emulator, fails_at, page
        self._numbers = count()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        if self._fails_at is not None and next(self._numbers) >= self._fails_at:
            start_response("503 Service Unavailable", [("Content-Type", "application/json")])
            return [b"{}"]
        query = environ["QUERY_STRING"].replace("limit=100", f"limit={self._page}")
        asked = environ | {"QUERY_STRING": query, "HTTP_ACCEPT_ENCODING": "identity"}
        body = b"".join(self._emulator(asked, start_response))
        self.ids += [event["id"] for event in json.loads(body).get("data", ())]
        return [body]


class Ground(RuleBasedStateMachine):
    """An endpoint, the lake that is collected from it, and the model of that lake."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.path = self.folder / "lake"
        self.partition: Literal["day", "month"] | None = None
        self.emulator = Emulator([])
        self.start = midnight(datetime.now(UTC)) - timedelta(days=DAYS)
        self.end = self.start + timedelta(days=DAYS, seconds=1)
        self.model = Model()
        self.before_removal: Model | None = None
        """What may still be there, since a removal was killed."""
        self.is_killed = False
        self.taken = 0
        self.live: dict[str, str] = {}
        self.withdrawn: dict[str, str] = {}
        self.listed_at: dict[str, int] = {}
        self.moved: set[str] = set()
        self.collected: set[str] = set()
        self.began: dict[tuple[str, datetime | None], int] = {}
        self.entries_seen = 0
        self._numbers = count()

    @initialize(partition=st.sampled_from((None, "day", "month")))
    def choose_the_grain(self, partition: Literal["day", "month"] | None) -> None:
        """A lake has a file a day or a month; a process that does not say which takes what is there."""
        self.partition = partition

    @property
    def lake(self) -> af.Lake:
        """The lake as a new process opens it."""
        return af.Lake(self.path, partition=None if self.has_lake else self.partition)

    @property
    def has_lake(self) -> bool:
        return (self.path / "auditframe.json").exists()

    def teardown(self) -> None:
        """Read everything once more without a fault; then the lake is the truth."""
        try:
            for _ in range(2):  # the first may go on with what was cut short, and so not see what came before there
                self._snapshot(start=self.start, end=self.end)
                self.is_as_the_model_says()
            for text in self.live.values():
                id_ = read(text)["id"]
                assert not self.model.takes(text) or id_ in self.model.rows or text in self.model.held, id_
        finally:
            shutil.rmtree(self.folder)

    # What holds after every step.

    @invariant()
    def is_as_the_model_says(self) -> None:
        """Rows and quarantine are the model's; the ledger adds up; verify finds nothing that it should not."""
        if not self.has_lake:
            assert not self.model.rows
            return
        rows, held = self._rows(), self._held()
        more = self.before_removal or self.model
        assert self.model.rows.items() <= rows.items() <= (more.rows | self.model.rows).items()
        assert self.model.held <= set(held) <= more.held | self.model.held
        entries = self.lake.ledger()
        assert [entry.counts.received for entry in entries] == [entry.counts.accounted for entry in entries]
        wrong = [fault for fault in self.lake.verify() if not self._may_be(fault.what)]
        assert not wrong, wrong
        self._check_claims()

    def _may_be(self, what: str) -> bool:
        """Whether a fault is what a gap, an older version or a kill may have left."""
        is_expected = "a gap in coverage" in what or "See: auditframe rebuild" in what
        return is_expected or (self.is_killed and any(words in what for words in _UNFINISHED))

    def _check_claims(self) -> None:
        """No window is claimed of which an event is missing that was listed before the window was begun."""
        walks = {(walk.scope, walk.start) for walk in read_walks(Layout(self.path))}
        self.began = {walk: self.began.get(walk, self.taken) for walk in walks} | {
            walk: step for walk, step in self.began.items() if walk not in walks
        }
        entries = self.lake.ledger()
        for entry in entries[self.entries_seen :]:
            for scope, span in ((each.scope, span) for each in entry.collected for span in each.windows):
                began = self.began.get((scope, span.start), self.taken)
                missing = set(self._missing(scope, af.Window(span.start, span.end), listed_before=began))
                assert not missing, f"{missing} of {span}"
        self.entries_seen = len(entries)
        self.began = {walk: step for walk, step in self.began.items() if walk in walks}

    def _missing(self, scope: str, window: af.Window, *, listed_before: int) -> Iterator[str]:
        for id_, text in self.live.items():
            at = datetime.fromtimestamp(read(text)["effective_at"], UTC)
            is_claimed = lookup(read(text).get("type", "")).scope == scope and at in window
            is_there = id_ in self.model.rows or text in self.model.held
            if is_claimed and self.listed_at[id_] < listed_before and not is_there and self.model.takes(text):
                yield id_

    def _check_vanished(self) -> None:
        """What was collected and is not listed any more is named, and nothing that is."""
        named = set(vanished(self.lake.ledger())) & self.model.rows.keys()
        gone = (self.model.rows.keys() & self.collected) - self.live.keys()
        assert gone - self.moved <= named
        assert named - self.moved <= gone

    # How steps are taken.

    def _snapshot(
        self, *, fails_at: int | None = None, page: int = 100, death: tuple[int, How] | None = None, **asked: Any
    ) -> None:
        told = Told(self.emulator, fails_at=fails_at, page=page)
        before, after = self.model.rows.keys(), self.model.copy()

        def act() -> None:
            carrier = httpx.WSGITransport(app=told)
            with af.Client(KEY, base_url="http://emulator/v1", transport=carrier, retry=HASTY) as client:
                af.snapshot(self.lake, client, **{"workers": 2} | asked)

        self._change(act, after, death, arriving=lambda: [self.live[id_] for id_ in told.ids])
        self.collected |= self.model.rows.keys() - before

    def _change(
        self,
        act: Callable[[], object],
        after: Model,
        death: tuple[int, How] | None = None,
        *,
        arriving: Callable[[], list[str]] = list,
    ) -> None:
        """Bring something into the lake; where that is cut short, the model takes what came."""
        is_whole = self._act(act, death)
        for text in arriving():
            after.arrive(text)
        self.model = after if is_whole else self._as_far_as_it_came(after)

    def _remove(self, act: Callable[[], object], after: Model, death: tuple[int, How] | None, *, reason: str) -> None:
        """Remove something; once the lake has put down that it will, the next writer must complete it."""
        is_whole = self._act(act, death)
        if not is_whole and self._is_promised(reason):
            self.before_removal = self.model
        if is_whole or self.before_removal is self.model:
            self.model = after

    def _act(self, act: Callable[[], object], death: tuple[int, How] | None) -> bool:
        """Take a step; say whether it was taken to its end."""
        self.taken += 1
        is_whole = False
        with dying(self.path, *(death or (0, "before"))) as fate:
            try:
                act()
                is_whole = True
            except (SnapshotInterrupted, ApiError):
                pass
        self.is_killed = fate.is_dead
        if not fate.is_dead:
            self.before_removal = None
        return is_whole

    def _is_promised(self, reason: str) -> bool:
        layout = Layout(self.path)
        journal = read_journal(layout)
        noted = [entry.removal for entry in self.lake.ledger()] + [journal.removal if journal else None]
        return reason in {each.reason for each in noted if each}

    def _as_far_as_it_came(self, after: Model) -> Model:
        """Return the model of a change that was cut short: what was there, and what of the rest is there."""
        if not self.has_lake:
            return self.model
        model, rows, held = self.model.copy(), self._rows(), self._held()
        assert model.held <= held.keys() | set(rows.values())
        model.rows |= {id_: text for id_, text in rows.items() if after.rows.get(id_) == text}
        model.aside = {text for text, kind in held.items() if kind == "mutation" and text in model.held | after.held}
        model.waiting = dict.fromkeys(
            text for text, kind in held.items() if kind == "unplaced" and text in model.held | after.held
        )
        return model

    def _rows(self) -> dict[str, str]:
        """Return the text of each id, read as any engine would."""
        tables = [pq.ParquetFile(path).read(["id", "raw"]) for path in self.path.glob("events/*/*.parquet")]
        found = [row for table in tables for row in table.to_pylist()]
        rows = {row["id"]: row["raw"] for row in found}
        assert len(rows) == len(found)
        return rows

    def _held(self) -> dict[str, str]:
        """Return what is in quarantine, and of which kind it is, in the order in which it came."""
        found = self.lake.quarantine()
        return dict(zip(found["text"], found["kind"], strict=True))

    def _list(self, texts: list[str]) -> None:
        for text in texts:
            self.live[read(text)["id"]] = text
            self.listed_at[read(text)["id"]] = self.taken
        self.emulator.add([text.encode() for text in texts])
        self.taken += 1

    def _write(self, id_: str, quarter: int | None, who: str, type_: str | None, *, at: int = 0) -> str:
        event = {"id": id_, "effective_at": at if quarter is None else int(self._at(quarter).timestamp())}
        actor = {"type": "session", "session": {"user": {"id": f"user-{who}", "email": who}}}
        return json.dumps(event | ({"type": type_} if type_ else {}) | {"actor": actor, "note": next(self._numbers)})

    def _at(self, quarter: int) -> datetime:
        return self.start + timedelta(minutes=15 * quarter)

    def _covered(self) -> tuple[af.Window, ...]:
        return self.lake.coverage("organization") if self.has_lake else ()

    def _pick(self, events: dict[str, str], pick: int) -> str:
        return sorted(events)[pick % len(events)]
