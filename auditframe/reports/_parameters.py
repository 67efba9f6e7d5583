"""The parameters of reports: what a report's function declares, and how a given value is read."""

from __future__ import annotations

import functools
import inspect
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_origin
from zoneinfo import ZoneInfo

from auditframe.errors import ParameterError, WindowError, did_you_mean
from auditframe.window import Instant, parse_instant

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

_ARGUMENT = re.compile(r"^    (\w+): (.*(?:\n {8}.*)*)", re.MULTILINE)
_TYPE_NAMES: Mapping[type, str] = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "True or False",
    type(None): "None",
}

_LONGEST_DAYS = 10_000
_BOUNDS: Mapping[str, tuple[int, int]] = {
    "share": (0, 1),
    "fdr": (0, 1),
    "days": (0, _LONGEST_DAYS),
    "hours": (0, _LONGEST_DAYS * 24),
    "minutes": (0, _LONGEST_DAYS * 24 * 60),
}
"""The least and the greatest number of a parameter, by the last word of its name, which is its unit."""

_OTHER_BOUNDS = (0, 1_000_000_000)
"""Those of any other number: a count, a distance, a speed."""


def _read_zone(zone: str) -> str:
    """Check the name of a time zone.

    Raises:
        ValueError: There is no zone of this name.
    """
    try:
        return ZoneInfo(zone).key
    except (ValueError, OSError, KeyError):
        raise ValueError(
            f"{zone[:40]!r} is no time zone of the IANA database. Write one like Europe/Paris or UTC."
        ) from None


def _read_instant(value: Instant | None) -> datetime | None:
    """Read a moment.

    Raises:
        ValueError: It is none.
    """
    try:
        return None if value is None else parse_instant(value)
    except WindowError as error:
        raise ValueError(str(error)) from None


Zone = Annotated[str, "an IANA time zone", _read_zone]
"""A parameter that is the name of a time zone."""

Moment = Annotated[Instant | None, "a time or None", _read_instant]
"""A parameter that is a moment, in one of the ways in which a window's end is written, or None."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a report, as the signature and the docstring of its function state it.

    Attributes:
        name: The parameter's name.
        types: The Python types of a value; ``NoneType`` among them when it may be None.
        default: The value when none is given.
        doc: What it does.
        expected: What a value is, in words.
        read: What makes the bound value of a given one; raises ValueError for one that is none.
    """

    name: str
    types: tuple[type, ...]
    default: Any
    doc: str
    expected: str
    read: Callable[[Any], Any]

    def accepts(self, value: object) -> bool:
        """Whether a value has one of the types; True is no number, and a whole number is a number."""
        if isinstance(value, bool):
            return bool in self.types
        return isinstance(value, self.types) or (float in self.types and isinstance(value, int))


def bounds_of(name: str) -> tuple[int, int]:
    """Return the least and the greatest number that a parameter of this name can be."""
    return _BOUNDS.get(name.rpartition("_")[2], _OTHER_BOUNDS)


def declared_parameters(body: Callable[..., str], text: str) -> tuple[Parameter, ...]:
    """Return the parameters that a report's function declares, in the order of its signature.

    Args:
        body: The function.
        text: Its docstring, whose ``Args:`` document them.
    """
    docs = {name: " ".join(lines.split()) for name, lines in _ARGUMENT.findall(text)}
    declared = inspect.signature(body, eval_str=True).parameters.values()
    return tuple(_parameter(each.name, each.annotation, each.default, docs.get(each.name, "")) for each in declared)


def read_values(report: str, parameters: tuple[Parameter, ...], given: Mapping[str, object]) -> dict[str, Any]:
    """Check what was given, and fill the rest with the defaults.

    Args:
        report: The report's name, for messages.
        parameters: What it takes.
        given: Values by name.

    Raises:
        ParameterError: A parameter is unknown, or its value is none.
    """
    known = {parameter.name: parameter for parameter in parameters}
    for name, value in given.items():
        if name not in known:
            raise ParameterError(_unknown(report, name, tuple(known)), report=report)
        if not known[name].accepts(value):
            expected = known[name].expected
            raise ParameterError(f"{name} of {report} must be {expected}, not {type(value).__name__}.", report=report)
    values = {parameter.name: parameter.default for parameter in parameters} | dict(given)
    return {name: _read(report, known[name], value) for name, value in values.items()}


def _parameter(name: str, annotation: Any, default: Any, doc: str) -> Parameter:
    if get_origin(annotation) is Annotated:
        inner, expected, read = get_args(annotation)
        return Parameter(name, get_args(inner) or (inner,), default, doc, expected, read)
    types = get_args(annotation) or (annotation,)
    read = functools.partial(_read_plain, bounds=bounds_of(name))
    return Parameter(name, types, default, doc, " or ".join(_TYPE_NAMES[type_] for type_ in types), read)


def _read_plain(value: Any, *, bounds: tuple[int, int]) -> Any:
    """Take a value as it is, if it is no number that a question could not mean.

    Raises:
        ValueError: It is one.
    """
    least, most = bounds
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if is_number and not least <= value <= most:  # nan is not, either
        raise ValueError(f"it must be from {least} to {most:,}, not {value:,}.")
    return value


def _read(report: str, parameter: Parameter, value: Any) -> Any:
    try:
        return parameter.read(value)
    except ValueError as error:
        raise ParameterError(f"{parameter.name} of {report}: {error}", report=report) from None


def _unknown(report: str, name: str, known: tuple[str, ...]) -> str:
    takes = f"It takes {', '.join(known)}." if known else "It takes none."
    return f"{report} has no parameter {name!r}.{did_you_mean(name, known)} {takes}"
