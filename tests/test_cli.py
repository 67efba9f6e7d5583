from __future__ import annotations

import contextlib
import csv
import gzip
import io
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest
import stamina
from click.testing import CliRunner

from auditframe.cli import COMMANDS, cli
from auditframe.cli.ask import report as report_group
from auditframe.emulator import Behaviour, Emulator, Fault, serve
from auditframe.lake import Lake
from auditframe.lake.parquet import encode_partition
from auditframe.reports import REGISTRY, Report
from auditframe.reports._source import as_events
from auditframe.sample import sample, to_jsonl
from auditframe.schema import COLUMN_NAMES

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa
    from click.testing import Result

KEY = "sk-admin-emulator"
WINDOW = ("--start", "2026-10-30", "--end", "2026-11-01")
SAMPLE = sample(seed=3, events=300, days=2, end="2026-11-01")
NOWHERE = dict.fromkeys(("AUDITFRAME_LAKE", "OPENAI_ADMIN_KEY", "OPENAI_BASE_URL"))


def run(*arguments: object, env: dict[str, str] | None = None) -> Result:
    """Run a command in this process, with nothing from the environment but `env`."""
    return CliRunner().invoke(cli, [str(each) for each in arguments], env={**NOWHERE, **(env or {})})


def shell(*arguments: object, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run the real command in a process of its own."""
    clean = {name: value for name, value in os.environ.items() if name not in NOWHERE}
    return subprocess.run(  # noqa: S603
        [sys.executable, "-m", "auditframe", *map(str, arguments)],
        env={**clean, **(env or {})},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def redirected(where: str, *arguments: object, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run the real command in a shell with its streams where a redirection sends them."""
    command = shlex.join([sys.executable, "-m", "auditframe", *map(str, arguments)])
    clean = {name: value for name, value in os.environ.items() if name not in NOWHERE}
    return subprocess.run(  # noqa: S603
        ["bash", "-o", "pipefail", "-c", f"{command} {where}"],  # noqa: S607
        env={**clean, **(env or {})},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@contextlib.contextmanager
def endpoint(events: Any = SAMPLE.events, *, key: str = KEY, **behaviour: Any) -> Iterator[dict[str, str]]:
    """Serve events on a socket; yield the environment that a client needs."""
    with serve(Emulator(events, behaviour=Behaviour(**behaviour))) as base_url:
        yield {"OPENAI_ADMIN_KEY": key, "OPENAI_BASE_URL": base_url, "no_proxy": "*"}


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake that no test changes."""
    path = tmp_path_factory.mktemp("module") / "lake"
    with endpoint() as env:
        done = run("snapshot", "--lake", path, *WINDOW, env=env)
    assert done.exit_code == 0, done.output
    return path


@pytest.fixture(scope="module")
def events_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("files") / "events.jsonl"
    path.write_bytes(to_jsonl(SAMPLE))
    return path


def only_line(text: str) -> str:
    (line,) = text.splitlines()
    return line


def event(**fields: Any) -> dict[str, Any]:
    return {"id": "e1", "type": "project.archived", "effective_at": 1_793_000_000, "project.archived": {}, **fields}


def actor(email: str) -> dict[str, Any]:
    return {"type": "session", "session": {"user": {"id": "user-1", "email": email}, "ip_address": "192.0.2.1"}}


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


# --- snapshot


def test_a_snapshot_collects_every_event_and_says_so_on_stderr(tmp_path: Path) -> None:
    with endpoint() as env:
        done = run("snapshot", "--lake", tmp_path / "lake", *WINDOW, env=env)

    assert (done.exit_code, done.stdout) == (0, "")
    assert "Snapshot 1: 300 events, 300 new." in done.stderr
    assert len(Lake(tmp_path / "lake").to_arrow()) == 300


def test_a_second_snapshot_adds_nothing(tmp_path: Path) -> None:
    with endpoint() as env:
        first, second = (
            run("snapshot", "--lake", tmp_path / "lake", *WINDOW, "--json", env=env).stdout for _ in range(2)
        )

    assert (json.loads(first)["new"], json.loads(second)["new"]) == (300, 0)


def test_the_summary_of_a_snapshot_is_one_object_on_one_line_of_stdout(tmp_path: Path) -> None:
    with endpoint() as env:
        done = shell("snapshot", "--lake", tmp_path / "lake", *WINDOW, "--json", env=env)

    summary = json.loads(only_line(done.stdout))

    assert (summary["complete"], summary["number"], summary["new"], summary["windows"]) == (True, 1, 300, 4)
    assert len(summary["head"]) == 64


def test_progress_goes_to_stderr_and_not_more_than_some_lines(tmp_path: Path) -> None:
    with endpoint() as env:
        done = shell("snapshot", "--lake", tmp_path / "lake", *WINDOW, env=env)

    assert done.stdout == ""
    assert "4 of 4 windows read, 300 new events" in done.stderr.splitlines()
    assert len(done.stderr.splitlines()) <= 4 + 2


def test_a_quiet_snapshot_says_nothing(tmp_path: Path) -> None:
    with endpoint() as env:
        done = shell("snapshot", "--lake", tmp_path / "lake", *WINDOW, "--quiet", env=env)

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


UNWRITABLE = pytest.mark.parametrize("where", ["2>/dev/full", "2>&-", "2</dev/null", "2>&1 | true"])
"""What a shell makes of stderr so that nothing can be written there."""


@UNWRITABLE
@pytest.mark.parametrize("quiet", [[], ["--quiet"]])
def test_a_snapshot_is_whole_though_stderr_cannot_be_written(tmp_path: Path, where: str, quiet: list[str]) -> None:
    with endpoint() as env:
        done = redirected(where, "snapshot", "--lake", tmp_path / "lake", *WINDOW, *quiet, env=env)
    (entry,) = Lake(tmp_path / "lake").ledger()

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (entry.kind, entry.counts.new) == ("snapshot", 300)


@pytest.mark.parametrize(("arguments", "code"), [((), 0), (("--anchor", "0" * 64), 4), (("--nonsense",), 2)])
def test_an_exit_code_is_the_same_though_stderr_cannot_be_written(
    lake: Path, arguments: tuple[str, ...], code: int
) -> None:
    done = redirected("2>/dev/full", "verify", "--lake", lake, *arguments)

    assert (done.returncode, done.stderr) == (code, "")


def test_the_lake_may_come_from_the_environment(tmp_path: Path) -> None:
    with endpoint() as env:
        done = run("snapshot", *WINDOW, env={**env, "AUDITFRAME_LAKE": str(tmp_path / "lake")})

    assert done.exit_code == 0
    assert Lake(tmp_path / "lake").exists()


def test_without_a_lake_it_says_how_to_give_one() -> None:
    for command in (["snapshot"], ["status"], ["verify"], ["sql", "SELECT 1"], ["report", "api_keys"]):
        done = run(*command)

        assert done.exit_code == 2
        assert "--lake FOLDER" in done.stderr
        assert "AUDITFRAME_LAKE" in done.stderr


def test_an_interrupted_snapshot_keeps_what_came_and_exits_with_3(tmp_path: Path) -> None:
    # A 400 is not tried again, so the fourth request ends the run.
    with endpoint(faults=(Fault(at=3, status=400),)) as env:
        done = run("snapshot", "--lake", tmp_path / "lake", *WINDOW, "--json", env=env)

    summary = json.loads(only_line(done.stdout))

    assert done.exit_code == 3
    assert summary["complete"] is False
    assert 0 < summary["new"] == len(Lake(tmp_path / "lake").to_arrow()) < 300
    assert done.stderr.splitlines()[-1].startswith("auditframe: The snapshot is not complete")


def test_ctrl_c_keeps_what_came_and_exits_with_3(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "auditframe", "snapshot", "--lake", str(tmp_path / "lake"), *WINDOW]
    many = sample(seed=3, events=2_000, days=2, end="2026-11-01").events  # more pages than are under way at a time
    with (
        endpoint(many, latency_s=0.3) as env,
        subprocess.Popen(command, env={**os.environ, **env}, stderr=subprocess.PIPE, text=True) as snapshot,  # noqa: S603
    ):
        assert snapshot.stderr is not None
        first = snapshot.stderr.readline()
        snapshot.send_signal(signal.SIGINT)
        rest = snapshot.stderr.read()
        code = snapshot.wait(30)

    assert re.match("[0-3] of 4 windows read, ", first)
    assert (code, "It was stopped by hand." in rest) == (3, True)
    assert 0 < len(Lake(tmp_path / "lake").to_arrow()) < len(many)


def test_a_scope_that_is_not_permitted_is_named(tmp_path: Path) -> None:
    with endpoint(tenant="forbidden") as env:
        done = run("snapshot", "--lake", tmp_path / "lake", *WINDOW, env=env)

    assert done.exit_code == 0
    assert "may not read the scope tenant" in done.stderr


# --- the key and the endpoint


def test_a_wrong_key_is_one_line_that_says_where_to_get_one_and_writes_nothing(tmp_path: Path) -> None:
    with endpoint(key="sk-wrong-and-secret") as env:
        done = shell("snapshot", "--lake", tmp_path / "lake", *WINDOW, env=env)

    assert (done.returncode, done.stdout) == (5, "")
    assert "platform.openai.com/settings/organization/admin-keys" in only_line(done.stderr)
    assert "secret" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_no_key_is_one_line_that_says_where_to_get_one(tmp_path: Path) -> None:
    done = run("snapshot", "--lake", tmp_path / "lake", env={"OPENAI_BASE_URL": "http://127.0.0.1:9/v1"})

    assert done.exit_code == 5
    assert "OPENAI_ADMIN_KEY" in only_line(done.stderr)


def test_a_key_with_a_trailing_newline_works(tmp_path: Path) -> None:
    with endpoint(key=KEY + "\n") as env:
        assert run("snapshot", "--lake", tmp_path / "lake", *WINDOW, env=env).exit_code == 0


@pytest.mark.parametrize(("options", "code"), [([], 5), (["--debug"], 1)])
def test_a_key_with_a_control_character_is_refused_and_never_shown(
    tmp_path: Path, options: list[str], code: int
) -> None:
    with endpoint(key="sk-sec\x07ret") as env:
        done = shell("snapshot", "--lake", tmp_path / "lake", *options, env=env)

    assert done.returncode == code
    assert "The key holds" in done.stderr
    assert "sk-sec" not in done.stdout + done.stderr
    assert list(tmp_path.iterdir()) == []


def test_no_server_is_one_line(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    env = {"OPENAI_ADMIN_KEY": KEY, "OPENAI_BASE_URL": f"http://127.0.0.1:{port}/v1", "no_proxy": "*"}

    with stamina.set_testing(True):
        done = run("snapshot", "--lake", tmp_path / "lake", env=env)

    assert (done.exit_code, done.stdout) == (1, "")
    assert "127.0.0.1" in only_line(done.stderr)
    assert list(tmp_path.iterdir()) == []


def test_a_time_that_cannot_be_read_is_a_usage_error(tmp_path: Path) -> None:
    done = run("snapshot", "--lake", tmp_path / "lake", "--start", "yesterday")

    assert done.exit_code == 2
    assert "'yesterday' is no time" in only_line(done.stderr)


# --- import


def test_an_import_adds_the_events_of_files_once(tmp_path: Path, events_file: Path) -> None:
    first, second = (
        json.loads(run("import", events_file, "--lake", tmp_path / "lake", "--json").stdout) for _ in range(2)
    )

    assert (first["received"], first["new"]) == (300, 300)
    assert (second["new"], second["known"]) == (0, 300)


def test_an_import_of_events_in_no_order_writes_hardly_a_day_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = to_jsonl(sample(seed=2, events=400, days=60)).splitlines(keepends=True)
    in_order, by_chance = tmp_path / "in_order.jsonl", tmp_path / "by_chance.jsonl"
    in_order.write_bytes(b"".join(lines))
    by_chance.write_bytes(b"".join(Random(5).sample(lines, len(lines))))  # noqa: S311 - no secret
    run("import", in_order, "--lake", tmp_path / "other")
    written: list[int] = []

    def encoded(events: pa.Table) -> bytes:
        written.append(len(events))
        return encode_partition(events)

    monkeypatch.setattr(sys.modules["auditframe.files"], "BLOCK_BYTES", 4_000)
    monkeypatch.setattr(sys.modules["auditframe.load"], "BATCH_BYTES", 20_000)
    monkeypatch.setattr(sys.modules["auditframe.lake.writer"], "encode_partition", encoded)
    done = run("import", by_chance, "--lake", tmp_path / "lake")
    lake, other = (Lake(tmp_path / name).to_arrow().drop_columns(["first_seen_at"]) for name in ("lake", "other"))

    assert done.exit_code == 0
    assert lake == other
    assert len(written) < 1.5 * len(Lake(tmp_path / "lake").partitions())


def test_every_run_says_its_head(tmp_path: Path, events_file: Path) -> None:
    path = tmp_path / "lake"
    imported = run("import", events_file, "--lake", path)
    told = json.loads(run("import", events_file, "--lake", path, "--json").stdout)
    with endpoint() as env:
        cut_short = run("snapshot", "--lake", path, *WINDOW, "--max-pages", "1", env=env)
    heads = [entry.hash for entry in Lake(path).ledger()]

    assert imported.stderr.rstrip().endswith(heads[0])
    assert told["head"] == heads[1]
    assert cut_short.exit_code == 3
    assert f"Its head is {heads[2]}" in cut_short.stderr


def test_a_truncated_file_is_named_with_the_byte_and_no_lake_is_made(tmp_path: Path, events_file: Path) -> None:
    whole, cut = events_file.read_bytes(), tmp_path / "cut.jsonl"
    cut.write_bytes(whole[:5000])

    done = run("import", events_file, cut, "--lake", tmp_path / "lake")

    assert done.exit_code == 1
    assert "cut.jsonl" in only_line(done.stderr)
    assert whole.rindex(b"\n", 0, 5000) < int(done.stderr.partition("from byte ")[2].split()[0]) <= 5000
    assert not (tmp_path / "lake").exists()


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    done = run("import", tmp_path / "none.jsonl", "--lake", tmp_path / "lake")

    assert done.exit_code == 1
    assert "none.jsonl" in only_line(done.stderr)


@pytest.mark.parametrize("command", ["import", "snapshot", "status", "verify", "report", "sql"])
def test_a_lake_of_a_newer_format_is_refused(tmp_path: Path, events_file: Path, command: str) -> None:
    (tmp_path / "auditframe.json").write_text('{"format_version": 2, "partition": "day"}')
    arguments = {"import": str(events_file), "report": "api_keys", "sql": "SELECT 1"}

    done = run(command, *filter(None, [arguments.get(command)]), "--lake", tmp_path, env={"OPENAI_ADMIN_KEY": KEY})

    assert done.exit_code == 1
    assert "Upgrade auditframe" in only_line(done.stderr)
    assert [path.name for path in tmp_path.iterdir()] == ["auditframe.json"]


# --- load


def test_load_writes_a_parquet_file_with_every_column(tmp_path: Path, events_file: Path) -> None:
    out = tmp_path / "events.parquet"

    done = run("load", events_file, "--out", out, "--json")

    assert json.loads(only_line(done.stdout)) == {
        "events": 300,
        "repeated": 0,
        "quarantined": 0,
        "out": str(out),
        "format": "parquet",
    }
    with pq.ParquetFile(out, pre_buffer=False) as file:
        assert file.schema_arrow.names == list(COLUMN_NAMES)
        assert file.metadata.num_rows == 300


def test_load_reads_the_live_endpoint_with_its_filters() -> None:
    wanted = [each for each in SAMPLE.events if each["type"] == "login.failed"]
    with endpoint() as env:
        done = run("load", "--event-type", "login.failed", "--limit", 7, "--format", "csv", env=env)

    assert [row["id"] for row in rows_of(done.stdout)] == [each["id"] for each in wanted]
    assert len(wanted) > 0


def test_load_applies_the_window_to_files(events_file: Path) -> None:
    done = run("load", events_file, "--start", "2026-10-31", "--format", "json")

    days = {row["effective_at"][:10] for row in json.loads(done.stdout)}

    assert days == {"2026-10-31"}


def test_an_event_that_cannot_be_placed_is_a_line_on_stderr(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    file.write_text(json.dumps(event()) + "\n" + json.dumps({"type": "x"}) + "\n")

    done = run("load", file, "--format", "csv")

    assert (done.exit_code, len(rows_of(done.stdout))) == (0, 1)
    assert done.stderr.splitlines()[0].startswith("auditframe: 1 event(s) are not in this answer")


def test_strict_load_fails_on_an_event_that_cannot_be_placed(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    file.write_text(json.dumps({"type": "x", "effective_at": 1}) + "\n")

    done = run("load", file, "--strict", "--out", tmp_path / "out.csv")

    assert done.exit_code == 1
    assert not (tmp_path / "out.csv").exists()


def test_an_argument_that_the_endpoint_cannot_take_is_a_usage_error() -> None:
    done = run("load", "--after", "e1", env={"OPENAI_ADMIN_KEY": KEY})

    assert done.exit_code == 2
    assert "scope" in only_line(done.stderr)


def test_an_output_file_is_refused_before_anything_is_fetched(tmp_path: Path) -> None:
    for name, said in (("none/events.csv", "There is no folder"), ("events.xyz", "none of the endings")):
        done = run("load", "--out", tmp_path / name)

        assert done.exit_code == 2
        assert said in done.stderr


def test_a_summary_and_data_cannot_both_go_to_stdout(events_file: Path) -> None:
    done = run("load", events_file, "--json")

    assert done.exit_code == 2
    assert "--out" in done.stderr


# --- report, reports, sql


@pytest.mark.parametrize("name", REGISTRY)
def test_every_report_is_a_command_that_answers(lake: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It asks the report of the whole lake, as anybody would, and writes every row of the answer."""
    asked: list[tuple[Report[Any], Any, dict[str, Any], int]] = []

    def ask(report: Report[Any], source: Any, **params: Any) -> pa.Table:
        answer = arrow(report, source, **params)
        asked.append((report, as_events(source), params, len(answer)))
        return answer

    arrow = Report.arrow
    monkeypatch.setattr(Report, "arrow", ask)
    done = run("report", name, "--lake", lake, "--format", "json")
    report, defaults = REGISTRY[name], {each.name: each.default for each in REGISTRY[name].parameters}

    assert done.exit_code == 0, done.output
    assert asked[-1] == (report, Lake(lake).events, defaults, len(json.loads(done.stdout)))


@pytest.mark.parametrize("name", REGISTRY)
def test_the_help_of_a_report_has_its_question_columns_and_parameters(name: str) -> None:
    report = REGISTRY[name]

    text = " ".join(run("report", name, "--help").output.split())

    assert report.question in text
    assert all(f"{column.name}: " in text for column in report.columns)
    assert all(f"--{parameter.name.replace('_', '-')}" in text for parameter in report.parameters)


def test_a_parameter_of_a_report_is_an_option(lake: Path) -> None:
    done = run("report", "login_failures", "--lake", lake, "--min-failures", 2, "--format", "csv")

    failures = [int(row["failures"]) for row in rows_of(done.stdout)]

    assert failures == REGISTRY["login_failures"].arrow(lake, min_failures=2)["failures"].to_pylist()


def test_a_report_can_be_asked_of_a_window(lake: Path) -> None:
    done = run("report", "events_per_day", "--lake", lake, "--start", "2026-10-31", "--format", "csv")

    assert [row["day"] for row in rows_of(done.stdout)] == ["2026-10-31"]


def test_a_report_can_be_asked_of_a_file(lake: Path, events_file: Path) -> None:
    of_file = run("report", "events_per_type", "--on", events_file, "--format", "csv")
    of_lake = run("report", "events_per_type", "--lake", lake, "--format", "csv")

    assert of_file.stdout == of_lake.stdout


def test_hyphens_do_for_underscores_in_the_name_of_a_report(lake: Path) -> None:
    assert run("report", "events-per-day", "--lake", lake).exit_code == 0


def test_an_unknown_report_is_answered_with_the_nearest(lake: Path) -> None:
    done = run("report", "api_kyes", "--lake", lake)

    assert done.exit_code == 2
    assert "Did you mean 'api_keys'?" in only_line(done.stderr)


def test_an_unknown_parameter_is_answered_with_the_nearest(lake: Path) -> None:
    done = run("report", "login_failures", "--lake", lake, "--min-failure", 3)

    assert done.exit_code == 2
    assert "Did you mean '--min-failures'?" in done.stderr


def test_a_value_of_the_wrong_kind_is_a_usage_error(lake: Path) -> None:
    assert run("report", "login_failures", "--lake", lake, "--min-failures", "many").exit_code == 2


def test_an_unknown_command_is_answered_with_the_nearest() -> None:
    done = run("snapshto")

    assert done.exit_code == 2
    assert "Did you mean 'snapshot'?" in done.stderr


@pytest.mark.parametrize("ending", ["csv", "json", "md", "parquet", "txt"])
def test_the_ending_of_the_file_says_the_format(lake: Path, tmp_path: Path, ending: str) -> None:
    out = tmp_path / f"answer.{ending}"
    form = "table" if ending == "txt" else ending

    to_file = run("report", "events_per_day", "--lake", lake, "--out", out)
    to_stdout = run("report", "events_per_day", "--lake", lake, "--format", form)

    assert (to_file.exit_code, to_file.stdout) == (0, "")
    assert out.read_bytes() == to_stdout.stdout_bytes
    assert [path.name for path in tmp_path.iterdir()] == [out.name]


def test_a_file_is_readable_by_its_owner_alone(lake: Path, tmp_path: Path) -> None:
    run("report", "events_per_day", "--lake", lake, "--out", tmp_path / "a.csv")

    assert (tmp_path / "a.csv").stat().st_mode & 0o777 == 0o600


def test_a_device_is_written_to_and_not_replaced(lake: Path) -> None:
    done = run("report", "events_per_day", "--lake", lake, "--format", "csv", "--out", "/dev/null")

    assert done.exit_code == 0
    assert Path("/dev/null").is_char_device()


def test_a_plot_is_a_png(lake: Path, tmp_path: Path) -> None:
    done = run("report", "events_per_day", "--lake", lake, "--plot", tmp_path / "plot.png")

    assert done.exit_code == 0, done.output
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")


def test_a_plot_of_an_unknown_kind_is_refused(lake: Path, tmp_path: Path) -> None:
    assert run("report", "api_keys", "--lake", lake, "--plot", tmp_path / "plot.gif").exit_code == 2


@pytest.mark.parametrize("form", ["table", "md"])
def test_hostile_text_of_events_is_inert(tmp_path: Path, form: str) -> None:
    file = tmp_path / "events.jsonl"
    file.write_text(json.dumps(event(actor=actor("\x1b]0;owned\x07\u202e|<b>`x`@example.com"))) + "\n")

    done = run("report", "events_per_actor", "--on", file, "--format", form)

    assert done.exit_code == 0
    assert not any(char in done.output for char in "\x1b\x07\u202e")
    assert "\\u202e" in done.output.replace("\\\\", "\\")
    assert ("<b>" in done.output) == (form == "table")


def test_hostile_text_in_an_error_is_inert(tmp_path: Path) -> None:
    done = run("import", tmp_path / "a\x1b[31m\n.jsonl", "--lake", tmp_path / "lake")

    assert "\x1b" not in only_line(done.stderr)


def test_reports_lists_every_report_with_question_parameters_and_controls() -> None:
    listed = json.loads(run("reports", "--format", "json").stdout)

    assert [row["name"] for row in listed] == list(REGISTRY)
    assert next(row for row in listed if row["name"] == "login_failures")["parameters"] == ["min_failures=1"]
    assert all(row["question"].endswith("?") and row["controls"] for row in listed)


def test_sql_answers_one_select(lake: Path) -> None:
    done = run("sql", "SELECT count(*) AS events, '=1' AS x FROM events", "--lake", lake, "--format", "csv")

    assert done.stdout_bytes == b"events,x\r\n300,'=1\r\n"


def test_sql_that_changes_something_is_refused_in_one_line(lake: Path) -> None:
    for query in ("DROP VIEW events", "DELETE FROM events", "", "SELECT 1; SELECT 2"):
        done = run("sql", query, "--lake", lake)

        assert done.exit_code == 2
        assert "Only one SELECT" in only_line(done.stderr)


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("SELEC 1", 'syntax error at or near "SELEC"'),
        ("SELECT * FROM evnts", 'Did you mean "events"?'),
        ("SELECT typ FROM events", 'Candidate bindings: "type"'),
    ],
)
def test_sql_that_is_asked_wrongly_is_told_what_may_have_been_meant(query: str, told: str, lake: Path) -> None:
    done = run("sql", query, "--lake", lake)

    assert done.exit_code == 2
    assert told in only_line(done.stderr)


