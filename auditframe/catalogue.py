"""The catalogue: event types as data, read from ``catalogue.csv``."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Literal, cast, get_args

if TYPE_CHECKING:
    from collections.abc import Mapping

Scope = Literal["organization", "tenant"]
Severity = Literal["info", "low", "medium", "high", "critical"]

EFFECTS = (
    "create",
    "change",
    "delete",
    "grant",
    "revoke",
    "login",
    "login_failed",
    "logout",
    "control_on",
    "control_off",
    "other",
)
SEVERITIES: tuple[Severity, ...] = get_args(Severity)
"""From the least to the most."""

SCOPES: tuple[Scope, ...] = get_args(Scope)


@dataclass(frozen=True, slots=True)
class EventType:
    """One row of the catalogue.

    Attributes:
        type: The API's name, ``role.assignment.created``.
        scope: The pass that returns it: ``organization`` or ``tenant``.
        effect: What it does, one of `EFFECTS`; reports group by it instead of by type names.
        documented: Whether OpenAI's published specification lists the type.
        severity: How much attention one such event deserves by itself, one of `SEVERITIES`.
        doc: One sentence.
    """

    type: str
    scope: Scope
    effect: str
    documented: bool
    severity: str
    doc: str

    @property
    def area(self) -> str:
        """What is acted on: the type without its last word."""
        return self.type.rpartition(".")[0]

    @property
    def verb(self) -> str:
        """What happened: the last word of the type."""
        return self.type.rpartition(".")[2]


@cache
def catalogue() -> Mapping[str, EventType]:
    """Return the known event types by name, in the order of the specification."""
    rows = csv.DictReader(catalogue_csv().decode().splitlines())
    return {row["type"]: _event_type(row) for row in rows}


def catalogue_csv() -> bytes:
    """Return the catalogue as it is written down: a column for each attribute of `EventType`, in their order."""
    return resources.files("auditframe").joinpath("catalogue.csv").read_bytes()


def lookup(type_: str) -> EventType:
    """Return what is known of an event type; never raises.

    Returns:
        The catalogue's row, or for an unlisted type one with ``effect="other"``,
        ``documented=False``, and the scope that its prefix names.
    """
    known = catalogue().get(type_)
    if known:
        return known
    scope: Scope = "tenant" if type_.startswith("tenant.") else "organization"
    return EventType(type_, scope, "other", documented=False, severity="info", doc="Not in the catalogue.")


def _event_type(row: dict[str, str]) -> EventType:
    return EventType(
        type=row["type"],
        scope=cast("Scope", row["scope"]),
        effect=row["effect"],
        documented=row["documented"] == "true",
        severity=row["severity"],
        doc=row["doc"],
    )
