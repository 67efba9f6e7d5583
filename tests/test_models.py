"""Reports answer as models in plain Python do that know nothing of their SQL, on worlds drawn at random."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from auditframe.flatten import flatten_texts
from auditframe.lake import Lake
from auditframe.lake.records import Collected, Span
from auditframe.reports import REGISTRY
from tests.models import (
    accounts,
    activity,
    arrivals,
    changes,
    controls,
    drift,
    grants,
    habits,
    keys,
    members,
    places,
    projects,
    signins,
    worlds_accounts,
    worlds_arrivals,
    worlds_changes,
    worlds_signins,
)
from tests.models.reading import Event, Row, read
from tests.models.worlds_accounts import aged, as_of, nothing
from tests.models.worlds_signins import among
from tests.report_cases import flat
from tests.soak import IS_SOAK

if TYPE_CHECKING:
    from pathlib import Path

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
        rounded: The column of times between instants, which floating point spoils from the tenth decimal on.
        file: The parameter that is drawn as the text of a file, whose path the report is asked with.
    """

    answer: _Answer
    world: Callable[[Random], list[dict[str, Any]]]
    asked: _Asked
    uncompared: Mapping[str, str] = field(default_factory=dict)
    rounded: str | None = None
    file: str | None = None

    def report_asked(self, parameters: dict[str, Any], folder: Path) -> dict[str, Any]:
        """Return what the report is asked with, its file written to a folder."""
        if self.file is None:
            return parameters
        path = folder / self.file
        path.write_text(parameters[self.file], encoding="utf-8", newline="")
        return parameters | {self.file: str(path)}


_WHY = {"why": "a sentence, whose facts other columns hold"}


def _report(answer: _Answer, theme: worlds_accounts.Theme, asked: _Asked = nothing) -> Model:
    return Model(answer, partial(worlds_accounts.world, theme=theme), asked)


def _check(answer: _Answer, theme: worlds_accounts.Theme, asked: _Asked = nothing) -> Model:
    return replace(_report(answer, theme, asked), uncompared=_WHY)


def _of_sessions(answer: _Answer, scene: worlds_signins.Scene, asked: _Asked = nothing) -> Model:
    return Model(answer, partial(worlds_signins.world, favourite=scene), asked)


def _check_of_sessions(answer: _Answer, scene: worlds_signins.Scene, asked: _Asked = nothing) -> Model:
    return replace(_of_sessions(answer, scene, asked), uncompared=_WHY)


def _of_changes(answer: _Answer, theme: worlds_changes.Theme, asked: _Asked = nothing) -> Model:
    return Model(answer, partial(worlds_changes.world, theme=theme), asked)


def _check_of_changes(answer: _Answer, theme: worlds_changes.Theme, asked: _Asked = nothing) -> Model:
    return replace(_of_changes(answer, theme, asked), uncompared=_WHY)


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

