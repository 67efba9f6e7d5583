"""A snapshot is killed, or stopped by hand, at any step it takes on the disk; the lake must not mind.

Here at steps that are spread evenly over all of them, and at every one under AUDITFRAME_SOAK=1.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import auditframe as af
from tests.fake_endpoint import DAY_S, KEY, Endpoint, Told, make_events, make_one, midnight, serving
from tests.soak import sampled
from tests.test_end_to_end import (
    assert_equals_truth,
    assert_ledger_holds,
    chain,
    read_by_duckdb,
    read_by_pyarrow,
    snapshot,
    truth,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.zoneless  # it kills at writes; which UTC day they are for is proved without kills

NURSERY = """
import json, os, pathlib, signal, sys
import auditframe as af
import auditframe.snapshot, auditframe.lake, httpx, duckdb, pyarrow.parquet, pandas

STEPS = ("fsync", "replace", "link", "unlink")
taken = 0

def fall(step, args, how):
    if step == "fsync" and how == "torn":  # what a file is when the machine stops in the middle of a write
        try:
            os.ftruncate(args[0], os.fstat(args[0]).st_size // 2)
        except OSError:
            pass
    os.kill(os.getpid(), signal.SIGINT if how == "interrupted" else signal.SIGKILL)

def watched(step, call, at, how):
    def act(*args, **options):
        global taken
        taken += 1
        mine = taken == at
        if mine and how != "after":
            fall(step, args, how)
        try:
            return call(*args, **options)
        finally:
            if mine and how == "after":
                fall(step, args, how)
    return act

def run(job):
    for step in STEPS:
        setattr(os, step, watched(step, getattr(os, step), job["at"], job["how"]))
    retry = af.Retry(attempts=3, timeout_s=20, wait_initial_s=0.01, wait_max_s=0.01, jitter_s=0)
    try:
        with af.Client(job["key"], base_url=job["base_url"], retry=retry) as client:
            af.snapshot(af.Lake(job["lake"]), client, start=job["start"], workers=job["workers"])
    except BaseException as error:
        return {"end": type(error).__name__, "said": str(error), "taken": taken}
    return {"end": "done", "taken": taken}

def answer(text):
    os.write(1, (text + "\\n").encode())

for line in sys.stdin:
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read_end)
        os.write(write_end, json.dumps(run(json.loads(line))).encode())
        os._exit(0)
    os.close(write_end)
    answer(json.dumps({"pid": child}))
    with os.fdopen(read_end) as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    answer(said or json.dumps({"end": "killed"}))
"""


class Nursery:
    """A process that makes a process for each snapshot, so that none has to import everything anew."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def start(
        self, endpoint: Endpoint, lake: Path, *, start: str, at: int = 0, how: str = "killed", workers: int = 1
    ) -> int:
        """Begin a snapshot that ends before its step number `at`; 0 for never. Return its process id."""
        place = {"key": KEY, "base_url": endpoint.base_url, "lake": str(lake)}
        job = place | {"start": start, "at": at, "how": how, "workers": workers}
        assert self._process.stdin
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        return int(self._answer()["pid"])

    def wait(self) -> dict[str, Any]:
        """Return how the snapshot ended."""
        return self._answer()

    def run(self, endpoint: Endpoint, lake: Path, **job: Any) -> dict[str, Any]:
        self.start(endpoint, lake, **job)
        return self.wait()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer


@pytest.fixture(name="nursery", scope="module")
def _nursery() -> Iterator[Nursery]:
    root = Path(af.__file__).parent.parent
    with subprocess.Popen(  # noqa: S603 - this interpreter, and the text above
        [sys.executable, "-c", NURSERY], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root
    ) as process:
        yield Nursery(process)
        assert process.stdin
        process.stdin.close()
        process.wait(timeout=30)


def ago(days: int) -> str:
    return datetime.fromtimestamp(midnight() - days * DAY_S, UTC).isoformat()


def few_events() -> list[Told]:
    """Write some of every kind in the last three days."""
    events = make_events(5, today=midnight(), count=300)
    return [told for told in events if told.at >= midnight() - 3 * DAY_S]


def steps_of(nursery: Nursery, endpoint: Endpoint, lake: Path, *, start: str) -> int:
    """Count the steps of a snapshot that nobody stops."""
    ended = nursery.run(endpoint, lake, start=start)
    assert ended["end"] == "done"
    return int(ended["taken"])


def assert_is_readable(lake: Path, events: list[Told]) -> None:
    """Every file is whole, and what is there is the truth, each event at most once."""
    if not stamps(lake):
        return
    rows = read_by_duckdb(lake)

    assert len(set(rows)) == len(rows)
    assert set(rows) <= set(truth(events))
    assert read_by_pyarrow(lake) == rows


def wait_until_at_rest(lake: Path) -> None:
    """Let a writer finish what it has at hand; one that waits for the endpoint then changes no file."""
    before = None
    while before != (before := stamps(lake)):
        time.sleep(0.1)


def stamps(lake: Path) -> dict[Path, tuple[int, int]]:
    """Identify each partition's file of the moment."""
    found = {path: path.stat() for path in (lake / "events").rglob("*.parquet")}
    return {path: (stat.st_ino, stat.st_mtime_ns) for path, stat in found.items()}


