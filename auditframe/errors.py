"""Every error that auditframe raises on purpose, under one root.

::

    AuditFrameError                 .retryable, .retry_after_s
    ├── WindowError                 a time or a window that cannot be understood
    ├── ApiError                    .status_code, .request_id
    │   ├── AuthError               the key was refused, or may not read this scope
    │   ├── RequestError            the request was refused, here or by the endpoint
    │   ├── RateLimitError          429, and it did not heal within the allowed attempts
    │   ├── ServerError             5xx
    │   ├── NetworkError            no answer: name, connection, timeout
    │   └── PageError               an answer that is no page, or paging without progress
    ├── SnapshotInterrupted         .collected, .remaining, .number
    ├── EventError                  .event_id, .field
    ├── FileError                   .path, .offset_bytes
    ├── LakeError                   .path
    │   ├── LakeNotFoundError
    │   ├── LakeVersionError
    │   ├── LakeLockedError
    │   └── LakeCorruptError
    └── ReportError                 .report
        ├── UnknownReportError
        ├── ParameterError
        └── NotPortableError

A message says what happened, where, and what to do. It never holds a key or a whole event.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


class AuditFrameError(Exception):
    """The root of every error raised on purpose.

    Attributes:
        retryable: Whether the same call may succeed later without a change.
        retry_after_s: Seconds to wait before that [s]; None when nobody said.
    """

    retryable: bool = False
    retry_after_s: float | None = None


class AuditFrameWarning(UserWarning):
    """What a caller should know about an answer that is right as far as it goes."""


class WindowError(AuditFrameError, ValueError):
    """A time or a window that cannot be understood, or that has no zone."""


class ApiError(AuditFrameError):
    """The endpoint, or the way to it, failed.

    Attributes:
        status_code: The HTTP status; None when there was no response.
        request_id: The endpoint's `x-request-id`, for a support case; None when it sent none.
    """

    def __init__(
        self,
        message: str,
        *,
        status_code: int | None = None,
        request_id: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status_code = status_code
        self.request_id = request_id
        self.retry_after_s = retry_after_s


class AuthError(ApiError):
    """The key was refused, or it may not read this scope."""


class RequestError(ApiError):
    """The request was refused: by the endpoint, or here before it was sent."""


class RateLimitError(ApiError):
    """The endpoint answered 429 and did not heal within the allowed attempts."""

    retryable = True


class ServerError(ApiError):
    """The endpoint answered 5xx."""

    retryable = True


class NetworkError(ApiError):
    """No answer: the name, the connection or a timeout failed.

    Attributes:
        is_absent: Whether no connection was ever made there, so that the address is likely wrong.
    """

    retryable = True

    def __init__(self, message: str, *, is_absent: bool = False) -> None:
        super().__init__(message)
        self.is_absent = is_absent


class PageError(ApiError):
    """An answer that is no page, or paging that makes no progress.

    Attributes:
        retryable: True for a body that arrived broken, False for paging without progress.
        offset_bytes: Where a broken body stops being JSON, in bytes from its start [B]; else None.
    """

    def __init__(
        self,
        message: str,
        *,
        status_code: int | None = None,
        request_id: str | None = None,
        retryable: bool = False,
        offset_bytes: int | None = None,
    ) -> None:
        super().__init__(message, status_code=status_code, request_id=request_id)
        self.retryable = retryable
        self.offset_bytes = offset_bytes


class SnapshotInterrupted(AuditFrameError):  # noqa: N818 - the design's name: an interruption is no failure
    """A snapshot ended before its last window; what arrived is in the lake, run it again.

    Attributes:
        collected: Events that this run added to the lake.
        remaining: Windows that were not read whole.
        number: The ledger entry that says what it did; None when it changed nothing.
    """

    retryable = True

    def __init__(self, message: str, *, collected: int, remaining: int, number: int | None = None) -> None:
        super().__init__(message)
        self.collected = collected
        self.remaining = remaining
        self.number = number


class EventError(AuditFrameError):
    """An event that cannot be placed.

    Attributes:
        event_id: The event's id; None when it has none.
        field: The field that is missing or unusable.
    """

    def __init__(self, message: str, *, event_id: str | None, field: str) -> None:
        super().__init__(message)
        self.event_id = event_id
        self.field = field


class FileError(AuditFrameError):
    """A file that cannot be read as audit log pages or events.

    Attributes:
        path: The file.
        offset_bytes: Where reading stopped, in bytes from the start of the decompressed
            content [B]; None when that is not known.
    """

    def __init__(self, message: str, *, path: Path, offset_bytes: int | None = None) -> None:
        super().__init__(message)
        self.path = path
        self.offset_bytes = offset_bytes


class LakeError(AuditFrameError):
    """The lake cannot be used as asked.

    Attributes:
        path: The lake, or the file in it.
    """

    def __init__(self, message: str, *, path: Path) -> None:
        super().__init__(message)
        self.path = path


class LakeNotFoundError(LakeError):
    """There is no lake at this path."""


class LakeVersionError(LakeError):
    """The lake was written in a format that this version does not read."""


class LakeLockedError(LakeError):
    """Another process is writing to the lake."""

    retryable = True


class LakeCorruptError(LakeError):
    """A file of the lake is not what the lake wrote."""


class ReportError(AuditFrameError):
    """A report cannot be answered as asked.

    Attributes:
        report: The report's name; None when the question was no report.
    """

    def __init__(self, message: str, *, report: str | None) -> None:
        super().__init__(message)
        self.report = report


class UnknownReportError(ReportError):
    """There is no report of this name."""


class ParameterError(ReportError):
    """A parameter is unknown or has an unusable value, or SQL is none that the engine understands."""


class NotPortableError(ReportError):
    """A report's SQL uses a construct that not every engine answers alike."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Close the message about an unknown word with the nearest known ones.

    Args:
        word: What was asked for.
        known: What exists.

    Returns:
        ``" Did you mean 'x' or 'y'?"`` with a leading blank, or "" when nothing is near.
    """
    near = difflib.get_close_matches(word, list(known), n=2, cutoff=0.6)
    return f" Did you mean {' or '.join(repr(name) for name in near)}?" if near else ""