_ATTACK_MINUTES = (0, 1, 5, 10, 1440)
_SESSIONS = {
    "events_per_actor": _of_sessions(activity.events_per_actor, worlds_signins.noise),
    "events_per_day": _of_sessions(activity.events_per_day, worlds_signins.noise),
    "events_per_type": _of_sessions(activity.events_per_type, worlds_signins.noise),
    "events_per_project": _of_sessions(activity.events_per_project, worlds_signins.noise),
    "activity_heatmap": _of_sessions(activity.activity_heatmap, worlds_signins.noise, among(zone=worlds_signins.ZONES)),
    "login_failures": _of_sessions(signins.login_failures, worlds_signins.guesses, among(min_failures=(0, 1, 2, 5))),
    "login_failures_per_day": Model(
        signins.login_failures_per_day,
        partial(worlds_signins.only, scene=worlds_signins.usual_days),
        among(history_days=(0, 1, 2, 5)),
        uncompared={"limit": "a quantile of a distribution whose fit the tests of the statistics compare"},
    ),
    "logins_by_country": _of_sessions(signins.logins_by_country, worlds_signins.guesses),
    "success_after_failures": _check_of_sessions(
        signins.success_after_failures,
        worlds_signins.guesses,
        among(min_failures=(0, 1, 2, 3), within_minutes=(0, 1, 10, 30, 1440)),
    ),
    "password_spray": _check_of_sessions(
        signins.password_spray,
        worlds_signins.spray,
        among(min_accounts=(0, 1, 2, 3, 5), window_minutes=_ATTACK_MINUTES),
    ),
    "credential_stuffing": _check_of_sessions(
        signins.credential_stuffing,
        worlds_signins.stuffing,
        among(min_addresses=(0, 1, 2, 3, 5), window_minutes=_ATTACK_MINUTES),
    ),
    "impossible_travel": _check_of_sessions(
        places.impossible_travel,
        worlds_signins.travel,
        among(max_kmh=(0.0, 100.0, 5000.0), min_km=(0.0, 100.0, 577.0, 9000.0), egress_actors=(1, 2, 4)),
    ),
    "fingerprint_changes": Model(
        places.fingerprint_changes,
        partial(worlds_signins.only, scene=worlds_signins.prints),
        among(min_actors=(1, 2, 4)),
        uncompared=_WHY,
    ),
    "dormant_actors": _check_of_sessions(
        habits.dormant_actors, worlds_signins.silence, aged("quiet_days", 1, 2, 9, 10, 15, 45, 60)
    ),
    "first_seen": _check_of_sessions(habits.first_seen, worlds_signins.noise, among(learn_days=(0, 1, 2, 7))),
    "off_hours_activity": _check_of_sessions(
        habits.off_hours_activity,
        worlds_signins.habit,
        among(zone=worlds_signins.ZONES, min_days=(0, 1, 2, 3, 5, 20), max_share=(0.0, 0.07, 0.1, 0.2, 0.28, 0.5, 1.0)),
    ),
}

_CHANGES = {
    "control_changes": _of_changes(controls.control_changes, worlds_changes.SAFEGUARDS),
    "control_off_intervals": replace(
        _check_of_changes(controls.control_off_intervals, worlds_changes.SAFEGUARDS, as_of), rounded="off_hours"
    ),
    "allowlist_widening": _check_of_changes(controls.allowlist_widening, worlds_changes.ALLOWED),
    "project_lifecycle": replace(
        _of_changes(projects.project_lifecycle, worlds_changes.PROJECTS, as_of), rounded="age_days"
    ),
    "rate_limit_changes": _of_changes(projects.rate_limit_changes, worlds_changes.LIMITED),
    "resource_history": replace(
        _of_changes(changes.resource_history, worlds_changes.THINGS, worlds_changes.resource),
        uncompared={"detail": "the payload as it is kept, which the tests of flattening compare"},
    ),
    "change_log": _of_changes(changes.change_log, worlds_changes.THINGS, worlds_changes.resource),
    "actor_timeline": _of_changes(activity.actor_timeline, worlds_changes.THINGS, worlds_changes.actor),
    "unapproved_changes": replace(
        _check_of_changes(changes.unapproved_changes, worlds_changes.SAFEGUARDS, worlds_changes.approvals),
        file="approved",
    ),
    "privileged_grants": _check_of_changes(grants.privileged_grants, worlds_changes.ACCESS),
    "self_grants": _check_of_changes(grants.self_grants, worlds_changes.ACCESS),
    "privilege_flicker": _check_of_changes(
        grants.privilege_flicker, worlds_changes.ACCESS, worlds_changes.within_minutes
    ),
    "catalogue_drift": Model(drift.catalogue_drift, worlds_changes.strange_world, worlds_changes.area),
}

MODELS: dict[str, Model] = {**_ACCOUNTS, **_SESSIONS, **_CHANGES}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", MODELS)
def test_a_report_answers_as_its_model_does(name: str, seed: int, tmp_path: Path) -> None:
    model, (events, parameters) = MODELS[name], _drawn(name, seed)
    expected = model.answer(read(events), **parameters)
    answer = REGISTRY[name].arrow(flat(events).events, **model.report_asked(parameters, tmp_path))
    answer = answer.drop_columns(list(model.uncompared))
    difference = _difference(
        *([_rounded(row, model.rounded) for row in rows] for rows in (expected, answer.to_pylist()))
    )

    assert not difference, f"{name}, seed {seed}, asked with {parameters}:\n{difference}"


