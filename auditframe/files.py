"""Pages and events from files on disk: JSON, JSON lines, gzip or zstd of either, by name or by glob."""

from __future__ import annotations

import contextlib
import glob
import gzip
import io
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
import pyarrow as pa

from auditframe.errors import FileError, PageError
from auditframe.pages import Page, parse_page

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

BLOCK_BYTES = 16 * 2**20
"""How much of a file of lines is parsed at once."""

_GZIP = b"\x1f\x8b"
_ZSTD = b"\x28\xb5\x2f\xfd"


class _Content(Protocol):
    """What is in a file; ``read`` returns nothing only at the end."""

    def read(self, size: int = ..., /) -> bytes: ...


class _FromItsStart(io.RawIOBase):
    """A file that cannot be rewound, such as a pipe, with the bytes that were already read from it."""

    def __init__(self, start: bytes, rest: io.BufferedReader) -> None:
        self._start, self._rest = start, rest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        if not self._start:
            return self._rest.readinto(buffer)
        read, self._start = self._start[: len(buffer)], self._start[len(buffer) :]
        buffer[: len(read)] = read
        return len(read)


def read_pages(sources: Iterable[str | Path]) -> Iterator[Page]:
    """Read pages and events from files.

    Args:
        sources: Files, or globs (``**`` goes into folders). A file holds one JSON page, an array of events or pages,
            or JSON lines of either, plain or compressed with gzip or zstd; its first bytes tell, not its name. Each is
            opened once, so that it may be a pipe.

    Yields:
        The events of each file in turn, files of a glob by name; a file of lines in blocks.

    Raises:
        FileError: A file is missing, empty, cut short, or not JSON from some byte on. What was yielded before
            must not be used as if it were everything.
    """
    for path in expand(sources):
        try:
            with _opened(path) as content:
                for offset, block in _blocks(content):
                    yield _parsed(block, path, offset)
        except (OSError, EOFError, zlib.error) as error:
            raise FileError(f"{path} cannot be read: {_reason(error)}.", path=path) from error


def expand(sources: Iterable[str | Path]) -> Iterator[Path]:
    """Yield the file that each name stands for, or the files that each glob matches, by name.

    Raises:
        FileError: A name or a glob stands for no file.
    """
    for source in sources:
        path = Path(source)
        if path.is_dir():
            raise FileError(f"{path} is a folder. Name its files, for example {path}/*.jsonl", path=path)
        if path.exists():
            yield path
            continue
        found = sorted(glob.glob(str(source), recursive=True))  # noqa: PTH207 - a Path has no glob from its own root
        if not found:
            raise FileError(f"No file is named {source}, and none matches it.", path=path)
        yield from (Path(name) for name in found if not Path(name).is_dir())


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[_Content]:
    """Open a file for reading what is in it, whatever it is compressed with."""
    with path.open("rb") as file:
        start = file.read(len(_ZSTD))
        whole = _rewound(file, start)
        if start.startswith(_GZIP):
            with gzip.GzipFile(fileobj=whole) as content:
                yield content
        elif start == _ZSTD:
            yield pa.CompressedInputStream(pa.PythonFile(whole, "r"), "zstd")
        else:
            yield whole


def _rewound(file: io.BufferedReader, start: bytes) -> io.BufferedReader:
    if not file.seekable():
        return io.BufferedReader(_FromItsStart(start, file))
    file.seek(0)
    return file


def _blocks(content: _Content) -> Iterator[tuple[int, bytes]]:
    """Yield a file of lines in blocks that end with a line, any other file in one, each with its offset."""
    block = content.read(BLOCK_BYTES)
    if not _is_lines(block):
        yield 0, block + content.read()
        return
    offset = 0
    while block:
        more = content.read(BLOCK_BYTES)
        cut = block.rfind(b"\n") + 1 if more else len(block)
        if cut:
            yield offset, block[:cut]
            offset += cut
        block = block[cut:] + more


def _is_lines(block: bytes) -> bool:
    line, newline, _ = block.lstrip(b"\xef\xbb\xbf \t\r\n").partition(b"\n")
    if not newline:
        return False
    try:
        msgspec.json.decode(line, type=msgspec.Raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False
    return True


def _parsed(block: bytes, path: Path, offset: int) -> Page:
    if offset == 0 and not block.strip():
        raise FileError(f"{path} is empty. An export without events is still a page; leave the file out.", path=path)
    try:
        return parse_page(block)
    except PageError as error:
        if error.offset_bytes is None:
            raise FileError(f"{path}: {error}", path=path) from None
        at = offset + error.offset_bytes
        raise FileError(
            f"{path} cannot be read from byte {at} on, counted in its decompressed content: it was cut short there, or "
            "it is no JSON. Nothing of it was used.",
            path=path,
            offset_bytes=at,
        ) from None


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error).rstrip(".") or type(error).__name__