def assert_completes(lake: Path, endpoint: Endpoint, *, start: str) -> None:
    snapshot(lake, endpoint, start=start)

    assert_equals_truth(lake, endpoint.events)
    assert_ledger_holds(lake, endpoint.events)
    assert af.Lake(lake).verify() == ()


@pytest.mark.parametrize(("how", "first"), [("killed", 1), ("after", 2), ("torn", 4)])
def test_a_first_snapshot_killed_at_any_step_is_completed_by_the_next(
    tmp_path: Path, nursery: Nursery, how: str, first: int
) -> None:
    events = few_events()
    with serving(Endpoint(events)) as endpoint:
        steps = steps_of(nursery, endpoint, tmp_path / "calm", start=ago(3))
        for at in sampled(range(first, steps + 1), most=4, seed=first):
            lake = tmp_path / str(at)
            assert nursery.run(endpoint, lake, start=ago(3), at=at, how=how) == {"end": "killed"}
            assert_is_readable(lake, events)
            assert_completes(lake, endpoint, start=ago(3))

    assert steps > 20


@pytest.mark.parametrize(("how", "seed"), [("killed", 1), ("torn", 2)])
def test_a_later_snapshot_killed_at_any_step_leaves_no_partition_that_the_ledger_does_not_know(
    tmp_path: Path, nursery: Nursery, how: str, seed: int
) -> None:
    """The rerun reads only the last day again, so it meets none of the older partitions that the killed run changed."""
    events = few_events()
    late = [make_one(f"late-{n}", midnight() - n * DAY_S // 2, is_tenant=n % 2 == 0) for n in range(6)]
    with serving(Endpoint(events)) as endpoint:
        snapshot(tmp_path / "before", endpoint, start=ago(3))
        endpoint.events = events + late
        shutil.copytree(tmp_path / "before", tmp_path / "calm")
        steps = steps_of(nursery, endpoint, tmp_path / "calm", start=ago(3))
        for at in sampled(range(1, steps + 1), most=6, seed=seed):
            lake = tmp_path / str(at)
            shutil.copytree(tmp_path / "before", lake)
            assert nursery.run(endpoint, lake, start=ago(3), at=at, how=how) == {"end": "killed"}
            assert_is_readable(lake, endpoint.events)
            snapshot(lake, endpoint, end=datetime.now(UTC))

            assert (at, af.Lake(lake).verify()) == (at, ())
            assert_is_readable(lake, endpoint.events)
        assert_completes(lake, endpoint, start=ago(3))


def test_a_snapshot_killed_again_and_again_gets_there(tmp_path: Path, nursery: Nursery) -> None:
    events = few_events()
    with serving(Endpoint(events)) as endpoint:
        for at in (3, 7, 11, 11, 16, 20):
            nursery.run(endpoint, tmp_path / "lake", start=ago(3), at=at, workers=8)
            assert_is_readable(tmp_path / "lake", events)
        assert_completes(tmp_path / "lake", endpoint, start=ago(3))


@contextmanager
def stalled(endpoint: Endpoint, number: int) -> Iterator[Callable[[], None]]:
    """Let the answer to a request wait; yields what waits until that request has come."""
    reached, go_on = threading.Event(), threading.Event()

    def stall(asked: int) -> None:
        if asked == number:
            reached.set()
            go_on.wait(timeout=20)

    def wait_for_it() -> None:
        assert reached.wait(timeout=20)

    endpoint.before_answer = stall
    try:
        yield wait_for_it
    finally:
        go_on.set()
        endpoint.before_answer = lambda _: None


@pytest.mark.parametrize("number", [1, 2, 4, 6, 8])
def test_a_snapshot_killed_while_it_waits_for_the_endpoint_is_completed_by_the_next(
    tmp_path: Path, nursery: Nursery, number: int
) -> None:
    events = few_events()
    with serving(Endpoint(events)) as endpoint:
        with stalled(endpoint, number) as wait_for_it:
            pid = nursery.start(endpoint, tmp_path / "lake", start=ago(3))
            wait_for_it()
            signal_one(pid, signal.SIGKILL)
            ended = nursery.wait()
        assert ended == {"end": "killed"}
        assert_is_readable(tmp_path / "lake", events)
        assert_completes(tmp_path / "lake", endpoint, start=ago(3))


@pytest.mark.parametrize("number", [6, 8])  # by then the first page is merged: pages are read ahead of that
def test_ctrl_c_keeps_what_arrived_and_leaves_an_entry(tmp_path: Path, nursery: Nursery, number: int) -> None:
    events = few_events()
    with serving(Endpoint(events)) as endpoint:
        with stalled(endpoint, number) as wait_for_it:
            pid = nursery.start(endpoint, tmp_path, start=ago(3))
            wait_for_it()
            signal_one(pid, signal.SIGINT)
            ended = nursery.wait()
        (entry,) = chain(tmp_path)
        kept = read_by_duckdb(tmp_path)

        assert ended["end"] == "SnapshotInterrupted"
        assert entry["counts"]["new"] == len(kept) > 0
        assert "interrupted" in [each["status"] for each in entry["collected"]]
        assert af.Lake(tmp_path).verify() == ()
        assert_completes(tmp_path, endpoint, start=ago(3))


def test_ctrl_c_before_anything_arrived_leaves_no_lake(tmp_path: Path, nursery: Nursery) -> None:
    with serving(Endpoint(few_events())) as endpoint, stalled(endpoint, 1) as wait_for_it:
        pid = nursery.start(endpoint, tmp_path / "lake", start=ago(3))
        wait_for_it()
        signal_one(pid, signal.SIGINT)

        assert nursery.wait()["end"] in ("KeyboardInterrupt", "SnapshotInterrupted")
        assert not (tmp_path / "lake").exists()


def test_ctrl_c_at_any_step_on_the_disk_leaves_a_ledger_that_adds_up(tmp_path: Path, nursery: Nursery) -> None:
    events = few_events()
    with serving(Endpoint(events)) as endpoint:
        steps = steps_of(nursery, endpoint, tmp_path / "calm", start=ago(3))
        for at in sampled(range(1, steps + 1), most=5, seed=3):
            lake = tmp_path / str(at)
            ended = nursery.run(endpoint, lake, start=ago(3), at=at, how="interrupted")
            assert ended["end"] in ("SnapshotInterrupted", "KeyboardInterrupt", "done"), (at, ended)
            assert_is_readable(lake, events)
            assert_completes(lake, endpoint, start=ago(3))
            added = sum(entry["counts"]["new"] for entry in chain(lake))

            assert (at, added) == (at, len(truth(events)))


def test_a_second_writer_is_refused_while_one_writes(tmp_path: Path, nursery: Nursery) -> None:
    events = few_events()
    with serving(Endpoint(events)) as endpoint:
        with stalled(endpoint, 4) as wait_for_it:
            nursery.start(endpoint, tmp_path, start=ago(3))
            wait_for_it()
            wait_until_at_rest(tmp_path)
            assert_is_readable(tmp_path, events)
            with pytest.raises(af.errors.LakeLockedError):
                snapshot(tmp_path, endpoint, start=ago(3))
            with pytest.raises(af.errors.LakeLockedError):
                af.Lake(tmp_path).append(af.flatten([]))
        assert nursery.wait()["end"] == "done"

        assert_equals_truth(tmp_path, events)
        assert_completes(tmp_path, endpoint, start=ago(3))


def test_a_reader_at_any_moment_of_a_snapshot_sees_whole_files(tmp_path: Path, nursery: Nursery) -> None:
    """Read through one handle a file, as DuckDB, which opens a file twice for a query, does not."""
    events = few_events()
    with serving(Endpoint(events, before_answer=lambda _: time.sleep(0.05))) as endpoint:
        endpoint.events = events[::2]
        snapshot(tmp_path, endpoint, start=ago(3))
        endpoint.events = events
        nursery.start(endpoint, tmp_path, start=ago(3))
        run = threading.Thread(target=nursery.wait)
        run.start()
        sizes = []
        for _ in itertools.takewhile(lambda _: run.is_alive(), itertools.count()):
            rows = read_by_pyarrow(tmp_path)
            sizes.append(len(rows))
            assert set(truth(events[::2])) <= set(rows) <= set(truth(events))
        run.join()

    assert sizes == sorted(sizes)
    assert len(sizes) > 1


def test_a_question_asked_while_a_partition_is_replaced_is_answered(tmp_path: Path) -> None:
    """DuckDB opens a file for its footer and again for its rows, and does not notice when that is another."""
    lake, noon = af.Lake(tmp_path), midnight() - DAY_S // 2
    versions: list[bytes] = []
    for n in range(300, 330):  # each brings events that sort before those of the one before
        first = n - 1 if versions else 0
        lake.append(af.flatten([make_one(f"e{m}", noon - m, note=m).text for m in range(first, n)]))
        (partition,) = (tmp_path / "events").glob("*/*")
        versions.append(partition.read_bytes())
    partition.write_bytes(versions[0])

    def replace_again_and_again() -> None:
        for version in versions:
            (tmp_path / "new").write_bytes(version)
            (tmp_path / "new").replace(partition)
            time.sleep(0.04)

    writer = threading.Thread(target=replace_again_and_again)
    writer.start()
    answers: list[set[str]] = []
    while writer.is_alive() or not answers:
        with suppress_if_retryable():
            table = lake.arrow("SELECT id FROM events")
            answers.append({str(id_) for id_ in table["id"].to_pylist()})
    writer.join()

    assert [ids ^ {f"e{n}" for n in range(len(ids))} for ids in answers] == [set()] * len(answers)


@contextmanager
def suppress_if_retryable() -> Iterator[None]:
    """Let a lake say that it is being written and should be asked again."""
    try:
        yield
    except af.errors.LakeError as error:
        if not error.retryable:
            raise


def signal_one(pid: int, number: signal.Signals) -> None:
    """Send a signal to one process that a nursery made."""
    assert pid > 1
    os.kill(pid, number)
