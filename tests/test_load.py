"""Load: the same frame from the endpoint and from files, and never a part of it in silence."""

from __future__ import annotations

import json
import os
import sys
import warnings
from datetime import UTC, datetime
from random import Random
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import auditframe as af
from auditframe.catalogue import lookup
from auditframe.client import Filters
from auditframe.emulator import Behaviour, Emulator, Fault
from auditframe.errors import AuthError, EventError, FileError, RequestError, ServerError, WindowError
from auditframe.load import check_files, gather, load_table, read_batches, read_events
from auditframe.sample import Sample, to_jsonl
from auditframe.schema import COLUMN_NAMES
from tests.conftest import connected

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def export(organization: Sample, tmp_path: Path) -> Path:
    path = tmp_path / "export.jsonl"
    path.write_bytes(to_jsonl(organization))
    return path


def test_the_endpoint_gives_every_event_of_both_scopes_once(organization: Sample) -> None:
    frame = af.load(client=connected(Emulator(organization.events)))

    assert sorted(frame["id"]) == sorted(event["id"] for event in organization.events)
    assert list(frame.columns) == list(COLUMN_NAMES)
    assert set(frame["scope"]) == {"organization", "tenant"}
    assert frame["effective_at"].is_monotonic_increasing
    assert str(frame["effective_at"].dtype) == "datetime64[us, UTC]"
    assert frame["snapshot"].isna().all()


def test_files_give_the_frame_that_the_endpoint_gives(organization: Sample, export: Path) -> None:
    live, filed = af.load(client=connected(Emulator(organization.events))), af.load(export)

    pd.testing.assert_frame_equal(live.drop(columns="first_seen_at"), filed.drop(columns="first_seen_at"))


FILTERS = {
    "project_ids": "project_id",
    "event_types": "type",
    "actor_ids": "actor_id",
    "actor_emails": "actor_email",
    "resource_ids": "resource_id",
}


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_every_filter_means_the_same_for_files_as_at_the_endpoint(
    organization: Sample, export: Path, data: st.DataObject
) -> None:
    every = af.load(export)
    names = data.draw(st.sets(st.sampled_from(sorted(FILTERS)), max_size=2))
    asked: dict[str, Any] = {
        name: data.draw(
            st.lists(st.sampled_from(sorted(every[FILTERS[name]].dropna().unique())), min_size=1, max_size=3)
        )
        for name in names
    }
    asked["scope"] = data.draw(st.sampled_from(["organization", "tenant", None]))
    asked["start"], asked["end"] = data.draw(
        st.sampled_from([(None, None), ("2026-10-20", None), ("2026-10-15", "2026-10-20")])
    )

    live = _load_permitted(client=connected(Emulator(organization.events)), **asked)
    filed = af.load(export, **asked)
    assert live is None or live["id"].tolist() == filed["id"].tolist()


def _load_permitted(**asked: Any) -> pd.DataFrame | None:
    """Load, or None where the endpoint forbids organization types in the tenant pass."""
    types = asked.get("event_types", [])
    if asked["scope"] == "tenant" and any(lookup(type_).scope == "organization" for type_ in types):
        return None
    return af.load(**asked)


def test_overlapping_files_give_each_event_once_and_say_so(organization: Sample, export: Path) -> None:
    frame = af.load(export, export)

    assert len(frame) == len(organization.events)
    assert frame.attrs["repeated"] == len(organization.events)


def test_what_cannot_be_placed_is_warned_of_and_listed(tmp_path: Path) -> None:
    path = tmp_path / "export.jsonl"
    path.write_text(
        '{"id":"a","type":"t","effective_at":1}\n{"id":"b","type":"t"}\n{"id":"a","type":"u","effective_at":1}\n'
    )

    with pytest.warns(af.AuditFrameWarning, match="2 event"):
        frame = af.load(path)
    assert frame["id"].tolist() == ["a"]
    assert [item["event_id"] for item in frame.attrs["quarantined"]] == ["b", "a"]
    with pytest.raises(EventError, match="effective_at") as caught:
        af.load(path, strict=True)
    assert (caught.value.event_id, caught.value.field) == ("b", "effective_at")


