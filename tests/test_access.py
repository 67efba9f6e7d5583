from __future__ import annotations

import re

import pytest

from auditframe import reports
from auditframe.errors import ParameterError, ReportError
from auditframe.reports._access import privileges
from auditframe.schema import arrow_schema

NOTHING = arrow_schema().empty_table()


def _is_privileged(kind: str, text: str) -> bool:
    return any(row["kind"] == kind and re.search(row["pattern"], text.lower()) for row in privileges().to_pylist())


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        ("role", "owner", True),
        ("role", "Org Admin", True),
        ("role", "member", False),
        ("role", "ownership-report-reader", False),
        ("permission", "api.groups.write", True),
        ("permission", "api.keys.delete", True),
        ("permission", "api.*", True),
        ("permission", "api.management.read", False),
        ("permission", "api.model.request", False),
        ("permission", "overwrite", False),
        ("role_id", "role-api-organization-owner__api-organization__org-1", True),
        ("role_id", "role-api-organization-reader__api-organization__org-owner", False),
        ("role_id", "role_01_owner_x", False),
    ],
)
def test_a_privilege_is_what_the_list_says(kind: str, text: str, *, expected: bool) -> None:
    assert _is_privileged(kind, text) is expected


def test_dates_in_the_wrong_order_are_refused() -> None:
    with pytest.raises(ParameterError, match="give the earlier moment as before") as caught:
        reports.access_diff(NOTHING, before="2026-02-01", after="2026-01-01")

    assert caught.value.report == "access_diff"


def test_a_source_without_a_column_that_a_shared_relation_reads_is_refused_by_its_name() -> None:
    with pytest.raises(ReportError, match="reads the column detail_data_role, which the source lacks"):
        reports.members_as_of(NOTHING.drop_columns(["detail_data_role"]))
