"""The commands that keep a lake, as somebody at a shell meets them."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from auditframe.cli import cli
from auditframe.flatten import Flattened, Quarantined, flatten_events
from auditframe.lake import Lake
from auditframe.lake.layout import Layout

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result

DAY_S = 86_400
WHO = "ana@example.org"
NOWHERE = dict.fromkeys(("AUDITFRAME_LAKE", "OPENAI_ADMIN_KEY", "OPENAI_BASE_URL"))
SEEN_AT = datetime(1970, 2, 1, tzinfo=UTC)


def run(*arguments: object) -> Result:
    """Run a command in this process, with nothing from the environment."""
    return CliRunner().invoke(cli, [str(each) for each in arguments], env=NOWHERE)


def event(id_: str, at: int = 0, email: str = "bo@example.org") -> dict[str, Any]:
    actor = {"type": "session", "session": {"user": {"id": f"user-{email.partition('@')[0]}", "email": email}}}
    return {"id": id_, "type": "login.succeeded", "effective_at": at, "actor": actor}


def unplaced(id_: str, **more: str) -> Quarantined:
    text = json.dumps({"id": id_, **more}).encode()
    return Quarantined(text, "It has no 'type'.", id_, "type", scope="tenant", seen_at=SEEN_AT)


def arriving(*events: dict[str, Any], held: tuple[Quarantined, ...] = ()) -> Flattened:
    return Flattened(flatten_events(events, scope="organization", seen_at=SEEN_AT).events, held)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """Four events on three days, an unplaced item, and a mutation of the event b."""
    lake = Lake(tmp_path / "lake")
    events = [event("a", 1, WHO), event("b", 2), event("c", DAY_S, WHO), event("d", 2 * DAY_S)]
    lake.append(arriving(*events, held=(unplaced("q", note=f"\x1b[31m {WHO}"),)))
    lake.append(arriving(event("b", 2, "other@example.org")))
    return lake


def ids(lake: Lake) -> list[str]:
    return [str(id_) for id_ in lake.to_arrow()["id"].to_pylist()]


def summary_of(done: Result) -> dict[str, Any]:
    (line,) = done.stdout.splitlines()
    facts: dict[str, Any] = json.loads(line)
    return facts


def is_told(done: Result, lake: Lake) -> bool:
    """Whether a line on stderr names the last entry and its hash, and stdout has nothing."""
    entry = lake.ledger()[-1]
    ends = [
        line.startswith(f"Entry {entry.number}: ") and line.endswith(entry.hash) for line in done.stderr.split("\n")
    ]
    return any(ends) and done.stdout == ""


# --- every command


@pytest.mark.parametrize(
    "command",
    [
        ["prove", "a"],
        ["quarantine"],
        ["quarantine", "--retry"],
        ["rebuild"],
        ["expire", "--before", "2000-01-01"],
        ["erase", "--email", WHO, "--reason", "asked"],
    ],
    ids=" ".join,
)
def test_a_command_needs_a_lake_and_makes_none(tmp_path: Path, command: list[str]) -> None:
    unnamed, missing = run(*command), run(*command, "--lake", tmp_path / "none")

    assert (unnamed.exit_code, "--lake FOLDER" in unnamed.stderr) == (2, True)
    assert (missing.exit_code, missing.stdout) == (1, "")
    assert "There is no lake at" in missing.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "command",
    [["rebuild"], ["expire", "--before", "1970-01-02"], ["erase", "--email", WHO, "--reason", "asked"]],
    ids=lambda command: str(command[0]),
)
def test_a_quiet_run_says_nothing(lake: Lake, command: list[str]) -> None:
    done = run(*command, "--lake", lake.path, "--quiet")

    assert (done.exit_code, done.output) == (0, "")


def test_a_lake_that_somebody_writes_to_is_left_alone(lake: Lake) -> None:
    with lake.writer():
        command = [sys.executable, "-m", "auditframe", "expire", "--before", "1970-01-02", "--lake", str(lake.path)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)  # noqa: S603

    assert (done.returncode, done.stdout) == (1, "")
    assert "Another process is writing" in done.stderr
    assert len(ids(lake)) == 4


# --- prove


def test_a_proof_goes_to_stdout_as_json(lake: Lake) -> None:
    done = run("prove", "b", "--lake", lake.path, "--json")

    assert done.exit_code == 0
    assert done.stdout == lake.prove("b").to_json() + "\n"
    assert summary_of(done)["index"] == 1


def test_a_proof_goes_to_a_file_of_its_owner_and_the_head_is_named(lake: Lake, tmp_path: Path) -> None:
    out = tmp_path / "proof.json"
    done = run("prove", "b", "--lake", lake.path, "--out", out)

    assert (done.exit_code, done.stdout) == (0, "")
    assert lake.ledger()[-1].hash in done.stderr
    assert out.read_text() == lake.prove("b").to_json() + "\n"
    assert out.stat().st_mode & 0o777 == 0o600


def test_without_a_place_for_the_proof_its_facts_are_shown_and_not_the_event(lake: Lake) -> None:
    done = run("prove", "b", "--lake", lake.path)
    shown = dict(line.split(maxsplit=1) for line in done.stdout.splitlines())

    assert done.exit_code == 0
    assert (shown["partition"], shown["row"], shown["entry"], shown["head_entry"]) == ("1970-01-01", "2", "2", "2")
    assert shown["head"] == lake.ledger()[-1].hash
    assert "example.org" not in done.output


def test_a_proof_has_one_place(lake: Lake, tmp_path: Path) -> None:
    done = run("prove", "b", "--lake", lake.path, "--json", "--out", tmp_path / "proof.json")

    assert done.exit_code == 2
    assert not (tmp_path / "proof.json").exists()


@pytest.mark.parametrize(("id_", "said"), [("nobody", "is not in the lake"), ("q", "is in quarantine")])
def test_what_has_no_row_is_one_line(lake: Lake, id_: str, said: str) -> None:
    done = run("prove", id_, "--lake", lake.path, "--json")

    assert (done.exit_code, done.stdout) == (1, "")
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


# --- quarantine


def test_quarantine_lists_what_is_there_and_keeps_the_text_off_the_terminal(lake: Lake) -> None:
    done = run("quarantine", "--lake", lake.path)
    lines = done.stdout.splitlines()

    assert done.exit_code == 0
    assert lines[0].split() == ["snapshot", "kind", "event_id", "field", "reason", "scope", "quarantined_at"]
    assert [line.split()[:4] for line in lines[2:]] == [["1", "unplaced", "q", "type"], ["2", "mutation", "b", "id"]]
    assert done.stderr == "2 item(s) are in quarantine.\n"
    assert "example.org" not in done.output


@pytest.mark.parametrize("form", ["table", "md"])
def test_a_table_in_a_file_has_no_text_either(lake: Lake, tmp_path: Path, form: str) -> None:
    run("quarantine", "--lake", lake.path, "--format", form, "--out", tmp_path / "q.txt")

    assert "unplaced" in (tmp_path / "q.txt").read_text()
    assert WHO not in (tmp_path / "q.txt").read_text()


def test_csv_json_and_parquet_hold_what_arrived(lake: Lake, tmp_path: Path) -> None:
    as_json = json.loads(run("quarantine", "--lake", lake.path, "--format", "json").stdout)
    as_csv = list(csv.DictReader(io.StringIO(run("quarantine", "--lake", lake.path, "--format", "csv").stdout)))
    run("quarantine", "--lake", lake.path, "--out", tmp_path / "q.parquet")
    texts = lake.quarantine()["text"].tolist()

    assert [row["text"] for row in as_json] == texts
    assert WHO in as_csv[0]["text"]
    assert pq.ParquetFile(tmp_path / "q.parquet").read()["text"].to_pylist() == texts


def test_an_empty_quarantine_has_its_columns_and_their_types(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    lake.append(arriving(event("a")))
    done = run("quarantine", "--lake", lake.path, "--out", tmp_path / "q.parquet")
    schema = pq.ParquetFile(tmp_path / "q.parquet").read().schema

    assert done.exit_code == 0
    assert [str(schema.field(name).type) for name in ("snapshot", "text", "quarantined_at")] == [
        "int64",
        "string",
        "timestamp[us, tz=UTC]",
    ]
    assert run("quarantine", "--lake", lake.path).stdout.splitlines()[0].startswith("snapshot  kind")


def test_a_summary_of_quarantine_counts_its_kinds(lake: Lake) -> None:
    done = run("quarantine", "--lake", lake.path, "--json")

    assert summary_of(done) == {"lake": str(lake.path), "unplaced": 1, "mutation": 1}


def test_a_summary_and_the_list_both_come_when_the_list_has_a_file(lake: Lake, tmp_path: Path) -> None:
    done = run("quarantine", "--lake", lake.path, "--json", "--out", tmp_path / "q.json")

    assert summary_of(done)["unplaced"] == 1
    assert len(json.loads((tmp_path / "q.json").read_text())) == 2


def test_a_retry_says_what_became_of_it(lake: Lake) -> None:
    ready = Quarantined(json.dumps(event("ready", 9)).encode(), "An older version said no.", "ready", "x")
    lake.append(arriving(held=(ready,)))
    done = run("quarantine", "--lake", lake.path, "--retry", "--out", lake.path.parent / "left.csv")

    assert "ready" in ids(lake)
    assert is_told(done, lake)
    assert "Entry 4: 2 tried again, 1 placed, 1 still without a place. The head is" in done.stderr
    assert "2 item(s) are in quarantine." in done.stderr


def test_a_retry_in_json_has_the_entry_and_the_head(lake: Lake) -> None:
    facts = summary_of(run("quarantine", "--lake", lake.path, "--retry", "--json"))

    assert (facts["tried"], facts["placed"], facts["entry"], facts["unplaced"]) == (1, 0, 3, 1)
    assert facts["head"] == lake.ledger()[-1].hash


def test_a_retry_of_nothing_leaves_no_entry(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    lake.append(arriving(event("a")))
    done = run("quarantine", "--lake", lake.path, "--retry")
    facts = summary_of(run("quarantine", "--lake", lake.path, "--retry", "--json"))

    assert done.stderr == "Nothing was there to be tried again. 0 item(s) are in quarantine.\n"
    assert (facts["tried"], facts["entry"], facts["head"]) == (0, None, lake.ledger()[0].hash)
    assert len(lake.ledger()) == 1


# --- rebuild


def test_a_rebuild_of_a_lake_that_is_as_it_should_be_says_so_and_writes_nothing(lake: Lake) -> None:
    head = lake.ledger()[-1].hash
    done, facts = run("rebuild", "--lake", lake.path), summary_of(run("rebuild", "--lake", lake.path, "--json"))

    assert (done.exit_code, done.stdout) == (0, "")
    assert done.stderr == "Every partition is as it should be; nothing was written.\n"
    assert (facts["entry"], facts["head"], facts["partitions"]) == (None, head, 0)
    assert len(lake.ledger()) == 2


@pytest.mark.parametrize("as_json", [False, True])
def test_a_rebuild_derives_columns_anew_and_names_the_entry(lake: Lake, as_json: bool) -> None:
    file = Layout(lake.path).partition_file("1970-01-01")
    there = pq.ParquetFile(file).read()
    pq.write_table(there.drop_columns(["actor_email"]), file)
    done = run("rebuild", "--lake", lake.path, *(["--json"] if as_json else []))

    assert pq.ParquetFile(file).read().equals(there)
    if as_json:
        head = lake.ledger()[-1].hash
        assert summary_of(done) == {"lake": str(lake.path), "entry": 3, "head": head, "partitions": 1}
    else:
        assert is_told(done, lake)
        assert "1 partition(s) derived anew." in done.stderr


# --- expire


def test_an_expiry_removes_what_is_older_and_names_entry_and_head(lake: Lake) -> None:
    done = run("expire", "--before", "1970-01-02", "--lake", lake.path)
    removal = lake.ledger()[-1].removal

    assert (done.exit_code, ids(lake)) == (0, ["c", "d"])
    assert is_told(done, lake)
    assert "2 event(s) in 1 partition(s) and 0 quarantined item(s) before 1970-01-02" in done.stderr
    assert removal is not None
    assert removal.reason == "retention"
    assert lake.verify() == ()


def test_the_summary_of_an_expiry_counts_what_is_gone(lake: Lake) -> None:
    done = run("expire", "--before", "-1d", "--reason", " ticket 7 ", "--lake", lake.path, "--json")
    entry = lake.ledger()[-1]

    assert summary_of(done) == {
        "lake": str(lake.path),
        "entry": 3,
        "head": entry.hash,
        "events": 4,
        "items": 2,
        "partitions": 3,
    }
    assert entry.removal is not None
    assert entry.removal.reason == "ticket 7"


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--before", "soon"],
        ["--before", (datetime.now(UTC) + timedelta(days=2)).isoformat()],
        ["--before", "1970-01-02", "--reason", " "],
    ],
)
def test_an_expiry_that_is_asked_wrongly_removes_nothing(lake: Lake, options: list[str]) -> None:
    done = run("expire", *options, "--lake", lake.path)

    assert (done.exit_code, done.stdout) == (2, "")
    assert len(ids(lake)) == 4
    assert len(lake.ledger()) == 2


# --- erase


def test_an_erasure_removes_every_event_and_item_that_names_somebody(lake: Lake) -> None:
    done = run("erase", "--email", WHO.upper(), "--reason", "request 12", "--lake", lake.path)
    entry = lake.ledger()[-1]

    assert (done.exit_code, ids(lake)) == (0, ["b", "d"])
    assert is_told(done, lake)
    assert "2 event(s) in 2 partition(s) and 1 quarantined item(s) that named them are removed." in done.stderr
    assert entry.removal is not None
    assert entry.removal.reason == "request 12"
    assert WHO not in done.output.lower()
    assert lake.verify() == ()


def test_addresses_and_ids_may_be_given_together(lake: Lake) -> None:
    names = ["--email", WHO, "--actor-id", "user-bo", "--email", "nobody@example.org", "--reason", "request 12"]
    facts = summary_of(run("erase", *names, "--lake", lake.path, "--json"))

    assert (facts["events"], facts["items"], facts["entry"]) == (4, 2, 3)
    assert facts["head"] == lake.ledger()[-1].hash
    assert ids(lake) == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--reason", "asked"], "Whom to erase?"),
        (["--email", WHO], "--reason"),
        (["--email", WHO, "--reason", ""], "Why?"),
        (["--email", WHO, "--actor-id", " ", "--reason", "asked"], "Whom to erase?"),
        (["--email", "ana", "--reason", "asked"], "with an @ in it"),
        (["--email", WHO, "--reason", f"for {WHO.title()} herself"], "names whom to erase"),
        (["--actor-id", " user-ana ", "--reason", "USER-ANA asked"], "names whom to erase"),
    ],
)
def test_an_erasure_that_is_asked_wrongly_removes_nothing(lake: Lake, options: list[str], said: str) -> None:
    done = run("erase", *options, "--lake", lake.path)

    assert (done.exit_code, done.stdout) == (2, "")
    assert said in done.stderr
    assert len(ids(lake)) == 4
    assert len(lake.ledger()) == 2


@pytest.mark.parametrize("command", ["expire", "erase"])
def test_the_help_says_what_a_removal_does_not_reach(command: str) -> None:
    text = " ".join(run(command, "--help").output.split())

    assert "Not reached are copies elsewhere: backups, exports" in text
    assert "The file system may keep blocks of the replaced Parquet files" in text
    assert "It stands in the ledger for good, so no personal data belongs in it" in text
