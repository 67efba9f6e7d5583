"""Bodies are cut into events, byte for byte."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditframe import pages
from auditframe.errors import PageError
from auditframe.pages import Page, event_id, parse_page, parse_value, split_members

ONE, TWO = b'{"id" : "a",\n "n": 1.50}', b'{"id":"b"}'
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
events = st.dictionaries(st.text(max_size=8), values, max_size=4).map(lambda event: event | {"id": "x"})
separators = st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", "\t:\r ")])


@pytest.mark.parametrize(
    "body",
    [
        b'{"data":[' + ONE + b", " + TWO + b'],"has_more":false}',
        b"[" + ONE + b"," + TWO + b"]",
        TWO.replace(b"b", b"a") + b"\n" + TWO + b"\n",
        ONE + TWO,
        b'{"data":[' + ONE + b'],"has_more":true} {"data":[' + TWO + b'],"has_more":false}',
        b'{"data":[' + ONE + b']}\n{"data":[' + TWO + b"]}",
        b'[{"data":[' + ONE + b"]}," + TWO + b"]",
        b'{"data":[' + json.dumps(ONE.decode()).encode() + b"," + TWO + b"]}",
        b"\xef\xbb\xbf" + ONE + b"\r\n" + TWO,
    ],
    ids=[
        "page",
        "array",
        "lines",
        "glued",
        "pages",
        "page lines",
        "array of pages",
        "event in a string",
        "byte order mark",
    ],
)
def test_every_form_of_a_body_gives_its_events_in_order(body: bytes) -> None:
    assert parse_page(body).ids == ("a", "b")


def test_an_event_stays_byte_for_byte() -> None:
    body = b'{"data":[ ' + ONE + b' ,"' + TWO.replace(b'"', b'\\"') + b'"],"has_more":false}'

    assert parse_page(body).events == (ONE, TWO)


@given(st.lists(events, max_size=4), separators, st.booleans())
def test_cutting_loses_and_changes_no_byte(
    wanted: list[dict[str, object]], spaces: tuple[str, str], ascii_: bool
) -> None:
    texts = [json.dumps(event, separators=spaces, ensure_ascii=ascii_).encode() for event in wanted]
    glued = b'{"data":[' + b" , ".join(texts) + b'],"has_more":false}'

    assert parse_page(glued).events == tuple(texts)


@given(st.lists(events, min_size=1, max_size=4), st.sampled_from([b"", b"\n", b" \r\n\t"]))
def test_documents_are_told_apart_whatever_stands_between_them(wanted: list[dict[str, object]], between: bytes) -> None:
    texts = [json.dumps(event).encode() for event in wanted]

    assert parse_page(between.join(texts)).events == tuple(texts)


lines = st.one_of(
    events.map(lambda event: json.dumps(event).encode()),
    st.sampled_from([ONE, b" " + TWO + b"\t", b"", b"7", b'"x"', b"[]", b'{"data":[]}', b'{"data":1,"id":"a"}']),
    st.sampled_from(
        [b'{"id":"\\ud800"}', b'{"first_id":"\\ud800","id":"a"}', b'{"id":"a","n":1e400}', b'{"id":"\xff"}', b"{"]
    ),
)


@given(st.lists(lines, max_size=4))
def test_the_quick_way_through_lines_ends_where_the_careful_one_does(wanted: list[bytes]) -> None:
    body = b"\n".join(wanted)
    quick = pages._plain_lines(body)

    assert quick is None or quick == pages._any_page(body)


@pytest.mark.parametrize("odd", [b'{"id":"a","u":"\\ud800"}', b'{"id":"a","u":"\xff"}', b'{"id":"a","n":1e400}'])
def test_an_odd_event_does_not_take_its_neighbours_along(odd: bytes) -> None:
    page = parse_page(b'{"data":[' + ONE + b"," + odd + b"," + TWO + b'],"has_more":true,"last_id":"b"}')

    assert page.events == (ONE, odd, TWO)
    assert (page.last_id, page.has_more) == ("b", True)


@pytest.mark.parametrize(
    "odd", [b'{"id":"a","n":' + b"9" * 5000 + b"}", b'{"id":"a","n":' + b"[" * 5000 + b'"]"' + b"]" * 5000 + b"}"]
)
def test_a_huge_number_or_a_deep_nest_is_cut_out_like_any_event(odd: bytes) -> None:
    page = parse_page(b'{"data":[' + ONE + b"," + odd + b"," + TWO + b'],"has_more":false}')

    assert page.events == (ONE, odd, TWO)
    assert page.ids == ("a", "a", "b")


def test_an_event_with_a_key_named_data_is_an_event() -> None:
    text = b'{"id":"a","type":"t","effective_at":1,"data":[{"id":"b"}]}'

    assert parse_page(text).events == (text,)


@pytest.mark.parametrize("form", [b"%s%s", b"[%s,%s]", b"[%s]\n%s", b"[[[%s],%s]]"])
def test_of_several_pages_in_a_body_any_may_say_that_more_follows(form: bytes) -> None:
    two = b'{"data":[],"has_more":true,"first_id":"f"}', b'{"data":[],"has_more":false,"last_id":"l"}'
    page = parse_page(form % two)

    assert page == Page((), first_id="f", last_id="l", has_more=True)


def test_a_body_without_an_envelope_says_nothing_about_more() -> None:
    assert parse_page(TWO).has_more is None


@pytest.mark.parametrize(
    ("body", "offset"),
    [(b"", 0), (b"  ", 0), (b"<html>", 0), (b'{"data":[', 9), (ONE + b'\n{"id":', 31), ('{"ü":1}x'.encode(), 8)],
)
def test_a_broken_body_names_its_byte_and_may_be_fetched_again(body: bytes, offset: int) -> None:
    with pytest.raises(PageError) as caught:
        parse_page(body)

    assert caught.value.offset_bytes == offset
    assert caught.value.retryable


@pytest.mark.parametrize(
    "body",
    [b'{"error":{"message":"no"}}', b"[", b"5", b'{"data":{}}', b'{"data":null}', b'{"data":[],"has_more":"yes"}'],
)
def test_what_is_no_page_is_never_an_empty_page(body: bytes) -> None:
    with pytest.raises(PageError):
        parse_page(body)


DEEP, CROSSED = b"[" * 3000 + b"]" * 3000, b"[" * 3000 + b"}" * 3000


@pytest.mark.parametrize(
    "body",
    [
        DEEP,
        DEEP + b"\n" + ONE,
        json.dumps(DEEP.decode()).encode(),
        b'{"data":[],"has_more":' + DEEP + b"}",
        b'{"data":[],"first_id":' + DEEP + b"}",
        b'{"data":' + CROSSED + b',"has_more":false}',
    ],
    ids=["array", "line", "string", "has_more", "first_id", "crossed brackets"],
)
def test_a_body_that_is_nested_too_deeply_around_its_events_is_a_page_error(body: bytes) -> None:
    with pytest.raises(PageError, match="nested so deeply"):
        parse_page(body)


@pytest.mark.parametrize(
    ("event", "id_"),
    [(b'{"id":""}', None), (b'{"id":7}', None), (b"[]", None), (b'{"id":"\\ud800"}', None), (b'{"id":"A"}', "A")],
)
def test_an_id_is_text_or_nothing(event: bytes, id_: str | None) -> None:
    assert event_id(event) == id_


@pytest.mark.parametrize(
    ("value", "time"),
    [
        (b"7", 7),
        (b"7.5", 7.5),
        (b"-1", -1),
        (b"true", None),
        (b"null", None),
        (b'"7"', None),
        (b"NaN", None),
        (b"1e400", None),
        (b"-1e400", None),
        (b"9" * 5000, None),
        (b"9" * 400, 10**400 - 1),
        (b"[" * 5000 + b"]" * 5000, None),
    ],
    ids=lambda value: str(value)[:12],
)
def test_a_time_is_a_finite_number_or_nothing_and_leaves_the_id_alone(value: bytes, time: float | None) -> None:
    page = parse_page(b'[{"id":"a","effective_at":' + value + b'},{"id":"b"}]')

    assert page.times == (time, None)
    assert page.ids == ("a", "b")


def test_an_event_beside_a_lone_surrogate_has_its_time() -> None:
    page = parse_page(b'[{"id":"\\ud800","effective_at":5},{"id":"b","u":"\\ud800","effective_at":6.5}]')

    assert page.heads == ((None, 5), ("b", 6.5))


def test_each_event_is_decoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    page = parse_page(ONE + TWO)
    read = [page.ids, page.times]
    monkeypatch.setattr(pages, "_as_head", None)

    assert [page.ids, page.times] == read


def test_members_are_slices_and_a_doubled_key_is_the_last() -> None:
    assert split_members(b'{"a": 1 , "b":{"c" : "\\ud800"}, "a": 2.0}') == {"a": b"2.0", "b": b'{"c" : "\\ud800"}'}
    assert split_members(b"[1]") is None


@given(values)
def test_a_value_is_what_the_standard_library_reads(value: object) -> None:
    text = json.dumps(value)

    assert parse_value(text.encode()) == json.loads(text)


@given(st.binary(max_size=60))
def test_no_bytes_whatever_raise_anything_but_a_page_error(body: bytes) -> None:
    try:
        page = parse_page(body)
    except PageError:
        return
    assert isinstance(page.ids, tuple)
