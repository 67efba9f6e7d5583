"""Doctor: each trouble is provoked and named, and nothing secret is told."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

import auditframe as af
from auditframe.cli import cli
from auditframe.doctor import PROBES, Finding, examine, probe
from auditframe.emulator import Behaviour, Emulator, Fault, serve
from tests.conftest import HASTY, KEY, connected

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from auditframe.client import Order
    from auditframe.sample import Sample


def verdicts(findings: tuple[Finding, ...]) -> dict[str, str]:
    return {finding.check: finding.verdict for finding in findings}


def troubles(findings: tuple[Finding, ...]) -> list[str]:
    return [finding.check for finding in findings if finding.verdict == "trouble"]


def examined(organization: Sample, *, key: str = KEY, **behaviour: Any) -> tuple[Finding, ...]:
    emulator = Emulator(organization.events, behaviour=Behaviour(**behaviour))
    return examine(lambda: connected(emulator, key=key))


def test_where_nothing_is_wrong_everything_is_ok(organization: Sample, tmp_path: Path) -> None:
    emulator = Emulator(organization.events)
    findings = examine(lambda: connected(emulator), tmp_path / "lake")

    assert set(verdicts(findings).values()) == {"ok"}
    assert list(verdicts(findings)) == ["network", "key", "scope", "logging", "clock", "lake"]
    assert len(emulator.requests) == 2
    assert not (tmp_path / "lake").exists()


def test_a_wrong_key_is_the_trouble_and_hides_the_rest(organization: Sample) -> None:
    findings = examined(organization, key="sk-wrong-key-of-somebody")

    assert troubles(findings) == ["key"]
    assert verdicts(findings)["logging"] == "unknown"
    assert not any("sk-wrong" in finding.seen + finding.advice for finding in findings)


def test_a_missing_key_is_the_trouble() -> None:
    findings = examine(lambda: af.Client("", base_url="http://127.0.0.1:9/v1"))

    assert troubles(findings) == ["key"]
    assert verdicts(findings)["network"] == "unknown"


def test_a_missing_permission_is_told_from_a_wrong_key(organization: Sample) -> None:
    findings = examined(organization, faults=(Fault(0, status=403),))

    assert troubles(findings) == ["scope"]
    assert verdicts(findings)["key"] == "ok"


def test_a_tenant_that_may_not_be_read_is_no_trouble(organization: Sample) -> None:
    findings = examined(organization, tenant="forbidden")

    assert troubles(findings) == []
    assert any("may not read the tenant's (403)" in finding.seen for finding in findings)


@pytest.mark.parametrize("base_url", ["http://127.0.0.1:9/v1", "http://nowhere.invalid/v1"])
def test_a_network_that_leads_nowhere_is_the_trouble(base_url: str) -> None:
    findings = examine(lambda: af.Client(KEY, base_url=base_url, retry=HASTY))

    assert troubles(findings) == ["network"]
    assert verdicts(findings)["key"] == "unknown"


def test_a_gateway_that_answers_instead_is_a_trouble_of_the_network(organization: Sample) -> None:
    faults = tuple(Fault(at, status=200, kind="html") for at in range(9))

    assert troubles(examined(organization, faults=faults)) == ["network"]


def test_an_empty_log_asks_whether_logging_is_activated() -> None:
    findings = examine(lambda: connected(Emulator([])))

    assert troubles(findings) == ["logging"]
    assert any("activate audit logging" in finding.advice for finding in findings)


@pytest.mark.parametrize(("offset_s", "way"), [(3600.0, "behind"), (-3600.0, "ahead of")])
def test_a_clock_that_is_off_is_the_trouble_with_its_number(organization: Sample, offset_s: float, way: str) -> None:
    (trouble,) = [each for each in examined(organization, clock_offset_s=offset_s) if each.verdict == "trouble"]

    assert trouble.check == "clock"
    assert way in trouble.seen
    assert any(f"{seconds:,} s" in trouble.seen for seconds in (3599, 3600, 3601))


def test_a_lake_that_is_broken_or_has_a_gap_is_the_trouble(organization: Sample, tmp_path: Path) -> None:
    lake, emulator = af.Lake(tmp_path / "lake"), Emulator(organization.events)
    for start, end in (("2026-10-12", "2026-10-14"), ("2026-10-20", "2026-10-21")):
        af.snapshot(lake, connected(emulator), start=start, end=end)
    gapped = examine(lambda: connected(emulator), lake.path)
    (lake.path / "ledger/00000002.json").write_bytes(b"{}")
    broken = examine(lambda: connected(emulator), lake.path)

    assert troubles(gapped) == troubles(broken) == ["lake"]
    assert "2026-10-14T00:00:00Z" in gapped[-1].seen
    assert "verify" in broken[-1].advice


@pytest.mark.parametrize("order", ["newest_first", "oldest_first"])
def test_a_probe_records_how_the_endpoint_behaves(organization: Sample, order: Order) -> None:
    emulator = Emulator(organization.events, behaviour=Behaviour(order=order))
    facts = probe(connected(emulator))

    assert facts["order"] == order
    assert (facts["rows_for_limit_10"], facts["rows_repeated_on_page_2"]) == (10, 0)
    assert (facts["unknown_cursor"], facts["before"]) == (400, "next to it")
    assert (facts["gte_includes_its_second"], facts["lt_excludes_its_second"]) == (True, True)
    assert facts["empty_window"] == {"events": 0, "has_more": False, "has_ids": False}
    assert facts["cursor_outside_the_filter"] == 200
    assert {"date", "x-request-id"} <= set(facts["headers"])
    assert facts["asked_at"] <= datetime.now(UTC)
    assert len(emulator.requests) <= PROBES


def test_a_probe_of_an_empty_log_says_what_it_can() -> None:
    facts = probe(connected(Emulator([])))

    assert (facts["order"], facts["rows_for_limit_10"], facts["unknown_cursor"]) == (None, 0, 400)


@pytest.mark.parametrize("second", [1_700_000_000_000, 1e300, -1e17, -62_135_596_800, 253_402_300_799])
def test_a_probe_of_times_that_are_no_seconds_says_what_else_it_can(second: float) -> None:
    events = [{"id": f"e{n}", "type": "login.failed", "effective_at": second} for n in range(6)]
    facts = probe(connected(Emulator(events)))

    assert (facts["rows_for_limit_10"], facts["before"]) == (6, "next to it")
    assert facts["gte_includes_its_second"] is None
    assert facts["lt_excludes_its_second"] is None
    assert facts["cursor_outside_the_filter"] is None


def test_a_probe_tells_nothing_of_the_events(organization: Sample) -> None:
    told = json.dumps(probe(connected(Emulator(organization.events))), default=str)

    assert not any(event["id"] in told for event in organization.events)
    assert KEY not in told
    assert "@" not in told


def test_a_lake_that_cannot_be_opened_is_a_finding_beside_the_others(organization: Sample, tmp_path: Path) -> None:
    (tmp_path / "auditframe.json").write_text("{")
    findings = examine(lambda: connected(Emulator(organization.events)), tmp_path)

    assert troubles(findings) == ["lake"]
    assert verdicts(findings)["clock"] == "ok"


@pytest.mark.parametrize(("key", "code"), [(KEY, 0), ("sk-wrong", 5), ("", 5)])
def test_the_command_exits_with_what_is_wrong(organization: Sample, tmp_path: Path, key: str, code: int) -> None:
    with serve(Emulator(organization.events)) as base_url:
        done = run("--lake", tmp_path / "lake", "--probe", env={"OPENAI_BASE_URL": base_url, "OPENAI_ADMIN_KEY": key})
        told = run("--json", env={"OPENAI_BASE_URL": base_url, "OPENAI_ADMIN_KEY": key})

    assert (done.exit_code, told.exit_code) == (code, code)
    assert ("newest_first" in done.stdout) == (code == 0)
    assert json.loads(told.stdout)["probe"] is None
    assert not key or key not in done.output + told.output


def test_another_trouble_than_the_key_exits_with_4() -> None:
    with serve(Emulator([])) as base_url:
        assert run(env={"OPENAI_BASE_URL": base_url, "OPENAI_ADMIN_KEY": KEY}).exit_code == 4


def run(*arguments: object, env: Mapping[str, str]) -> Any:
    return CliRunner(env={**env, "AUDITFRAME_LAKE": None}).invoke(cli, ["doctor", *map(str, arguments)])
