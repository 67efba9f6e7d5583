"""An answer on its way to the client, and how the connection ends."""

from __future__ import annotations

import gzip
import socket
import struct
import time
import uuid
from dataclasses import dataclass
from email.utils import formatdate
from http.client import responses
from selectors import EVENT_READ, DefaultSelector
from typing import TYPE_CHECKING, Literal, Never

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from wsgiref.types import StartResponse, WSGIEnvironment

LINE = "auditframe.line"
"""Where a server that can end connections itself leaves a `Line` in the environ."""

_PROMISED_TOO_MUCH = 64  # [B]


@dataclass(frozen=True, slots=True)
class Answer:
    """What is sent for one request.

    Attributes:
        status: The HTTP status; 0 when nothing is said.
        body: The body before compression.
        content_type: Its type.
        headers: Headers beside those that every answer has.
        ending: How the body, or the connection, ends.
        seconds: For how long nothing is said, for the ending ``hang`` [s].
    """

    status: int
    body: bytes
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()
    ending: Literal["whole", "drop", "reset", "overlong", "underlong", "hang"] = "whole"
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Line:
    """The connection under a request, for endings that no WSGI answer can bring about."""

    connection: socket.socket

    def wait(self, seconds: float) -> None:
        """Do nothing for so long [s], or until the client is gone."""
        with DefaultSelector() as selector:
            selector.register(self.connection, EVENT_READ)
            selector.select(seconds)

    def reset(self) -> None:
        """Close at once and in a way that the client sees as a reset."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        # The server's own close says goodbye first, and waits for files that still share the socket.
        socket.socket(fileno=self.connection.detach()).close()


def send(environ: WSGIEnvironment, start_response: StartResponse, answer: Answer, *, now_s: float) -> Iterable[bytes]:
    """Start the response and return its body.

    Args:
        environ: The request.
        start_response: What WSGI gives to begin with.
        answer: What to send.
        now_s: The time for the `Date` header [Unix seconds].

    Raises:
        ConnectionAbortedError: The answer is to say nothing; the server then closes the connection.
        httpx.ReadError: The same, where nothing but `httpx.WSGITransport` lies between the app and its client.
    """
    if answer.ending == "hang":
        _say_nothing(environ, answer.seconds)
    body, headers = answer.body, [("Content-Type", answer.content_type), *answer.headers]
    if _accepts_gzip(environ.get("HTTP_ACCEPT_ENCODING", "")):
        body = gzip.compress(body, compresslevel=1, mtime=0)
        headers.append(("Content-Encoding", "gzip"))
    headers += [
        ("Content-Length", str(_promised(len(body), answer))),
        ("Date", formatdate(now_s, usegmt=True)),
        ("Vary", "Accept-Encoding"),
        ("X-Request-Id", f"req_{uuid.uuid4().hex}"),
    ]
    start_response(_status_line(answer.status), headers)
    if answer.ending == "reset":
        return _until_reset(environ, body)
    return [body[: len(body) // 2] if answer.ending == "drop" else body]


def _say_nothing(environ: WSGIEnvironment, seconds: float) -> Never:
    if LINE not in environ:
        time.sleep(seconds)
        raise _lost()
    environ[LINE].wait(seconds)
    raise ConnectionAbortedError("The emulator was asked to say nothing.")


def _until_reset(environ: WSGIEnvironment, body: bytes) -> Iterator[bytes]:
    yield body[: len(body) // 2]
    if LINE not in environ:
        raise _lost()
    environ[LINE].reset()


def _lost() -> Exception:
    """Make the error that a client in the same process would meet at a connection."""
    from httpx import ReadError  # here, since a server needs no httpx

    return ReadError("The emulator was asked to lose the connection.")


def _promised(length: int, answer: Answer) -> int:
    match answer.ending:
        case "overlong":
            return length + _PROMISED_TOO_MUCH
        case "underlong":
            return length // 2
        case _:
            return length


def _accepts_gzip(accept_encoding: str) -> bool:
    codings = [coding.replace(" ", "").lower() for coding in accept_encoding.split(",")]
    return any(coding.partition(";")[0] == "gzip" and not coding.endswith((";q=0", ";q=0.0")) for coding in codings)


def _status_line(status: int) -> str:
    return f"{status} {responses.get(status) or 'Unknown'}"
