"""Values of JSON to values of a column, by the column's kind; a value of another type is a mismatch."""

from __future__ import annotations

import ipaddress
import json
import math
from typing import TYPE_CHECKING, Any

import msgspec

from auditframe.pages import REFUSALS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from auditframe.schema import Kind

MISMATCH = object()
"""What stands for a value of another type than its column's."""

_INT64 = range(-(2**63), 2**63)


def is_text(value: object) -> bool:
    """Whether a value is text that UTF-8 can hold; a lone surrogate escape is legal JSON, but no such text."""
    if not isinstance(value, str):
        return False
    return value.isascii() or not any("\ud800" <= char <= "\udfff" for char in value)


def _to_text(value: Any) -> Any:
    return value if is_text(value) else MISMATCH


def _to_name(value: Any) -> Any:
    return (value or None) if is_text(value) else MISMATCH


def _to_address(value: Any) -> Any:
    """Write an address as everybody does, or text that is none as it is: else one address would be several."""
    if not isinstance(value, str) or ":" not in value:
        return _to_name(value)
    try:
        address = ipaddress.ip_address(value.strip())
    except ValueError:
        return _to_name(value)
    return str(getattr(address, "ipv4_mapped", None) or address)


def _to_texts(value: Any) -> Any:
    whole = isinstance(value, list) and all(element is None or is_text(element) for element in value)
    return value if whole else MISMATCH


def _to_integer(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if type(value) is int and value in _INT64 else MISMATCH


def _to_number(value: Any) -> Any:
    """Take numbers, and text that is one: the endpoint sends latitudes as strings."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return MISMATCH
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return MISMATCH
    return number if math.isfinite(number) else MISMATCH


def _to_flag(value: Any) -> Any:
    return value if isinstance(value, bool) else MISMATCH


def _to_json(value: Any) -> Any:
    try:
        return msgspec.json.encode(value).decode()
    except (*REFUSALS, UnicodeEncodeError):
        return json.dumps(value, separators=(",", ":"))


CONVERT: dict[Kind, Callable[[Any], Any]] = {
    "text": _to_text,
    "name": _to_name,
    "address": _to_address,
    "texts": _to_texts,
    "integer": _to_integer,
    "number": _to_number,
    "flag": _to_flag,
    "json": _to_json,
}

_TEXT: frozenset[type] = frozenset({str, type(None)})
_PLAIN: dict[Kind, frozenset[type]] = {
    "text": _TEXT,
    "name": _TEXT,
    "address": _TEXT,
    "flag": frozenset({bool, type(None)}),
}
_UNEVEN: dict[Kind, Callable[[Sequence[Any]], bool]] = {
    "name": lambda values: "" in values,
    "address": lambda values: any(text is not None and (":" in text or not text) for text in values),
}


def are_plain(values: Sequence[Any], kind: Kind) -> bool:
    """Whether values are a column's as they stand, if every text is one that UTF-8 can hold."""
    is_plain = kind in _PLAIN and set(map(type, values)) <= _PLAIN[kind]
    return is_plain and not (kind in _UNEVEN and _UNEVEN[kind](values))