def test_a_slip_in_an_event_type_is_told_from_a_type_without_events(tmp_path: Path) -> None:
    path = tmp_path / "export.jsonl"
    path.write_text('{"id":"a","type":"login.succeeded","effective_at":1}\n{"id":"b","type":"new","effective_at":1}\n')

    with pytest.warns(af.AuditFrameWarning, match=r"'login\.fialed', which the catalogue.*mean 'login\.failed'"):
        assert len(af.load(path, event_types=["new", "login.fialed"])) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(af.load(path, event_types=["login.failed"])) == 0
        assert len(af.load(path, event_types=["new"])) == 1


def test_what_is_loaded_shows_no_event_in_its_repr(tmp_path: Path) -> None:
    path = tmp_path / "export.jsonl"
    path.write_text('{"id":"a","type":"t","effective_at":1,"t":"t0p"}\n{"id":"b","s":"t0p"}\n')
    with pytest.warns(af.AuditFrameWarning, match="1 event"):
        loaded = gather([path], Filters())

    assert (len(loaded.events), len(loaded.quarantine)) == (1, 1)
    assert "t0p" not in repr(loaded)


def test_a_tenant_scope_that_is_not_permitted_is_warned_of(organization: Sample) -> None:
    client = connected(Emulator(organization.events, behaviour=Behaviour(tenant="forbidden")))

    with pytest.warns(af.AuditFrameWarning, match="scope='organization'"):
        frame = af.load(client=client)
    assert set(frame["scope"]) == {"organization"}
    with pytest.raises(AuthError):
        af.load(client=client, scope="tenant")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(af.load(client=client, scope="organization")) == len(frame)


def test_a_key_that_is_revoked_inside_the_tenant_pass_gives_no_frame() -> None:
    events = [{"id": f"t{n}", "type": "tenant.new.thing", "effective_at": n} for n in range(3)]
    emulator = Emulator(events, behaviour=Behaviour(revoked_after=2))

    with pytest.raises(AuthError, match="401"):
        af.load(client=connected(emulator), limit=2)
    assert [request.query.get("tenant_only") for request in emulator.requests] == [None, ("true",), ("true",)]


def test_an_endpoint_that_fails_half_way_gives_no_frame(organization: Sample) -> None:
    faults = tuple(Fault(at, status=500) for at in range(5, 20))

    with pytest.raises(ServerError):
        af.load(client=connected(Emulator(organization.events, behaviour=Behaviour(faults=faults))))


def test_the_key_and_the_base_url_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_ADMIN_KEY", raising=False)
    with pytest.raises(AuthError, match="OPENAI_ADMIN_KEY"):
        af.load(start="-1d")


@pytest.mark.parametrize(
    ("asked", "error"),
    [
        ({"start": datetime(2026, 1, 1)}, WindowError),  # noqa: DTZ001
        ({"start": "2026-02-01", "end": "2026-01-01"}, WindowError),
        ({"event_types": "login.failed"}, RequestError),
        ({"limit": 0}, RequestError),
        ({"limit": 101}, RequestError),
        ({"after": "audit_log-1"}, RequestError),
        ({"scope": "everything"}, RequestError),
        ({"order": "asc"}, TypeError),
    ],
)
def test_a_wrong_argument_is_an_error_before_anything_is_asked(asked: dict[str, Any], error: type[Exception]) -> None:
    emulator = Emulator([])

    with pytest.raises(error):
        af.load(client=connected(emulator), **asked)
    assert emulator.requests == ()


def test_a_place_in_the_endpoint_has_no_meaning_for_files(export: Path) -> None:
    with pytest.raises(RequestError):
        af.load(export, after="x", scope="organization")
    with pytest.raises(RequestError, match="scope"):
        af.load(export, scope="everything")  # type: ignore[arg-type]


