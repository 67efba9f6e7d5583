"""Files in every form give the same events, and a broken one says where."""

from __future__ import annotations

import gzip
import json
import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from auditframe import files
from auditframe.errors import FileError
from auditframe.files import expand, read_pages

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

EVENTS = [json.dumps({"id": f"e{n}", "type": "t", "effective_at": n}).encode() for n in range(7)]


def _page(events: list[bytes]) -> bytes:
    return b'{"object":"list","data":[' + b",".join(events) + b'],"has_more":false}'


def _zstd(data: bytes) -> bytes:
    return bytes(pa.compress(data, codec="zstd", asbytes=True))


FORMS = {
    "page": _page(EVENTS),
    "pretty page": json.dumps(json.loads(_page(EVENTS)), indent=2).encode(),
    "array": b"[" + b",".join(EVENTS) + b"]",
    "lines": b"\n".join(EVENTS) + b"\n",
    "lines without a last newline": b"\r\n".join(EVENTS),
    "page lines": _page(EVENTS[:3]) + b"\n" + _page(EVENTS[3:]) + b"\n",
    "one event": EVENTS[0],
}
PACKINGS: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "gzip": gzip.compress,
    "gzip in members": lambda data: gzip.compress(data[:40]) + gzip.compress(data[40:]),
    "zstd": _zstd,
    "zstd in frames": lambda data: _zstd(data[:40]) + _zstd(data[40:]),
}


def _events(*sources: object) -> list[bytes]:
    return [event for page in read_pages(map(str, sources)) for event in page.events]


def _events_from(pipe: Path, data: bytes, *, piece_bytes: int = 1 << 20) -> list[bytes]:
    """Return the events of a pipe into which data are written, so many bytes at once."""

    def write() -> None:
        with pipe.open("wb", buffering=0) as file:
            for offset in range(0, len(data), piece_bytes):
                file.write(data[offset : offset + piece_bytes])

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(write)
        events = _events(pipe)
        writing.result()
    return events


@pytest.mark.parametrize("pack", PACKINGS)
@pytest.mark.parametrize("form", FORMS)
def test_every_form_and_packing_gives_the_events(form: str, pack: str, tmp_path: Path) -> None:
    path = tmp_path / "export"
    path.write_bytes(PACKINGS[pack](FORMS[form]))

    ids = [json.loads(event)["id"] for event in _events(path)]
    assert ids == [f"e{n}" for n in range(1 if form == "one event" else 7)]


@pytest.mark.parametrize("pack", PACKINGS)
@pytest.mark.parametrize("form", ["page", "lines", "one event"])
def test_a_pipe_gives_every_event_though_it_can_be_read_only_once(form: str, pack: str, tmp_path: Path) -> None:
    path = tmp_path / "export"
    os.mkfifo(path)
    data = PACKINGS[pack](FORMS[form])

    assert _events_from(path, data) == (EVENTS[:1] if form == "one event" else EVENTS)


def test_a_pipe_is_read_to_its_end_however_slowly_it_comes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "BLOCK_BYTES", 64)
    path = tmp_path / "export"
    os.mkfifo(path)

    assert _events_from(path, FORMS["lines"], piece_bytes=1) == EVENTS


@pytest.mark.parametrize("block_bytes", [1, 30, 64, 1000])
def test_lines_are_read_in_blocks_without_losing_any(
    block_bytes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "BLOCK_BYTES", block_bytes)
    path = tmp_path / "export.jsonl"
    path.write_bytes(b"\n".join(EVENTS))

    assert _events(path) == EVENTS


def test_a_glob_is_read_by_name_and_into_folders(tmp_path: Path) -> None:
    for name, event in [("b/2.jsonl", EVENTS[1]), ("a/1.jsonl", EVENTS[0]), ("c/3.txt", EVENTS[2])]:
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(event)

    assert _events(tmp_path / "**" / "*.jsonl") == EVENTS[:2]


def test_a_file_whose_name_looks_like_a_glob_is_that_file(tmp_path: Path) -> None:
    (tmp_path / "export[1].json").write_bytes(EVENTS[0])

    assert _events(tmp_path / "export[1].json") == EVENTS[:1]


def test_names_that_stand_for_nothing_are_errors(tmp_path: Path) -> None:
    for source in (tmp_path / "absent.json", tmp_path / "*.jsonl", tmp_path):
        with pytest.raises(FileError):
            list(expand([source]))


@pytest.mark.parametrize("pack", ["gzip", "zstd"])
def test_a_compressed_file_that_was_cut_is_an_error(pack: str, tmp_path: Path) -> None:
    path = tmp_path / "export"
    path.write_bytes(PACKINGS[pack](FORMS["lines"])[:-4])

    with pytest.raises(FileError, match="export cannot be read"):
        _events(path)


@pytest.mark.parametrize(
    ("content", "offset"),
    [
        (FORMS["page"][:-20], len(FORMS["page"]) - 20),
        (FORMS["lines"] + b'{"id":"cut', len(FORMS["lines"]) + 6),
        (b"<html>no</html>", 0),
        (EVENTS[0] + b"\n" + b"oops\n" + EVENTS[1], len(EVENTS[0]) + 1),
    ],
    ids=["cut page", "cut line", "no JSON", "a bad line"],
)
def test_a_broken_file_is_named_with_its_byte(content: bytes, offset: int, tmp_path: Path) -> None:
    path = tmp_path / "export.json"
    path.write_bytes(content)

    with pytest.raises(FileError, match=r"export\.json") as caught:
        _events(path)
    assert (caught.value.path, caught.value.offset_bytes) == (path, offset)


def test_the_byte_counts_from_the_start_of_the_file_though_it_is_read_in_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "BLOCK_BYTES", 64)
    path = tmp_path / "export.jsonl"
    path.write_bytes(FORMS["lines"] + b"oops")

    with pytest.raises(FileError) as caught:
        _events(path)
    assert caught.value.offset_bytes == len(FORMS["lines"])


@pytest.mark.parametrize("content", [b"", b" \n"])
def test_an_empty_file_is_an_error_and_no_empty_answer(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "export.json"
    path.write_bytes(content)

    with pytest.raises(FileError, match="empty"):
        _events(path)
