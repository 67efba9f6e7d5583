"""Suppressions: findings that somebody has answered for, with an owner, a reason and an expiry."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime, time
from typing import TYPE_CHECKING, Any

from auditframe.errors import FileError, ParameterError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

_KEY = "suppression"
_MATCHED = ("check", "finding", "actor", "resource_id")


@dataclass(frozen=True, slots=True, kw_only=True)
class Suppression:
    """One table of a suppression file; a finding that has every value it names is suppressed until it expires.

    Attributes:
        check: The name of a check.
        owner: Who answers for it.
        reason: Why nobody needs to act on it.
        expires: The first UTC day on which it holds no longer.
        finding: The id of one finding; None for any.
        actor: Whose findings; None for anybody's.
        resource_id: Findings about which resource; None for any.
    """

    check: str
    owner: str
    reason: str
    expires: date
    finding: str | None = None
    actor: str | None = None
    resource_id: str | None = None

    @property
    def ends_at(self) -> datetime:
        """The first instant at which it holds no longer."""
        return datetime.combine(self.expires, time(), tzinfo=UTC)

    def covers(self, finding: Mapping[str, Any]) -> bool:
        """Whether a finding has every value that this names."""
        named = ((name, getattr(self, name)) for name in _MATCHED)
        return all(finding[name] == value for name, value in named if value is not None)

    def __str__(self) -> str:
        what = ", ".join(str(getattr(self, name)) for name in _MATCHED if getattr(self, name) is not None)
        return f"the suppression of {what}, owned by {self.owner}"


def read_suppressions(path: Path, *, checks: Iterable[str]) -> tuple[Suppression, ...]:
    """Read a suppression file.

    Args:
        path: A TOML file with a ``[[suppression]]`` table for each.
        checks: The names of the checks that there are.

    Raises:
        FileError: The file cannot be read.
        ParameterError: It is no such file: a key is unknown or missing, has another type, or names no check.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise FileError(f"{path} cannot be read: {error.strerror}.", path=path) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise _wrong(path, f"it is no TOML ({error})") from error
    tables = document.pop(_KEY, [])
    if document or not isinstance(tables, list):
        raise _wrong(path, f"it holds something else than [[{_KEY}]] tables")
    known = frozenset(checks)
    return tuple(_read(path, number, table, known) for number, table in enumerate(tables, start=1))


def _read(path: Path, number: int, table: Any, checks: frozenset[str]) -> Suppression:
    where = f"{_KEY} {number}"
    if not isinstance(table, dict):
        raise _wrong(path, f"{where} is no table")
    names = {field.name for field in fields(Suppression)}
    if unknown := sorted(table.keys() - names):
        raise _wrong(path, f"{where} has the unknown key {unknown[0]!r}")
    for name in ("check", "owner", "reason", "expires"):
        if name not in table:
            raise _wrong(path, f"{where} has no {name}")
    for name, value in table.items():
        is_day = type(value) is date
        if not (is_day if name == "expires" else isinstance(value, str) and value.strip()):
            raise _wrong(path, f"{name} of {where} must be {'a date' if name == 'expires' else 'text'}")
    if table["check"] not in checks:
        raise _wrong(path, f"{where} names {table['check']!r}, which is no check")
    return Suppression(**table)


def _wrong(path: Path, what: str) -> ParameterError:
    return ParameterError(
        f"The suppressions in {path} cannot be used: {what}. Each [[{_KEY}]] has check, owner, reason and expires "
        "(a date), and may name one finding, actor or resource_id.",
        report=None,
    )
