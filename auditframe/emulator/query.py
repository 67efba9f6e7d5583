"""The endpoint's query parameters, read as strictly as the endpoint reads them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from auditframe.catalogue import lookup

if TYPE_CHECKING:
    from collections.abc import Mapping

_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")
_BOUNDS = ("gt", "gte", "lt", "lte")
_LISTS = ("project_ids[]", "event_types[]", "actor_ids[]", "actor_emails[]", "resource_ids[]")
_SINGLES = (*(f"effective_at[{bound}]" for bound in _BOUNDS), "tenant_only", "limit", "after", "before")
_SCOPES = {"true": "tenant", "false": "organization"}


class RefusedQueryError(Exception):
    """A query that the endpoint answers with 400."""

    def __init__(self, message: str, *, param: str) -> None:
        super().__init__(message)
        self.param = param


@dataclass(frozen=True, slots=True)
class Query:
    """One request's parameters.

    Attributes:
        start: The first second wanted [Unix seconds]; None for no bound.
        end: The first second not wanted any more [Unix seconds]; None for no bound.
        scope: ``organization`` or ``tenant``.
        limit: The most events a page may hold.
        after: The cursor that the page follows; None without one.
        before: The cursor that the page precedes; None without one.
        wanted: For each list parameter that was given, the values that match.
    """

    start: int | None
    end: int | None
    scope: str
    limit: int
    after: str | None
    before: str | None
    wanted: Mapping[str, frozenset[str]]


def read_parameters(query_string: str) -> dict[str, tuple[str, ...]]:
    """Decode a query string into the values given for each name, in their order."""
    values: dict[str, tuple[str, ...]] = {}
    for name, value in parse_qsl(query_string, keep_blank_values=True, errors="replace"):
        values[name] = (*values.get(name, ()), value)
    return values


def read_query(parameters: Mapping[str, tuple[str, ...]]) -> Query:
    """Check the parameters of a request.

    Raises:
        RefusedQueryError: A parameter is unknown, repeated, out of range, or contradicts another.
    """
    for name, values in parameters.items():
        _check_name(name, values)
    given = {name: values[0] for name, values in parameters.items() if name in _SINGLES}
    if "after" in given and "before" in given:
        raise RefusedQueryError("Only one of 'after' and 'before' may be given.", param="before")
    start, end = _window(given)
    query = Query(
        start=start,
        end=end,
        scope=_scope(given.get("tenant_only", "false")),
        limit=_limit(given.get("limit", "20")),
        after=given.get("after"),
        before=given.get("before"),
        wanted={name: frozenset(parameters[name]) for name in _LISTS if name in parameters},
    )
    _check_types(query)
    return query


def _check_name(name: str, values: tuple[str, ...]) -> None:
    if name not in _LISTS and name not in _SINGLES:
        raise RefusedQueryError(f"Unknown parameter: '{name[:64]}'.", param=name[:64])
    if name in _SINGLES and len(values) > 1:
        raise RefusedQueryError(f"'{name}' may be given once only.", param=name)


def _window(given: Mapping[str, str]) -> tuple[int | None, int | None]:
    bounds = {bound: _integer(f"effective_at[{bound}]", given) for bound in _BOUNDS}
    starts = [bounds["gte"], None if bounds["gt"] is None else bounds["gt"] + 1]
    ends = [bounds["lt"], None if bounds["lte"] is None else bounds["lte"] + 1]
    return (
        max((second for second in starts if second is not None), default=None),
        min((second for second in ends if second is not None), default=None),
    )


def _integer(name: str, given: Mapping[str, str]) -> int | None:
    if name not in given:
        return None
    if not _INTEGER.fullmatch(given[name]):
        raise RefusedQueryError(f"'{name}' must be an integer.", param=name)
    return int(given[name])


def _limit(text: str) -> int:
    limit = _integer("limit", {"limit": text})
    if limit is None or not 1 <= limit <= 100:
        raise RefusedQueryError("'limit' must be between 1 and 100.", param="limit")
    return limit


def _scope(text: str) -> str:
    if text not in _SCOPES:
        raise RefusedQueryError("'tenant_only' must be true or false.", param="tenant_only")
    return _SCOPES[text]


def _check_types(query: Query) -> None:
    types = query.wanted.get("event_types[]", frozenset())
    if query.scope == "tenant" and any(lookup(type_).scope != "tenant" for type_ in types):
        raise RefusedQueryError("With 'tenant_only' every event type must be tenant-scoped.", param="event_types[]")
