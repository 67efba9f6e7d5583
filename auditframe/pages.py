"""One body, from the endpoint or from a file, cut into the JSON texts of its events.

Nothing is decoded further than needed to find where each event begins and ends, so an event stays
byte for byte as it arrived. A body is one JSON document or several, one after the other. A document is a
page (an object with ``data``), an array of events or pages, an event, or a JSON string that holds one of these.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
from msgspec import UNSET, Raw, UnsetType

from auditframe.errors import PageError

if TYPE_CHECKING:
    from collections.abc import Iterator

# msgspec refuses, besides broken JSON, lone surrogate escapes, numbers beyond a double and deep nesting.
REFUSALS = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)

_BOM = b"\xef\xbb\xbf"
_BLANK = re.compile(r"[ \t\n\r]*")


class _Document(msgspec.Struct):
    """The keys by which a document's kind shows."""

    data: Raw | UnsetType = UNSET
    first_id: Any = None
    last_id: Any = None
    has_more: Any = None
    id: Raw | UnsetType = UNSET
    type: Raw | UnsetType = UNSET
    effective_at: Raw | UnsetType = UNSET

    @property
    def is_page(self) -> bool:
        """An event may have a key named ``data`` too; a page has not all that an event needs."""
        return self.data is not UNSET and UNSET in (self.id, self.type, self.effective_at)

    @property
    def is_event(self) -> bool:
        return not (self.id is UNSET and self.type is UNSET and self.effective_at is UNSET)


class _PlainPage(msgspec.Struct):
    """A page as the endpoint sends it; where one of the last three keys stands too, it may be an event."""

    data: list[Raw]
    first_id: str | None = None
    last_id: str | None = None
    has_more: bool | None = None
    id: Raw | UnsetType = UNSET
    type: Raw | UnsetType = UNSET
    effective_at: Raw | UnsetType = UNSET


class _Head(msgspec.Struct):
    """The keys by which an event is known and placed in time."""

    id: Any = None
    effective_at: Any = None


def _exact_integer(digits: str) -> int | Decimal:
    """Read a whole number of any length; Python refuses to make an int of more than 4,300 digits."""
    try:
        return int(digits)
    except ValueError:
        return Decimal(digits)


_lenient = json.JSONDecoder(parse_int=_exact_integer)
_as_plain_page = msgspec.json.Decoder(_PlainPage)
_as_document = msgspec.json.Decoder(_Document)
_as_head = msgspec.json.Decoder(_Head)
_as_raw = msgspec.json.Decoder(Raw)
_as_raws = msgspec.json.Decoder(list[Raw])
_as_members = msgspec.json.Decoder(dict[str, Raw])
_BRACKETS = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]')


class Head(NamedTuple):
    """What tells an event from others, and when it was.

    Attributes:
        id: Its id; None when it has no usable one.
        effective_at: Its time [s]; None when it is no finite number.
    """

    id: str | None
    effective_at: float | None


@dataclass(frozen=True, slots=True)
class Page:
    """What one body holds.

    Attributes:
        events: The JSON text of each event, in the body's order, byte for byte as it arrived; of an
            event that came as a JSON string, the string's content in UTF-8.
        first_id: The envelope's; None when null or absent.
        last_id: The envelope's, of the last page in the body; None when null or absent.
        has_more: True when any page in the body says so; None when no page in it says anything.
    """

    events: tuple[bytes, ...] = field(repr=False)
    first_id: str | None = None
    last_id: str | None = None
    has_more: bool | None = None
    _heads: tuple[Head, ...] | None = field(default=None, init=False, repr=False, compare=False)

    @property
    def heads(self) -> tuple[Head, ...]:
        """The id and the time of each event, in the same order; decoded on first use."""
        if self._heads is None:
            object.__setattr__(self, "_heads", tuple(map(_head, self.events)))
        return self._heads or ()

    @property
    def ids(self) -> tuple[str | None, ...]:
        """The id of each event, in the same order; None where it has no usable one."""
        return tuple(head.id for head in self.heads)

    @property
    def times(self) -> tuple[float | None, ...]:
        """The `effective_at` of each event [s], in the same order; None where it is no finite number."""
        return tuple(head.effective_at for head in self.heads)


def parse_page(body: bytes) -> Page:
    """Find the events of a body.

    Args:
        body: One or more JSON documents in UTF-8.

    Returns:
        The page; its events are cut out, not decoded.

    Raises:
        PageError: The body is not JSON from some byte on (``retryable``, with ``offset_bytes``), it
            holds neither a page nor an event, or it is nested too deeply around its events.
    """
    body = body.removeprefix(_BOM)
    try:
        return _plain_page(body) or _plain_lines(body) or _any_page(body)
    except (ValueError, RecursionError):
        raise PageError("The body is nested so deeply that its events cannot be told apart.") from None


