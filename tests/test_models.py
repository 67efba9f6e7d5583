"""Reports answer as models in plain Python do that know nothing of their SQL, on worlds drawn at random."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from random import Random
from typing import Any

import pytest

from auditframe.reports import REGISTRY
from tests.models import accounts, keys, members, worlds_accounts
from tests.models.reading import Event, Row, read
from tests.models.worlds_accounts import aged, as_of
from tests.report_cases import flat
from tests.soak import IS_SOAK

SEEDS = range(200 if IS_SOAK else 6)
_SHOWN = 3

_Answer = Callable[..., list[Row]]
_Asked = Callable[[Random, list[Event]], dict[str, Any]]


@dataclass(frozen=True)
class Model:
    """A model of a report.

    Attributes:
        answer: What the report must answer about a log.
        world: Draws events in the endpoint's JSON.
        asked: Draws the parameters that it is asked with.
        uncompared: Columns that the model leaves out, with the reason.
    """

    answer: _Answer
    world: Callable[[Random], list[dict[str, Any]]]
    asked: _Asked
    uncompared: Mapping[str, str] = field(default_factory=dict)


def _report(answer: _Answer, theme: worlds_accounts.Theme, asked: _Asked = worlds_accounts.nothing) -> Model:
    return Model(answer, partial(worlds_accounts.world, theme=theme), asked)


def _check(answer: _Answer, theme: worlds_accounts.Theme, asked: _Asked = worlds_accounts.nothing) -> Model:
    return replace(_report(answer, theme, asked), uncompared={"why": "a sentence, whose facts other columns hold"})


_ACCOUNTS = {
    "api_keys": _report(keys.api_keys, worlds_accounts.KEYS),
    "stale_keys": _check(keys.stale_keys, worlds_accounts.KEYS, aged("max_age_days", 0, 0, 1, 5, 30)),
    "keys_never_used": _check(keys.keys_never_used, worlds_accounts.IDLE_KEYS, aged("min_age_days", 0, 0, 1, 5)),
    "broad_scope_keys": _check(keys.broad_scope_keys, worlds_accounts.KEYS, as_of),
    "admin_key_events": _check(keys.admin_key_events, worlds_accounts.ADMIN_KEYS),
    "key_bursts": _check(keys.key_bursts, worlds_accounts.BURSTS, worlds_accounts.within_minutes),
    "orphaned_keys": _check(accounts.orphaned_keys, worlds_accounts.PEOPLE, as_of),
    "members_as_of": _report(members.members_as_of, worlds_accounts.PEOPLE, as_of),
    "access_diff": _report(members.access_diff, worlds_accounts.PEOPLE, worlds_accounts.between),
    "groups_as_of": _report(members.groups_as_of, worlds_accounts.GROUPS, as_of),
    "service_accounts": _report(accounts.service_accounts, worlds_accounts.PEOPLE),
    "pending_invites": _check(accounts.pending_invites, worlds_accounts.INVITES, aged("min_age_days", 0, 0, 1, 10)),
    "offboarding_gaps": _check(accounts.offboarding_gaps, worlds_accounts.LEAVERS, as_of),
}

MODELS: dict[str, Model] = {**_ACCOUNTS}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", MODELS)
def test_a_report_answers_as_its_model_does(name: str, seed: int) -> None:
    events, parameters = _drawn(name, seed)
    expected = MODELS[name].answer(read(events), **parameters)
    answer = REGISTRY[name].arrow(flat(events).events, **parameters).drop_columns(list(MODELS[name].uncompared))
    difference = _difference(expected, answer.to_pylist())

    assert not difference, f"{name}, seed {seed}, asked with {parameters}:\n{difference}"


@pytest.mark.parametrize("name", MODELS)
def test_some_world_has_rows_to_compare(name: str) -> None:
    answers = []
    for seed in SEEDS:
        events, parameters = _drawn(name, seed)
        answers.append(MODELS[name].answer(read(events), **parameters))

    assert any(answers)


def _drawn(name: str, seed: int) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    dice = Random(f"{name} {seed}")  # noqa: S311 - reproducible, not secret
    events = MODELS[name].world(dice)
    return events, MODELS[name].asked(dice, read(events))


def _difference(expected: list[Row], found: list[Row]) -> str:
    """Say in a few lines how two answers differ; empty if they do not."""
    if expected == found:
        return ""
    missing = [f"  model  {_shown(row)}" for row in expected if row not in found][:_SHOWN]
    wrong = [f"  report {_shown(row)}" for row in found if row not in expected][:_SHOWN]
    return "\n".join((*missing, *wrong)) or "  the same rows in another order, or more than once"


def _shown(row: Row) -> str:
    values = {name: value.isoformat() if isinstance(value, datetime) else value for name, value in row.items()}
    return ", ".join(f"{name}={value}" for name, value in values.items())
