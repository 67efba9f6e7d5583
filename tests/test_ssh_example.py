"""What docs/how-to/read-ssh-logins.md says of OpenSSH's lines is what its code does."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from auditframe.flatten import flatten_events
from docs._pages import ROOT, blocks_of

PAGE = (ROOT / "docs" / "how-to" / "read-ssh-logins.md").read_text("utf-8")
SHOWN, CODE = (
    next(block.text for block in blocks_of(PAGE) if block.language == language) for language in ("text", "python")
)
AT = "Oct  5 11:20:05 bastion sshd[4127]:"
WHO = "ada from 192.0.2.7 port 50122 ssh2"


def read(*lines: str, year: int = 2026, zone: str = "UTC") -> list[dict[str, Any]]:
    """Return a row of the interesting columns for each event that the page's code makes of lines."""
    names: dict[str, Any] = {}
    exec(CODE, names)  # noqa: S102 - the page's own code is what is tested
    events = list(names["ssh_events"](lines, year=year, zone=zone))
    table = flatten_events(events).events
    assert table.num_rows == len({event["id"] for event in events}) == len(events)
    columns = ["type", "effective_at", "actor_id", "ip_address", "project_id", "detail_error_code"]
    rows: list[dict[str, Any]] = table.select(columns).to_pylist()
    return rows


def types(*lines: str) -> list[str]:
    return [row["type"] for row in read(*lines)]


def times(*lines: str, year: int = 2026, zone: str = "UTC") -> list[datetime]:
    return [row["effective_at"] for row in read(*lines, year=year, zone=zone)]


def test_the_lines_that_the_page_shows_are_ten_sign_ins() -> None:
    rows = read(*SHOWN.splitlines())

    assert [(row["type"].split(".")[1], row["actor_id"], row["ip_address"]) for row in rows] == [
        ("failed", "ada", "192.0.2.7"),
        ("succeeded", "ada", "192.0.2.7"),
        ("succeeded", "bela", "2001:db8:48::12"),
        *[("failed", None, "198.51.100.23")] * 4,
        ("failed", "chloe", "203.0.113.9"),
        ("failed", "ada", "203.0.113.9"),
        ("failed", "ada", "203.0.113.9"),
    ]


def test_a_failed_password_is_a_failed_login_of_the_account() -> None:
    assert read(f"{AT} Failed password for {WHO}") == [
        {
            "type": "login.failed",
            "effective_at": datetime(2026, 10, 5, 11, 20, 5, tzinfo=UTC),
            "actor_id": "ada",
            "ip_address": "192.0.2.7",
            "project_id": "bastion",
            "detail_error_code": "invalid_credentials",
        }
    ]


def test_an_invalid_user_is_no_account() -> None:
    [row] = read(f"{AT} Failed password for invalid user {WHO}")

    assert (row["actor_id"], row["detail_error_code"]) == (None, "unknown_user")


@pytest.mark.parametrize("method", ["password", "keyboard-interactive/pam", "publickey", "gssapi-with-mic"])
def test_whatever_is_accepted_is_a_login(method: str) -> None:
    assert types(f"{AT} Accepted {method} for {WHO}") == ["login.succeeded"]


def test_the_key_that_was_accepted_may_be_named() -> None:
    assert types(f"{AT} Accepted publickey for {WHO}: RSA SHA256:made+up/key") == ["login.succeeded"]


@pytest.mark.parametrize(
    "message",
    [
        f"Failed publickey for {WHO}",
        f"Failed none for invalid user {WHO}",
        "Invalid user oracle from 198.51.100.23 port 33412",
        "Received disconnect from 192.0.2.7 port 50122:11: disconnected by user",
        "pam_unix(sshd:session): session opened for user ada(uid=1000) by (uid=0)",
        "Server listening on 0.0.0.0 port 22.",
    ],
)
def test_what_is_no_attempt_is_no_event(message: str) -> None:
    assert read(f"{AT} {message}") == []


def test_lines_of_other_programs_are_no_events() -> None:
    assert read("Oct  5 11:20:05 bastion CRON[4]: Failed password for ada from 192.0.2.7 port 1 ssh2", "", "---") == []


def test_a_repeated_message_is_as_many_events_as_it_says() -> None:
    assert (
        len(read(f"{AT} Failed password for {WHO}", f"{AT} message repeated 3 times: [ Failed password for {WHO}]"))
        == 4
    )


def test_equal_lines_are_events_of_their_own() -> None:
    assert len(read(f"{AT} Failed password for {WHO}", f"{AT} Failed password for {WHO}")) == 2


def test_a_connection_that_is_closed_after_it_failed_is_one_attempt() -> None:
    closed = f"{AT} Connection closed by authenticating user ada 192.0.2.7 port 50122 [preauth]"

    assert types(f"{AT} Failed password for {WHO}", closed) == ["login.failed"]


@pytest.mark.parametrize("end", ["Connection closed by", "Connection reset by", "Disconnected from"])
def test_a_connection_that_ends_without_a_word_is_an_attempt(end: str) -> None:
    ended = f"{AT} {end} authenticating user ada 192.0.2.7 port 50122 [preauth]"
    other = f"Oct  5 11:20:04 bastion sshd[9]: Failed password for {WHO}"

    assert types(other, ended) == ["login.failed", "login.failed"]


def test_the_number_of_a_process_may_come_again() -> None:
    closed = f"{AT} Connection closed by authenticating user ada 192.0.2.7 port 50122 [preauth]"

    assert types(f"{AT} Failed password for {WHO}", closed, closed) == ["login.failed", "login.failed"]


def test_a_name_cannot_pass_for_an_address() -> None:
    [row] = read(f"{AT} Failed password for invalid user x from 203.0.113.1 port 1 ssh2 from 198.51.100.9 port 2 ssh2")

    assert row["ip_address"] == "198.51.100.9"


def test_an_unknown_address_is_none() -> None:
    [row] = read(f"{AT} Failed password for ada from UNKNOWN port 65535 ssh2")

    assert row["ip_address"] is None


def test_times_without_a_zone_are_the_servers() -> None:
    assert times(f"{AT} Failed password for {WHO}", zone="Europe/Berlin") == [
        datetime(2026, 10, 5, 9, 20, 5, tzinfo=UTC)
    ]


def test_after_december_comes_the_next_year() -> None:
    lines = (f"{day} 23:59:59 bastion sshd[1]: Failed password for {WHO}" for day in ("Dec 31", "Jan  1", "Feb 28"))

    assert [at.year for at in times(*lines, year=2025)] == [2025, 2026, 2026]


def test_the_leap_day_is_a_day() -> None:
    assert times(f"Feb 29 00:00:00 bastion sshd[1]: Failed password for {WHO}", year=2024) == [
        datetime(2024, 2, 29, tzinfo=UTC)
    ]


@pytest.mark.parametrize(
    "head",
    [
        "2026-10-05T13:20:05.118364+02:00 bastion sshd[4127]:",
        "2026-10-05T11:20:05+0000 bastion sshd-session[4127]:",
        "<38>1 2026-10-05T11:20:05.003Z bastion sshd 4127 - -",
        '<38>1 2026-10-05T11:20:05.003Z bastion sshd 4127 - [timeQuality tzKnown="1" isSynced="1"]',
    ],
)
def test_times_with_a_zone_are_read_as_they_are(head: str) -> None:
    assert times(f"{head} Failed password for {WHO}", year=1999)[0].replace(microsecond=0) == datetime(
        2026, 10, 5, 11, 20, 5, tzinfo=UTC
    )
