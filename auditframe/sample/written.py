"""What a sample is, and its events written out as the endpoint returns them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from auditframe.sample.details import ORGANIZATION, Stage, payload
from auditframe.sample.tenant import TENANT

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from auditframe.sample.dice import Dice
    from auditframe.sample.incidents import Incident
    from auditframe.sample.people import Cast
    from auditframe.sample.plans import Plan

_TEMPLATES = {**ORGANIZATION, **TENANT}


@dataclass(frozen=True, slots=True)
class Sample:
    """A made-up organization's audit log.

    Attributes:
        events: The events, each as the endpoint returns it, sorted by ``(effective_at, id)``.
        incidents: The storylines planted among them, oldest first.
    """

    events: tuple[Mapping[str, Any], ...]
    incidents: tuple[Incident, ...]


@dataclass(frozen=True, slots=True)
class SignIns(Sample):
    """A made-up organization's sign-ins.

    Attributes:
        traps: What looks like an incident and is none, oldest first; an event may stand in several of them.
    """

    traps: tuple[Incident, ...]


def to_jsonl(sample: Sample) -> bytes:
    """Write a sample as compact JSON, UTF-8, one event a line, in the sample's order."""
    lines = (json.dumps(event, ensure_ascii=False, separators=(",", ":")) for event in sample.events)
    return "".join(f"{line}\n" for line in lines).encode()


def write(dice: Dice, cast: Cast, plans: Iterable[Plan]) -> list[dict[str, Any]]:
    """Write the events in time order, so that what is changed or deleted was made before."""
    pools = {
        "user-": [person.id for person in cast.founders],
        "proj_": [project.id for project in cast.lasting_projects],
        "svc_acct-": [account.id for account in cast.service_accounts if account.begins < cast.start],
    }
    stage = Stage(dice, pools)
    default = cast.lasting_projects[0].reference()
    return [_event(stage, plan, default) for plan in plans]


def in_order(events: Iterable[Mapping[str, Any]]) -> tuple[Mapping[str, Any], ...]:
    """Return events as a sample holds them: by time, in one second by id."""
    return tuple(sorted(events, key=lambda event: (event["effective_at"], event["id"])))


def _event(stage: Stage, plan: Plan, default_project: Mapping[str, Any]) -> dict[str, Any]:
    dice = stage.dice
    event: dict[str, Any] = {"id": plan.id}
    if dice.chance(4):
        event["object"] = "organization.audit_log"
    event |= {"type": plan.type, "effective_at": plan.at}
    if plan.project:
        event["project"] = plan.project.reference()
    elif dice.chance(16):
        # Admin actions are filed under the default project now and then, global ones too.
        event["project"] = default_project
    if plan.actor or dice.chance(2):
        event["actor"] = plan.actor
    if plan.type in _TEMPLATES:
        event[plan.type] = payload(_TEMPLATES[plan.type], stage, plan.known)
    elif dice.chance(8):
        event[plan.type] = {}
    return event
