"""Fragments: expressions over the columns of an event that several questions share word for word."""

from __future__ import annotations

import re

FRAGMENTS = {
    # JSON may hold half a surrogate pair and no text can: one such escape would leave the whole payload unread, so it
    # is written as it stands in JSON. A backslash that is escaped itself begins no escape.
    "payload": r"""
CASE
    WHEN json_valid(detail) THEN detail
    ELSE regexp_replace(detail, '(\\\\)|(\\)(u[dD][89a-fA-F]..)', '\1\2\2\3', 'g')
END""".lstrip("\n"),
    # What stands between a known beginning and the known principal; never cut at underscores.
    "assigned_role_id": """
coalesce(
    detail_role_id,
    CASE
        WHEN left(resource_id, 16) = 'role_assignment_'
            AND right(resource_id, length(detail_principal_id) + 1) = '_' || detail_principal_id
            THEN substring(resource_id, 17, length(resource_id) - 17 - length(detail_principal_id))
    END
)""".lstrip("\n"),
}
"""By name: the SQL that stands for it."""

_NAMED = re.compile(rf"^( *)(.*)\{{({'|'.join(FRAGMENTS)})\}}", re.MULTILINE)


def spelled_out(sql: str) -> str:
    """Put fragments where a question names them as ``{name}``, at most one in a line, indented like that line."""
    return _NAMED.sub(lambda at: at[1] + at[2] + FRAGMENTS[at[3]].replace("\n", "\n" + at[1]), sql)