def test_sql_that_fails_at_an_event_is_no_misuse(lake: Path) -> None:
    done = run("sql", "SELECT CAST(raw AS INT) FROM events", "--lake", lake)

    assert done.exit_code == 1
    assert "Conversion Error" in only_line(done.stderr)
    assert "audit_log-" not in done.stderr


def test_a_lake_that_is_not_there_is_named(tmp_path: Path) -> None:
    done = run("sql", "SELECT 1", "--lake", tmp_path / "none")

    assert done.exit_code == 1
    assert "There is no lake at" in only_line(done.stderr)


def test_a_reader_that_hangs_up_is_no_failure_to_speak_of(lake: Path) -> None:
    command = f"{sys.executable} -m auditframe load --format csv {lake.parent}/big.jsonl | head -c 10"
    (lake.parent / "big.jsonl").write_bytes(to_jsonl(SAMPLE))

    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)  # noqa: S603, S607

    assert done.stdout.startswith("id,type,")
    assert "Error" not in done.stderr
    assert "Traceback" not in done.stderr


# --- status, verify


def test_status_tells_what_is_there_covered_and_how_fresh(lake: Path) -> None:
    facts = json.loads(only_line(run("status", "--lake", lake, "--json").stdout))
    organization, tenant = facts["scopes"]

    assert (facts["events"], facts["partitions"], facts["quarantined"]) == (300, 2, 0)
    assert (facts["last_entry"], facts["head"]) == ("snapshot 1", Lake(lake).ledger()[-1].hash)
    assert organization["events"] + tenant["events"] == 300
    assert (organization["covered_from"], organization["covered_until"]) == (
        "2026-10-30T00:00:00Z",
        "2026-11-01T00:00:00Z",
    )
    assert (organization["gaps"], facts["wrong"]) == ([], [])
    assert (organization["status"], tenant["scope"]) == ("complete", "tenant")


