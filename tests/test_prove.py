"""Inclusion proofs, checked by the script that the documentation shows, which knows nothing of auditframe."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditframe.errors import LakeCorruptError, LakeError, LakeLockedError, LakeNotFoundError
from auditframe.flatten import Flattened, Quarantined, flatten_events
from auditframe.lake import Lake
from auditframe.lake.journal import Journal, write_journal
from auditframe.lake.layout import Layout
from auditframe.lake.merkle import merkle_path, merkle_root
from auditframe.lake.records import Entry, canonical
from docs._pages import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from auditframe.lake import Proof
    from auditframe.sample import Sample

DAY_S = 86_400
PAGE = ROOT / "docs" / "how-to" / "prove-an-event.md"
SCRIPT = re.findall(r"<<'EOF'\n(.+?)\nEOF\n", PAGE.read_text("utf-8"), re.DOTALL)[0] + "\n"

Facts = dict[str, Any]


def event(id_: str, at: int) -> dict[str, Any]:
    note = 'quotes " and \\, \u00fc, \u2028, \U0001f600'
    return {"id": id_, "type": "project.created", "effective_at": at, "project.created": {"id": note}}


def arriving(*events: dict[str, Any]) -> Flattened:
    return flatten_events(events, scope="organization")


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """Five entries; the partition of the day 0 has 13 rows and is spoken of by entries 1 and 3. No test changes it."""
    lake = Lake(tmp_path_factory.mktemp("lake") / "lake")
    lake.append(arriving(*(event(f"a{at:02}", at) for at in range(0, 20, 2))))
    lake.append(arriving(*(event(f"b{at:02}", DAY_S + at) for at in range(5))))
    lake.append(arriving(*(event(f"a{at:02}", at) for at in range(1, 6, 2)), event("b99", DAY_S + 99)))
    lake.append(Flattened(arriving(event("c", 2 * DAY_S)).events, (_unplaced("q"),)))
    lake.append(arriving(event("d", 3 * DAY_S), event("gone", 3 * DAY_S)))
    lake.erase("gone", reason='A "reason" with \\, ü and \x7f')
    return lake


def _unplaced(id_: str) -> Quarantined:
    return Quarantined(json.dumps({"id": id_}).encode(), "It has no 'type'.", id_, "type")


@pytest.fixture(scope="module")
def checked(lake: Lake, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """Run the page's script on a proof; return its answer, or what it refuses with."""
    folder = tmp_path_factory.mktemp("checker")
    (folder / "check_proof.py").write_text(SCRIPT, "utf-8")

    def check(proof: Facts, anchor: str = lake.ledger()[-1].hash) -> str:
        (folder / "proof.json").write_text(json.dumps(proof), "utf-8")
        command = [sys.executable, "-I", "check_proof.py", "proof.json", anchor]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)  # noqa: S603
        assert bool(done.returncode) != bool(done.stdout)
        assert "Traceback" not in done.stderr
        return done.stdout + done.stderr

    return check


def facts_of(proof: Proof) -> Facts:
    facts: Facts = json.loads(proof.to_json())
    return facts


def resealed(text: str, **changes: Any) -> str:
    """Return an entry that was changed by somebody who then made its own hash right again."""
    return canonical(msgspec.structs.replace(msgspec.json.decode(text, type=Entry), **changes).sealed()).decode()


# --- the Merkle path


def climbed(raw: str, index: int, rows: int, path: list[str]) -> str:
    """Climb as RFC 9162, section 2.1.3.2, says: another algorithm than both the lake's and the script's."""
    fn, sn, node = index, rows - 1, sha256(b"\0" + raw.encode()).digest()
    for sibling in map(bytes.fromhex, path):
        assert sn > 0
        if fn % 2 or fn == sn:
            node = sha256(b"\1" + sibling + node).digest()
            while not fn % 2 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            node = sha256(b"\1" + node + sibling).digest()
        fn, sn = fn >> 1, sn >> 1
    assert sn == 0
    return node.hex()