@pytest.mark.parametrize("name", MODELS)
def test_some_world_has_rows_to_compare(name: str) -> None:
    drawn = (_drawn(name, seed) for seed in SEEDS)

    assert any(MODELS[name].answer(read(events), **parameters) for events, parameters in drawn)


@pytest.mark.filterwarnings("ignore:Nobody has read")  # the gaps that are asked for
@pytest.mark.parametrize("seed", SEEDS)
def test_reports_on_how_events_came_answer_as_their_models_do(seed: int, tmp_path: Path) -> None:
    log, window, min_lag_hours = _drawn_arrivals(seed)
    lake = _lake_after(log.visits, tmp_path / "lake")
    asked = lake.window(*window)
    late = REGISTRY["late_arrivals"].arrow(lake, min_lag_hours=min_lag_hours)
    mutated = REGISTRY["mutations"].arrow(lake).drop_columns(["why"])
    compared = {
        "coverage": (arrivals.coverage(log), REGISTRY["coverage"].arrow(lake)),
        f"coverage of {window}": (arrivals.coverage(log, window=window), REGISTRY["coverage"].arrow(asked)),
        f"late_arrivals by {min_lag_hours} h": (arrivals.late_arrivals(log, min_lag_hours=min_lag_hours), late),
        "mutations": (arrivals.mutations(log), mutated),
    }
    differing = {name: _difference(model, answer.to_pylist()) for name, (model, answer) in compared.items()}

    assert not any(differing.values()), f"seed {seed}:\n" + "\n".join(
        f"{name}: {said}" for name, said in differing.items()
    )


def test_some_visits_have_rows_to_compare() -> None:
    drawn = [_drawn_arrivals(seed) for seed in SEEDS]
    kinds = {
        row["kind"]
        for log, window, _ in drawn
        for row in (*arrivals.coverage(log), *arrivals.coverage(log, window=window))
    }

    assert kinds == {"covered", "gap", "outside"}
    assert any(arrivals.late_arrivals(log) for log, *_ in drawn)
    assert {row["severity"] for log, *_ in drawn for row in arrivals.mutations(log)} == {"medium", "high"}


def _lake_after(visits: Sequence[arrivals.Visit], path: Path) -> Lake:
    lake = Lake(path)
    for visit in visits:
        with lake.writer() as writer:
            writer.add(flatten_texts((text.encode() for text in visit.texts), scope=visit.scope, seen_at=visit.seen_at))
            writer.commit("snapshot" if visit.is_snapshot else "import", _collected(visit))
    return lake


def _collected(visit: arrivals.Visit) -> list[Collected]:
    """Tell of each scope what was read whole; where nothing was, the pass was interrupted."""
    if not visit.is_snapshot:
        return []
    whole: dict[str, list[Span]] = {str(visit.scope): []}
    for scope, (start, end) in visit.whole:
        assert end is not None
        whole.setdefault(scope, []).append(Span(start=start, end=end))
    return [
        Collected(
            scope=scope,
            status="complete" if windows else "interrupted",
            windows=windows,
            pages=1,
            first_request_id=None,
            last_request_id=None,
        )
        for scope, windows in whole.items()
    ]


def _drawn_arrivals(seed: int) -> tuple[arrivals.Log, arrivals.Stretch, float]:
    dice = Random(f"arrivals {seed}")  # noqa: S311 - reproducible, not secret
    log = arrivals.kept(worlds_arrivals.visits(dice))
    return log, worlds_arrivals.window(dice), dice.choice((0.0, 0.25, 1.0, 24.0))


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


def _rounded(row: Row, column: str | None) -> Row:
    """Round a column to six decimals."""
    return {name: round(value, 6) if value is not None and name == column else value for name, value in row.items()}


def _shown(row: Row) -> str:
    values = {name: value.isoformat() if isinstance(value, datetime) else value for name, value in row.items()}
    return ", ".join(f"{name}={value}" for name, value in values.items())