def test_status_of_a_stale_lake_exits_with_4_and_says_which_scope(lake: Path) -> None:
    stale, fresh = (run("status", "--lake", lake, "--max-age", age) for age in ("2h", "9999d"))
    told = run("status", "--lake", lake, "--max-age", "2h", "--format", "json")

    assert (stale.exit_code, fresh.exit_code, told.exit_code) == (4, 0, 4)
    assert "The scope organization is stale: it is covered until 2026-11-01 00:00:00Z." in stale.stderr
    assert run("status", "--lake", lake, "--max-age", "2h", "--quiet").stderr == stale.stderr
    assert len(json.loads(told.stdout)["wrong"]) == 2
    assert run("status", "--lake", lake, "--max-age", "soon").exit_code == 2


def test_status_of_a_lake_that_lacks_a_partition_exits_with_4_and_names_it(tmp_path: Path, events_file: Path) -> None:
    run("import", events_file, "--lake", tmp_path / "lake")
    (tmp_path / "lake/events/date=2026-10-31/events.parquet").unlink()
    done = run("status", "--lake", tmp_path / "lake")

    assert done.exit_code == 4
    assert "The partition 2026-10-31 is missing" in done.stderr


def test_status_tells_coverage_since_the_logs_beginning_from_none(tmp_path: Path) -> None:
    with endpoint(tenant="forbidden") as env:
        run("snapshot", "--lake", tmp_path / "lake", "--workers", "1", env=env)
    (line,) = (
        line for line in run("status", "--lake", tmp_path / "lake").stdout.splitlines() if "covered from" in line
    )

    assert line.removeprefix("covered from").strip().startswith("the log's beginning")
    assert line.endswith("none")