@pytest.mark.parametrize("rows", range(1, 18))
def test_every_event_of_a_partition_leads_to_its_root(rows: int) -> None:
    raws = [f"event {number}" for number in range(rows)]
    paths = [merkle_path(raws, index) for index in range(rows)]

    assert [climbed(raws[index], index, rows, [*path]) for index, path in enumerate(paths)] == [
        merkle_root(raws)
    ] * rows
    assert max(map(len, paths)) == (rows - 1).bit_length()


@given(raws=st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=5), min_size=1, max_size=200))
def test_the_path_of_any_event_of_any_partition_leads_to_its_root(raws: list[str]) -> None:
    index = len(raws) * 2 // 3

    assert climbed(raws[index], index, len(raws), [*merkle_path(raws, index)]) == merkle_root(raws)


@given(raws=st.lists(st.text("ab", max_size=2), min_size=1, max_size=17), at=st.integers(0, 16))
def test_the_script_climbs_as_the_lake_does(raws: list[str], at: int) -> None:
    index = at % len(raws)
    names: dict[str, Any] = {"__name__": "script"}
    exec(SCRIPT, names)  # noqa: S102 - our own page

    assert names["climb"](raws[index], index, len(raws), merkle_path(raws, index)) == merkle_root(raws)


# --- the script accepts


def test_the_script_has_at_most_forty_lines_and_imports_nothing_but_the_standard_library() -> None:
    imported = set(re.findall(r"^(?:import|from) (\w+)", SCRIPT, re.MULTILINE))

    assert len(SCRIPT.splitlines()) <= 40
    assert imported <= sys.stdlib_module_names


def test_the_script_accepts_a_proof_from_every_partition(lake: Lake, checked: Callable[..., str]) -> None:
    for id_, row, rows, entry in (("a00", 1, 13, 3), ("a18", 13, 13, 3), ("b99", 6, 6, 3), ("c", 1, 1, 4)):
        answer = checked(facts_of(lake.prove(id_)))

        assert f'"{id_}"' in answer
        assert f"row {row} of {rows} " in answer
        assert f"entry {entry} " in answer


def test_every_row_of_a_partition_is_proved(lake: Lake) -> None:
    names: dict[str, Any] = {"__name__": "script"}
    exec(SCRIPT, names)  # noqa: S102 - our own page
    rows = lake.arrow("SELECT id, raw FROM events WHERE id LIKE 'a%' ORDER BY effective_at, id").to_pylist()
    proofs = [lake.prove(row["id"]) for row in rows]
    roots = {names["climb"](proof.raw, proof.index, len(rows), proof.path) for proof in proofs}

    assert [(proof.raw, proof.index) for proof in proofs] == [(row["raw"], at) for at, row in enumerate(rows)]
    assert roots == {lake.ledger()[2].partitions[0].merkle_root}


def test_events_of_a_lake_that_grew_in_several_runs_are_proved(
    tmp_path: Path, organization: Sample, capsys: pytest.CaptureFixture[str]
) -> None:
    lake = Lake(tmp_path / "lake")
    for first in range(4):
        lake.append(arriving(*map(dict, organization.events[first::4])))
    names: dict[str, Any] = {"__name__": "script"}
    exec(SCRIPT, names)  # noqa: S102 - our own page
    wanted = [str(each["id"]) for each in organization.events[::100]]
    for id_ in wanted:
        names["check"](facts_of(lake.prove(id_)), lake.ledger()[-1].hash)
    answers = capsys.readouterr().out.splitlines()

    assert [json.loads(answer.split()[0]) for answer in answers] == wanted
    assert all("by entry 4 and as of entry 4." in answer for answer in answers)


def test_a_proof_holds_the_newest_entry_of_the_day_and_all_later_ones_as_they_are_on_the_disk(lake: Lake) -> None:
    proof = lake.prove("a00")
    files = [Layout(lake.path).entry_file(number).read_text("utf-8") for number in (3, 4, 5, 6)]

    assert [proof.entry, *proof.chain] == files
    assert (proof.partition, proof.index) == ("1970-01-01", 0)