def _plain_page(body: bytes) -> Page | None:
    """Read what the endpoint usually sends; None when the body is something else, or broken."""
    try:
        page = _as_plain_page.decode(body)
    except REFUSALS:
        return None
    if UNSET not in (page.id, page.type, page.effective_at):
        return None
    events = tuple(_unquoted(event) if event[:1] == b'"' else event for event in map(bytes, page.data))
    return Page(events, page.first_id or None, page.last_id or None, page.has_more)


def _plain_lines(body: bytes) -> Page | None:
    """Read what an export usually holds, an event a line; None when the body is something else, or broken."""
    try:
        documents, lines = _as_document.decode_lines(body), _as_raw.decode_lines(body)
    except REFUSALS:
        return None
    is_plain = len(lines) > 1 and all(document.data is UNSET for document in documents)
    return Page(tuple(map(bytes, lines))) if is_plain else None


def _any_page(body: bytes) -> Page:
    documents = list(_documents(body))
    return _joined([_page(document, lone=len(documents) == 1) for document in documents])


def _joined(pages: list[Page]) -> Page:
    """Make one page of those that stand side by side, in a body or in an array."""
    said = [page.has_more for page in pages if page.has_more is not None]
    return Page(
        events=tuple(event for page in pages for event in page.events),
        first_id=next((page.first_id for page in pages if page.first_id), None),
        last_id=next((page.last_id for page in reversed(pages) if page.last_id), None),
        has_more=any(said) if said else None,
    )


def event_id(event: bytes) -> str | None:
    """Return the id in an event's JSON text; None when it has no usable one."""
    return _head(event).id


def split_members(event: bytes) -> dict[str, bytes] | None:
    """Cut an event's JSON text at its top-level keys.

    Returns:
        The JSON text of each value by key, byte for byte; of a doubled key the last. None when the
        text is no JSON object.
    """
    try:
        return {key: bytes(value) for key, value in _as_members.decode(event).items()}
    except REFUSALS:
        text = _text(event)
    try:
        return {key: _bytes(text[start:end]) for key, start, end in _members(text)}
    except ValueError:
        return None


def parse_value(value: bytes) -> Any:
    """Decode one JSON text, lone surrogates and all.

    Raises:
        ValueError: The text is not JSON, or nested too deeply to be decoded.
    """
    try:
        return msgspec.json.decode(value)
    except REFUSALS:
        pass
    try:
        return _lenient.decode(_text(value))
    except RecursionError:
        raise ValueError("nested too deeply to be decoded") from None


def _documents(body: bytes) -> Iterator[bytes]:
    """Cut a body into its documents, whether or not white space stands between them."""
    try:
        yield bytes(_as_raw.decode(body))
    except REFUSALS:
        pass
    else:
        return
    try:
        lines = _as_raw.decode_lines(body)
    except REFUSALS:
        lines = []
    yield from map(bytes, lines) if lines else _lenient_documents(body)


def _page(document: bytes, *, lone: bool) -> Page:
    match document.lstrip()[:1]:
        case b'"':
            return _page_in_string(document, lone=lone)
        case b"[":
            return _joined([_page(element, lone=False) for element in _elements(document)])
        case b"{":
            return _page_in_object(document, lone=lone)
        case _ if lone:
            raise PageError("The body is JSON, but neither a page nor an event of the audit log.")
        case _:
            return Page(events=(document,))


def _page_in_string(document: bytes, *, lone: bool) -> Page:
    content = _bytes(str(parse_value(document)))
    if content.lstrip()[:1] in (b"{", b"["):
        try:
            return _page(content, lone=lone)
        except ValueError:
            pass  # no JSON inside: kept as it is, for quarantine to name
    return Page(events=(content,))


def _page_in_object(document: bytes, *, lone: bool) -> Page:
    keys = _document_keys(document)
    if keys.is_page and not isinstance(keys.data, UnsetType):
        return Page(
            events=tuple(map(_unquoted, _elements(bytes(keys.data)))),
            first_id=keys.first_id if isinstance(keys.first_id, str) else None,
            last_id=keys.last_id if isinstance(keys.last_id, str) else None,
            has_more=_has_more(keys.has_more),
        )
    if lone and not keys.is_event:
        raise PageError("The body is a JSON object, but neither a page (no 'data') nor an event (no 'id', no 'type').")
    return Page(events=(document,))


def _document_keys(document: bytes) -> _Document:
    try:
        return _as_document.decode(document)
    except REFUSALS:
        members = split_members(document) or {}
    wanted = {key: Raw(value) for key, value in members.items() if key in _Document.__struct_fields__}
    said = {key: parse_value(bytes(wanted.pop(key))) for key in ("first_id", "last_id", "has_more") if key in wanted}
    return _Document(**wanted, **said)