def test_a_bounded_snapshot_exits_with_3_says_what_it_did_and_is_gone_on_with(tmp_path: Path) -> None:
    with endpoint() as environment:
        options = (
            "--lake",
            tmp_path / "lake",
            "--start",
            "2026-10-25",
            "--end",
            "2026-11-01",
            "--json",
            "--workers",
            "1",
        )
        bounded = run("snapshot", *options, "--max-pages", "2", env=environment)
        rest = run("snapshot", *options, "--max-seconds", "60", env=environment)
    first, second = json.loads(bounded.stdout), json.loads(rest.stdout)

    assert (bounded.exit_code, rest.exit_code) == (3, 0)
    assert (first["complete"], first["pages"], first["received"]) == (False, 2, first["accounted"])
    assert "2 page(s)" in bounded.stderr
    assert first["new"] + second["new"] == 300


def test_status_shows_the_whole_head_to_a_reader(lake: Path) -> None:
    assert Lake(lake).ledger()[-1].hash in run("status", "--lake", lake).stdout


def test_status_of_a_lake_of_imports_has_no_coverage(tmp_path: Path, events_file: Path) -> None:
    run("import", events_file, "--lake", tmp_path / "lake")

    facts = json.loads(run("status", "--lake", tmp_path / "lake", "--json").stdout)

    assert facts["scopes"][0]["covered_until"] is None
    assert facts["scopes"][0]["lag_s"] is None
    assert run("status", "--lake", tmp_path / "lake").exit_code == 0
    assert run("status", "--lake", tmp_path / "lake", "--max-age", "1d").exit_code == 4