def test_the_anchor_may_be_any_entry_from_the_one_that_states_the_root(lake: Lake, checked: Callable[..., str]) -> None:
    facts = facts_of(lake.prove("a00"))
    told = [checked(facts, entry.hash) for entry in lake.ledger()]

    assert ["No entry of the proof carries the anchor" in answer for answer in told] == [True, True, *[False] * 4]
    assert [f"as of entry {number}" in told[number - 1] for number in (3, 4, 5, 6)] == [True] * 4


def test_an_anchor_may_be_written_in_capitals_and_with_a_line_end(lake: Lake, checked: Callable[..., str]) -> None:
    assert '"c"' in checked(facts_of(lake.prove("c")), lake.ledger()[-1].hash.upper() + "\n")


@given(text=st.text(st.characters(exclude_categories=["Cs"])), number=st.integers(-(2**63), 2**64 - 1))
def test_canonical_json_is_what_the_scripts_dumps_writes(text: str, number: int) -> None:
    value: Facts = {"b": text, "a": [None, True, number, {text: {}}]}
    written = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()

    assert written == canonical(value)


# --- the script refuses


def _changed_event(facts: Facts) -> None:
    facts["raw"] = facts["raw"].replace("project.created", "project.deleted")


def _swapped_nodes(facts: Facts) -> None:
    facts["path"][:2] = reversed(facts["path"][:2])


def _shorter_path(facts: Facts) -> None:
    facts["path"].pop()


def _longer_path(facts: Facts) -> None:
    facts["path"].append("0" * 64)


def _another_row(facts: Facts) -> None:
    facts["index"] += 1


def _row_beyond_the_end(facts: Facts) -> None:
    facts["index"] += 16


def _another_day(facts: Facts) -> None:
    facts["partition"] = "1970-01-02"


def _day_that_nobody_speaks_of(facts: Facts) -> None:
    facts["partition"] = "1999-01-01"


@pytest.mark.parametrize(
    "change",
    [
        _changed_event,
        _swapped_nodes,
        _shorter_path,
        _longer_path,
        _another_row,
        _row_beyond_the_end,
        _another_day,
        _day_that_nobody_speaks_of,
    ],
)
def test_an_event_that_does_not_lead_to_the_root_is_refused(
    lake: Lake, checked: Callable[..., str], change: Callable[[Facts], None]
) -> None:
    facts = facts_of(lake.prove("a00"))
    change(facts)

    assert checked(facts) == "The event does not lead to the root that the ledger states.\n"


def _changed_entry(facts: Facts) -> None:
    facts["entry"] = facts["entry"].replace('"received":4', '"received":5')


def _changed_later_entry(facts: Facts) -> None:
    facts["chain"][0] = facts["chain"][0].replace('"received":2', '"received":1')


@pytest.mark.parametrize(("change", "number"), [(_changed_entry, 3), (_changed_later_entry, 4)])
def test_a_changed_entry_is_refused(
    lake: Lake, checked: Callable[..., str], change: Callable[[Facts], None], number: int
) -> None:
    facts, before = facts_of(lake.prove("a00")), facts_of(lake.prove("a00"))
    change(facts)

    assert facts != before
    assert checked(facts) == f"Entry {number} does not carry its own hash.\n"


def test_a_changed_entry_that_carries_its_own_hash_breaks_the_chain(lake: Lake, checked: Callable[..., str]) -> None:
    facts = facts_of(lake.prove("a00"))
    facts["entry"] = resealed(facts["entry"], software="another")

    assert checked(facts) == "Entry 4 does not carry the hash of the entry before.\n"


def test_a_missing_entry_breaks_the_chain(lake: Lake, checked: Callable[..., str]) -> None:
    facts = facts_of(lake.prove("a00"))
    del facts["chain"][1]

    assert checked(facts) == "Entry 6 does not carry the hash of the entry before.\n"