def _has_more(said: object) -> bool | None:
    if said is None or isinstance(said, bool):
        return said
    raise PageError(f"The page's 'has_more' is a {type(said).__name__}; without true or false nobody knows its end.")


def _elements(array: bytes) -> list[bytes]:
    try:
        return list(map(bytes, _as_raws.decode(array)))
    except REFUSALS:
        text = _text(array)
    if not _after_blank(text, 0)[1] == "[":
        raise PageError("The page's 'data' is no array.")
    return [_bytes(text[start:end]) for start, end in _spans(text)]


def _unquoted(element: bytes) -> bytes:
    return _bytes(str(parse_value(element))) if element[:1] == b'"' else element


def _head(event: bytes) -> Head:
    try:
        found = _as_head.decode(event)
    except REFUSALS:
        found = _lenient_head(event)
    id_, at = found.id, found.effective_at
    # No test for finiteness: Python's take no whole number beyond a double, and NaN differs from itself.
    is_time = isinstance(at, int | float) and not isinstance(at, bool) and -math.inf < at < math.inf
    return Head(id_ if isinstance(id_, str) and id_ else None, at if is_time else None)


def _lenient_head(event: bytes) -> _Head:
    members = split_members(event) or {}
    found = _Head(**{key: _decoded(members[key]) for key in ("id", "effective_at") if key in members})
    if isinstance(found.id, str) and re.search("[\ud800-\udfff]", found.id):
        found.id = None
    return found


def _decoded(value: bytes) -> Any:
    try:
        return parse_value(value)
    except ValueError:
        return None  # nested too deeply: no id and no time


# Below, the slow way for what msgspec refuses: the standard library's scanner, which takes lone
# surrogates, used only to learn where a value ends. Invalid UTF-8 passes through as surrogate escapes.


def _text(data: bytes) -> str:
    return data.decode("utf-8", errors="surrogateescape")


def _bytes(text: str) -> bytes:
    try:
        return text.encode("utf-8", errors="surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", errors="surrogatepass")


def _lenient_documents(body: bytes) -> Iterator[bytes]:
    text = _text(body)
    position, char = _after_blank(text, 0)
    if not char:
        raise PageError("The body is empty.", retryable=True, offset_bytes=0)
    while char:
        try:
            end = _end(text, position)
        except json.JSONDecodeError as error:
            raise _not_json(text, error.pos) from None
        yield _bytes(text[position:end])
        position, char = _after_blank(text, end)


def _not_json(text: str, position: int) -> PageError:
    offset = len(_bytes(text[:position]))
    size = len(_bytes(text))
    what = "ends in the middle of a JSON document" if position >= len(text.rstrip()) else "is not JSON"
    return PageError(f"The body {what} at byte {offset} of {size}.", retryable=True, offset_bytes=offset)


def _members(text: str) -> Iterator[tuple[str, int, int]]:
    """Yield key, start and end of each member of the object that the text is."""
    for position, _ in _spans(text, keyed=True):
        key, key_end = _lenient.raw_decode(text, position)
        colon = _after_blank(text, key_end)[0]
        start = _after_blank(text, colon + 1)[0]
        yield key, start, _end(text, start)


def _spans(text: str, *, keyed: bool = False) -> Iterator[tuple[int, int]]:
    """Yield start and end of each element of an array, or of each ``key: value`` of an object."""
    opening, closing = "{}" if keyed else "[]"
    position, char = _after_blank(text, 0)
    if char != opening:
        raise ValueError(f"expected {opening}")
    position, char = _after_blank(text, position + 1)
    while char != closing:
        start = position
        end = _end(text, position)
        if keyed:
            colon = _after_blank(text, end)[0]
            end = _end(text, _after_blank(text, colon + 1)[0])
        yield start, end
        position, char = _after_blank(text, end)
        if char == ",":
            position, char = _after_blank(text, position + 1)


def _end(text: str, position: int) -> int:
    """Return where the JSON value ends that begins at a position.

    Raises:
        json.JSONDecodeError: There is no whole value.
    """
    try:
        return _lenient.raw_decode(text, position)[1]
    except RecursionError:
        return _end_by_brackets(text, position)


def _end_by_brackets(text: str, position: int) -> int:
    """Find the end of a value that is nested too deeply to be decoded, by counting brackets outside of strings."""
    depth = 0
    for token in _BRACKETS.finditer(text, position):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(token[0], 0)
        if depth == 0:
            return token.end()
    raise json.JSONDecodeError("a bracket is not closed", text, len(text))


def _after_blank(text: str, position: int) -> tuple[int, str]:
    """Return where the next token begins and its first character, "" at the end."""
    blank = _BLANK.match(text, position)
    start = blank.end() if blank else position
    return start, text[start : start + 1]