def test_verify_finds_nothing_in_a_sound_lake(lake: Path) -> None:
    done = run("verify", "--lake", lake)

    assert (done.exit_code, done.stdout) == (0, "")


def test_verify_finds_an_anchor_or_says_that_the_lake_was_rolled_back(lake: Path) -> None:
    head = json.loads(only_line(run("status", "--lake", lake, "--json").stdout))["head"]
    sound = run("verify", "--lake", lake, "--anchor", head)
    other = run("verify", "--lake", lake, "--anchor", "0" * 64)

    assert sound.exit_code == 0
    assert other.exit_code == 4
    assert "rolled back" in other.stdout


def test_a_snapshot_takes_its_workers_and_a_deep_pass(tmp_path: Path) -> None:
    with endpoint() as environment:
        options = ("--lake", tmp_path / "lake", "--start", "2026-10-25", "--json", "--workers", "2")
        first = run("snapshot", *options, env=environment)
        again = run("snapshot", *options, "--resweep", "90d", env=environment)
        wrong = run("snapshot", *options, "--resweep", "soon", env=environment)
    counts = [json.loads(only_line(done.stdout)) for done in (first, again)]

    assert counts[0]["received"] == counts[1]["known"] == counts[0]["new"] > 0
    assert (counts[1]["new"], counts[1]["vanished"]) == (0, 0)
    assert wrong.exit_code == 2