def test_a_head_that_was_made_anew_is_not_the_anchor(lake: Lake, checked: Callable[..., str]) -> None:
    facts = facts_of(lake.prove("a00"))
    facts["chain"][-1] = resealed(facts["chain"][-1], software="another")

    assert checked(facts).startswith("No entry of the proof carries the anchor's hash")


@pytest.mark.parametrize("anchor", ["0" * 64, "", "c0ffee"])
def test_a_wrong_anchor_is_refused(lake: Lake, checked: Callable[..., str], anchor: str) -> None:
    assert checked(facts_of(lake.prove("c")), anchor).startswith("No entry of the proof carries the anchor's hash")


def test_an_older_root_of_a_day_that_changed_before_the_anchor_is_refused(
    tmp_path: Path, checked: Callable[..., str]
) -> None:
    lake = Lake(tmp_path / "lake")
    lake.append(arriving(event("a", 1), event("gone", 2)))
    old = facts_of(lake.prove("gone"))
    head = lake.erase("gone", reason="asked")
    old["chain"] = [canonical(head).decode()]

    assert checked(old, head.hash) == "The event does not lead to the root that the ledger states.\n"
    assert '"gone"' in checked(old, lake.ledger()[0].hash)


# --- what cannot be proved


def test_an_unknown_event_is_named_with_what_to_do(lake: Lake) -> None:
    with pytest.raises(LakeError, match=r"'nobody' is not in the lake .* auditframe snapshot"):
        lake.prove("nobody")


def test_a_quarantined_event_is_said_to_be_in_quarantine(lake: Lake) -> None:
    with pytest.raises(LakeError, match=r"'q' is in quarantine.*auditframe quarantine") as caught:
        lake.prove("q")

    assert caught.value.path == Layout(lake.path).quarantine_file(4)


def test_an_erased_event_is_said_to_be_erased(lake: Lake) -> None:
    with pytest.raises(LakeError, match="'gone' was erased; entry 6"):
        lake.prove("gone")


def test_a_lake_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(LakeNotFoundError):
        Lake(tmp_path / "none").prove("a")


def test_a_partition_that_is_not_what_the_ledger_says_proves_nothing(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    lake.append(arriving(event("a", 1), event("b", 2)))
    file = Layout(lake.path).partition_file("1970-01-01")
    pq.write_table(pq.ParquetFile(file).read().slice(0, 1), file)

    with pytest.raises(LakeCorruptError, match="auditframe verify") as caught:
        lake.prove("a")
    assert type(caught.value) is LakeCorruptError
    assert caught.value.path == file


def test_a_partition_that_a_run_is_changing_can_be_asked_again_later(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    lake.append(arriving(event("a", 1)))
    with lake.writer() as writer:
        writer.add(arriving(event("b", 2), event("c", DAY_S)))
        with pytest.raises(LakeLockedError, match="Ask again") as caught:
            lake.prove("a")
        writer.commit("import")

    assert caught.value.retryable
    assert lake.prove("a").index == 0


def test_a_stale_journal_does_not_hide_a_damaged_partition(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    lake.append(arriving(event("a", 1), event("b", 2)))
    layout = Layout(lake.path)
    file = layout.partition_file("1970-01-01")
    pq.write_table(pq.ParquetFile(file).read().slice(0, 1), file)
    started = lake.ledger()[0].started_at
    write_journal(layout, Journal(number=1, kind="import", started_at=started, touched=["1970-01-01"], quarantine=[]))

    with pytest.raises(LakeCorruptError, match="auditframe verify"):
        lake.prove("a")


def test_a_proof_shows_no_event_in_its_repr(lake: Lake) -> None:
    assert "project.created" not in repr(lake.prove("c"))


def test_a_mutation_of_an_event_leaves_the_first_payload_provable(tmp_path: Path, checked: Callable[..., str]) -> None:
    lake = Lake(tmp_path / "lake")
    first = event("a", 1)
    lake.append(arriving(first))
    lake.append(arriving(first | {"more": 1}))
    proof = lake.prove("a")

    assert json.loads(proof.raw) == first
    assert '"a"' in checked(facts_of(proof), lake.ledger()[-1].hash)