def test_a_table_of_files_is_the_frame_in_arrow(export: Path) -> None:
    assert load_table(export)["id"].to_pylist() == af.load(export)["id"].tolist()
    with pytest.raises(FileError):
        load_table(export.with_name("absent.json"))


def test_batches_are_what_is_read_at_once_and_no_larger_than_told(
    export: Path, organization: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [export.with_name(f"{number}.jsonl") for number in range(3)]
    lines = to_jsonl(organization).splitlines(keepends=True)
    for number, path in enumerate(paths):
        path.write_bytes(b"".join(lines[number::3]))
    whole = read_events(paths)
    monkeypatch.setattr(sys.modules["auditframe.load"], "BATCH_BYTES", max(path.stat().st_size for path in paths))
    batches = list(read_batches(paths))

    assert len(batches) == 2
    assert pa.concat_tables(batch.events for batch in batches)["id"] == whole.events["id"]


def test_files_that_end_in_the_middle_are_told_before_they_are_used(export: Path) -> None:
    cut = export.with_name("z.jsonl")
    cut.write_bytes(export.read_bytes()[:5000])

    check_files([export])
    with pytest.raises(FileError, match="cut short"):
        check_files([export, cut])


def shuffled(organization: Sample, path: Path) -> Path:
    lines = to_jsonl(organization).splitlines(keepends=True)
    path.write_bytes(b"".join(Random(5).sample(lines, len(lines))))  # noqa: S311 - no secret
    return path


def test_only_events_far_from_the_order_of_time_are_to_be_sorted(
    export: Path, organization: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_chance = shuffled(organization, export.with_name("shuffled.jsonl"))
    backwards = export.with_name("backwards.jsonl")
    backwards.write_bytes(b"".join(reversed(to_jsonl(organization).splitlines(keepends=True))))
    monkeypatch.setattr(sys.modules["auditframe.files"], "BLOCK_BYTES", 20_000)
    monkeypatch.setattr(sys.modules["auditframe.load"], "BATCH_BYTES", 100_000)

    assert [check_files([path]) for path in (export, backwards, by_chance)] == [False, False, True]


def test_sorted_by_day_there_are_the_same_events_and_each_day_once(
    export: Path, organization: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_chance = shuffled(organization, export.with_name("shuffled.jsonl"))
    by_chance.write_bytes(by_chance.read_bytes() + b'{"id": "nowhen", "type": "login.failed"}\n')
    monkeypatch.setattr(sys.modules["auditframe.load"], "BATCH_BYTES", 100_000)
    batches = list(read_batches([by_chance], by_day=True))
    days = [day for batch in batches for day in sorted({f"{at:%F}" for at in batch.events["effective_at"].to_pylist()})]
    ids = [id_ for batch in batches for id_ in batch.events["id"].to_pylist()]

    assert len(batches) > 5
    assert len(days) < len(set(days)) + len(batches)
    assert sorted(map(str, ids)) == sorted(str(event["id"]) for event in organization.events)
    assert [item.event_id for batch in batches for item in batch.quarantine] == ["nowhen"]


def test_a_pipe_is_refused_by_what_reads_a_file_twice(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "export")

    with pytest.raises(FileError, match=r"is a pipe, and can be read only once\. Write it to a file first"):
        check_files([tmp_path / "export"])


def test_files_say_the_scope_that_lists_the_type(tmp_path: Path) -> None:
    path = tmp_path / "export.json"
    path.write_text(
        json.dumps([{"id": type_, "type": type_, "effective_at": 1} for type_ in ("login.failed", "tenant.new.thing")])
    )

    assert af.load(path).set_index("id")["scope"].to_dict() == {
        "login.failed": "organization",
        "tenant.new.thing": "tenant",
    }
    assert af.load(path)["first_seen_at"].iloc[0] <= datetime.now(UTC)