def test_verify_names_the_file_of_a_flipped_byte_and_exits_with_4(tmp_path: Path, events_file: Path) -> None:
    run("import", events_file, "--lake", tmp_path / "lake")
    partition = next((tmp_path / "lake" / "events").rglob("*.parquet"))
    data = bytearray(partition.read_bytes())
    data[len(data) // 3] ^= 1
    partition.write_bytes(data)

    done = run("verify", "--lake", tmp_path / "lake")
    summary = json.loads(only_line(run("verify", "--lake", tmp_path / "lake", "--json").stdout))

    assert done.exit_code == 4
    assert all(line.startswith(str(partition)) for line in done.stdout.splitlines())
    assert len(done.stdout.splitlines()) == len(summary["faults"]) > 0


def test_verify_counts_a_broken_description_as_a_fault(tmp_path: Path) -> None:
    (tmp_path / "auditframe.json").write_text("{")

    assert run("verify", "--lake", tmp_path).exit_code == 4


# --- sample, emulate, demo


def test_sample_gives_the_same_bytes_for_the_same_seed(tmp_path: Path) -> None:
    options = ("--seed", 3, "--events", 300, "--days", 2, "--end", "2026-11-01")

    run("sample", *options, "--out", tmp_path / "s.jsonl.gz")

    assert run("sample", *options).stdout_bytes == to_jsonl(SAMPLE)
    assert gzip.decompress((tmp_path / "s.jsonl.gz").read_bytes()) == to_jsonl(SAMPLE)


def test_emulate_serves_until_it_is_interrupted() -> None:
    command = [sys.executable, "-m", "auditframe", "emulate", "--events", "30", "--key", "sk-made-up"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:  # noqa: S603
        assert server.stdout is not None
        base_url = server.stdout.readline().strip().removeprefix("export OPENAI_BASE_URL=")
        key = server.stdout.readline().strip().removeprefix("export OPENAI_ADMIN_KEY=")
        asked = urllib.request.Request(  # noqa: S310
            f"{base_url}/organization/audit_logs?limit=5", headers={"Authorization": f"Bearer {key}"}
        )
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(asked, timeout=10) as answer:
            page = json.load(answer)
        server.send_signal(signal.SIGINT)
        code = server.wait(10)

    assert (len(page["data"]), key, code) == (5, "sk-made-up", 0)


def test_a_port_that_is_taken_is_one_line() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = run("emulate", "--events", 30, "--port", port)

    assert done.exit_code == 1
    assert f"127.0.0.1:{port}: Address already in use" in only_line(done.stderr)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """The demo, with a key and a proxy in the environment that it must not touch."""
    out = tmp_path_factory.mktemp("demo") / "demo"
    env = {"OPENAI_ADMIN_KEY": "sk-of-the-person", "http_proxy": "http://127.0.0.1:9", "HTTP_PROXY": "nonsense"}
    return out, shell("demo", "--out", out, env=env)


def test_the_demo_shows_three_answers_and_says_what_to_type_next(
    demo: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    out, done = demo

    assert done.returncode == 0, done.stderr
    for name in ("events_per_actor", "login_failures", "api_keys"):
        assert f"[{name}, the " in done.stdout
        assert (out / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert f"--lake {out / 'lake'}" in done.stderr


def test_the_demo_lake_holds_every_event_and_has_no_fault(demo: tuple[Path, object]) -> None:
    made = Lake(demo[0] / "lake")

    assert made.arrow("SELECT count(*) AS n FROM events").to_pylist() == [{"n": 20_000}]
    assert made.verify() == ()


def test_the_demo_can_be_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("auditframe.cli.demo.EVENTS", 400)
    monkeypatch.setattr("auditframe.cli.demo.DAYS", 5)

    done = [run("demo", "--out", tmp_path / "demo", "--json", "--quiet") for _ in range(2)]

    for each in done:
        summary = json.loads(only_line(each.stdout))
        assert (each.exit_code, each.stderr) == (0, "")
        assert (summary["new"], summary["number"]) == (400, 1)


def test_the_demo_never_replaces_a_lake_that_it_did_not_make(tmp_path: Path, events_file: Path) -> None:
    run("import", events_file, "--lake", tmp_path / "lake")

    done = run("demo", "--out", tmp_path)

    assert done.exit_code == 1
    assert "was not made by the demo" in only_line(done.stderr)
    assert len(Lake(tmp_path / "lake").to_arrow()) == 300


# --- failures


@pytest.mark.parametrize(
    ("where", "said"),
    [
        (">&-", "stdout is closed. Send it into a file, or to /dev/null."),
        (">/dev/full", "stdout cannot be written: No space left on device."),
    ],
)
@pytest.mark.parametrize(
    "arguments", [("sql", "SELECT 1"), ("sql", "SELECT 1", "--format", "parquet"), ("status",), ("status", "--json")]
)
def test_data_that_cannot_be_written_is_a_failure_of_one_line(
    lake: Path, arguments: tuple[str, ...], where: str, said: str
) -> None:
    done = redirected(where, *arguments, "--lake", lake)

    assert (done.returncode, done.stdout) == (1, "")
    assert only_line(done.stderr) == f"auditframe: {said}"


@pytest.mark.parametrize("arguments", [("--help",), ("--version",), ("report", "login_failures", "--help")])
def test_help_that_cannot_be_written_is_a_failure_of_one_line(arguments: tuple[str, ...]) -> None:
    done = redirected(">/dev/full", *arguments)

    assert done.returncode == 1
    assert only_line(done.stderr).endswith("No space left on device.")


def test_what_else_the_system_refuses_is_not_taken_for_stdout() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = redirected("", "emulate", "--events", 30, "--port", taken.getsockname()[1], "--debug")

    assert "Traceback" in done.stderr
    assert "stdout" not in done.stderr


def test_a_closed_stdout_is_no_failure_of_what_writes_nothing_there(lake: Path, tmp_path: Path) -> None:
    done = redirected(">&-", "report", "events_per_day", "--lake", lake, "--out", tmp_path / "days.csv")

    assert (done.returncode, done.stderr) == (0, "")
    assert len(rows_of((tmp_path / "days.csv").read_text())) == 2


def test_a_reader_who_has_read_enough_is_told_nothing(lake: Path) -> None:
    done = redirected("| head -n 1", "report", "events_per_type", "--lake", lake)

    assert (done.stdout.count("\n"), done.stderr) == (1, "")


def test_a_bug_is_one_line_without_the_words_of_the_exception(monkeypatch: pytest.MonkeyPatch, lake: Path) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("holds sk-secret")

    monkeypatch.setattr("auditframe.lake.Lake.verify", fail)

    done = run("verify", "--lake", lake)

    assert done.exit_code == 1
    assert only_line(done.stderr).startswith("auditframe: This is a bug: ZeroDivisionError at ")
    assert "--debug" in done.stderr
    assert "secret" not in done.stderr


def test_debug_shows_where_a_failure_was_raised(tmp_path: Path) -> None:
    done = shell("sql", "SELECT 1", "--lake", tmp_path / "none", "--debug")

    assert "Traceback" in done.stderr
    assert "LakeNotFoundError" in done.stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_an_example(name: str) -> None:
    done = run(name, "--help")

    assert done.exit_code == 0
    assert f"  auditframe {name}" in done.output


def test_the_overview_lists_every_command() -> None:
    done = run("--help")

    assert all(f"  {name} " in done.stdout for name in COMMANDS)


def test_the_reports_are_the_registry() -> None:
    assert report_group.list_commands(report_group.make_context("report", [], resilient_parsing=True)) == list(REGISTRY)
