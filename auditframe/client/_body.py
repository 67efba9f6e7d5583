"""The body of a response, bounded on the wire and after decompression."""

from __future__ import annotations

import time
import zlib
from typing import TYPE_CHECKING

from auditframe.errors import NetworkError, PageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MIB = 1024 * 1024
WIRE_LIMIT_BYTES = 32 * MIB
BODY_LIMIT_BYTES = 128 * MIB

_GZIP = 16 + zlib.MAX_WBITS


def read_body(chunks: Iterable[bytes], *, encoding: str, deadline_s: float) -> bytes:
    """Put a body together.

    Args:
        chunks: The body as it comes over the wire.
        encoding: The `Content-Encoding`, safe to show; "" for none.
        deadline_s: When to stop waiting for the rest, on the monotonic clock [s].

    Returns:
        The body, decompressed.

    Raises:
        PageError: The body is larger than the bounds, or not what its encoding says.
        NetworkError: The body was still trickling in at the deadline.
    """
    bounded = _bounded(chunks, deadline_s)
    match encoding.strip().lower():
        case "" | "identity":
            return b"".join(bounded)
        case "gzip" | "x-gzip":
            return _gunzip(bounded)
        case other:
            raise PageError(
                f"The body arrived with the Content-Encoding {other[:40]!r}, and only gzip was asked for. "
                "Look for a proxy that changes it.",
            )


def _bounded(chunks: Iterable[bytes], deadline_s: float) -> Iterator[bytes]:
    size = 0
    for chunk in chunks:
        size += len(chunk)
        if size > WIRE_LIMIT_BYTES:
            raise _too_large("on the wire", WIRE_LIMIT_BYTES)
        if time.monotonic() > deadline_s:
            raise NetworkError(f"The body was still incomplete after {size} bytes when its time was up. Run it again.")
        yield chunk


def _gunzip(chunks: Iterable[bytes]) -> bytes:
    """Decompress one or more gzip members; a bomb is stopped at the bound, not after it."""
    body = bytearray()
    member = zlib.decompressobj(_GZIP)
    for chunk in chunks:
        rest = chunk
        while rest:
            if member.eof:
                member = zlib.decompressobj(_GZIP)
            body += _inflate(member, rest, BODY_LIMIT_BYTES + 1 - len(body))
            if len(body) > BODY_LIMIT_BYTES:
                raise _too_large("after decompression", BODY_LIMIT_BYTES)
            rest = member.unused_data
    if not member.eof:
        raise PageError("The gzip body ends before its end mark: it was cut short.", retryable=True)
    return bytes(body)


def _inflate(member: zlib._Decompress, data: bytes, room_bytes: int) -> bytes:
    try:
        return member.decompress(data, room_bytes)
    except zlib.error as error:
        raise PageError(f"The body is not the gzip it says it is ({error}).", retryable=True) from None


def _too_large(where: str, limit_bytes: int) -> PageError:
    return PageError(f"The body is larger than {limit_bytes // MIB} MiB {where}. Ask for fewer events a page (limit).")
