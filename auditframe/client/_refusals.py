"""Answers that are no page, as errors that say what to do; none of them shows a key."""

from __future__ import annotations

import json
import math
import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

from auditframe.errors import ApiError, AuthError, PageError, RateLimitError, RequestError, ServerError
from auditframe.text import inert
from auditframe.window import EPOCH

KEYS_PAGE = "platform.openai.com/settings/organization/admin-keys"

_LONGEST_MESSAGE = 300
_LIKE_A_KEY = re.compile(r"\bsk-[\w*.…-]+")
_SECONDS = re.compile(r"\d{1,9}(\.\d{1,9})?")

_WRONG_KEY = (
    "The endpoint does not accept the key (401). The audit log wants an admin key, not a project key: "
    f"create one at {KEYS_PAGE} and set OPENAI_ADMIN_KEY."
)
_NOT_PERMITTED = (
    "The key may not read this audit log (403). It needs the permission api.audit_logs.read, or to be an admin key "
    f"of an organization owner ({KEYS_PAGE}); or the scope is not permitted for this organization."
)


_KNOWN: dict[int, tuple[type[ApiError], str]] = {
    401: (AuthError, _WRONG_KEY),
    403: (AuthError, _NOT_PERMITTED),
    408: (ServerError, "The endpoint gave up waiting for the request (408). Run it again later."),
    429: (RateLimitError, "The endpoint limits the rate of requests (429). Run it again later."),
}


def error_for(status: int, said: str, *, request_id: str | None, retry_after_s: float | None) -> ApiError:
    """Make the error for a response that is not 200.

    Args:
        status: The HTTP status.
        said: The endpoint's own message, safe to show; "" for none.
        request_id: The endpoint's `x-request-id`.
        retry_after_s: What the endpoint asked to wait [s].
    """
    kind, message = _kind_and_message(status)
    asked = "" if retry_after_s is None else f" It asks to wait {math.ceil(retry_after_s)} s."
    own = f" It said: {said}" if said else ""
    error = kind(f"{message}{asked}{own}", status_code=status, request_id=request_id)
    error.retry_after_s = retry_after_s
    return error


def redirect_error(status: int, location: str, *, own_host: str, request_id: str | None) -> RequestError:
    """Make the error for a redirect, which is never followed: the key would go along.

    Args:
        status: The HTTP status.
        location: Where it leads, safe to show; "" when it does not say.
        own_host: Where it comes from.
        request_id: The endpoint's `x-request-id`.
    """
    try:
        host = urlsplit(location).hostname or own_host
    except ValueError:
        host = "an unreadable address"
    message = (
        f"{own_host} answered with a redirect ({status}) to {host[:100]}, which is not followed: the key would "
        "go along. If you trust that host, make it the base URL."
    )
    return RequestError(message, status_code=status, request_id=request_id)


def own_message(body: bytes) -> str:
    """Find the endpoint's own words in the body of an error; "" when there are none."""
    try:
        document: Any = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    error = document.get("error") if isinstance(document, dict) else None
    message = error.get("message") if isinstance(error, dict) else error
    return message if isinstance(message, str) else ""


def shown(text: str, *, key: str) -> str:
    """Make foreign text safe for a message: without keys or live characters, on one line, and short."""
    # A host and the name of a header may come in small letters.
    without = _LIKE_A_KEY.sub("[key]", re.sub(re.escape(key), "[key]", text, flags=re.IGNORECASE))
    line = inert(" ".join(without.split()))
    return line if len(line) <= _LONGEST_MESSAGE else line[: _LONGEST_MESSAGE - 3] + "..."


def parse_retry_after(value: str | None, *, now: datetime | None = None) -> float | None:
    """Read a `Retry-After` header: seconds, or an HTTP date.

    Args:
        value: The header; None for none.
        now: The present by the clock that wrote it, since the one here may be off; the one here when None.

    Returns:
        The wait [s], 0 for a date in the past; None when there is no usable header.
    """
    if value is None:
        return None
    if _SECONDS.fullmatch(value.strip()):
        return float(value)
    moment = parse_date(value)
    return None if moment is None else max(0.0, (moment - (now or datetime.now(UTC))).total_seconds())


def parse_date(value: str | None) -> datetime | None:
    """Read an HTTP date, like the `Date` header; None when there is none that a clock could show."""
    try:
        moment = parsedate_to_datetime(value or "")
        aware = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None
    return aware if aware >= EPOCH else None


def _kind_and_message(status: int) -> tuple[type[ApiError], str]:
    if status in _KNOWN:
        return _KNOWN[status]
    if status >= 500:
        return ServerError, f"The endpoint failed ({status}). Run it again later."
    if status >= 400:
        return RequestError, f"The endpoint refused the request ({status}). Check the base URL and the filters."
    return PageError, f"The endpoint answered {status}, and only 200 brings a page. Check the base URL."
