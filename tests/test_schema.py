from __future__ import annotations

import pyarrow as pa

from auditframe.catalogue import catalogue
from auditframe.schema import COLUMN_NAMES, COLUMNS, Column, arrow_schema

ENVELOPE = {"id", "type", "effective_at", "project", "actor"}
UNITLESS = {"snapshot"}  # a sequence number: it orders, it measures nothing


def column(name: str) -> Column:
    return COLUMNS[COLUMN_NAMES.index(name)]


def test_names_are_unique() -> None:
    assert len(set(COLUMN_NAMES)) == len(COLUMNS)


def test_every_column_has_a_doc_that_is_a_sentence() -> None:
    wrong = [each.name for each in COLUMNS if not (each.doc[:1].isupper() and each.doc.endswith("."))]

    assert wrong == []


def test_every_number_has_a_unit() -> None:
    bare = {each.name for each in COLUMNS if each.kind in {"integer", "number"} and not each.unit}

    assert bare == UNITLESS


def test_only_numbers_have_a_unit() -> None:
    wrong = [each.name for each in COLUMNS if each.unit and each.kind not in {"integer", "number"}]

    assert wrong == []


def test_the_envelope_comes_first() -> None:
    assert COLUMN_NAMES[:8] == (
        "id",
        "type",
        "area",
        "verb",
        "effective_at",
        "scope",
        "project_id",
        "project_name",
    )


def test_the_event_itself_and_its_origin_come_last() -> None:
    assert COLUMN_NAMES[-4:] == ("detail", "raw", "first_seen_at", "snapshot")


def test_every_path_starts_at_the_detail_the_envelope_or_a_known_type() -> None:
    known = {"*"} | ENVELOPE | set(catalogue())
    lost = [path for each in COLUMNS for path in each.steps if path[0] not in known]

    assert lost == []


def test_no_path_has_an_empty_key() -> None:
    assert all(key for each in COLUMNS for path in each.steps for key in path)


def test_there_is_a_column_for_each_of_the_56_documented_leaf_paths() -> None:
    exploded = [name for name in COLUMN_NAMES if name.startswith("detail_")]

    assert len(exploded) == 56


def test_a_detail_column_is_named_after_its_first_path() -> None:
    wrong = [
        each.name
        for each in COLUMNS
        if each.name.startswith("detail_") and each.name != "_".join(("detail", *each.steps[0][1:]))
    ]

    assert wrong == []


def test_computed_columns_have_no_path() -> None:
    computed = {each.name for each in COLUMNS if not each.paths}

    assert computed == {"area", "verb", "scope", "actor_kind", "detail", "raw", "first_seen_at", "snapshot"}


def test_an_opaque_payload_is_looked_up_only_in_the_types_that_document_it() -> None:
    assert column("detail_data").steps == (
        ("external_key.registered", "data"),
        ("workload_identity_provider.created", "data"),
        ("workload_identity_provider_mapping.created", "data"),
    )


def test_new_scopes_of_a_key_are_looked_up_in_both_forms() -> None:
    assert column("detail_changes_requested_scopes").steps == (
        ("*", "changes_requested", "scopes"),
        ("api_key.updated", "data", "scopes"),
    )


def test_arrow_schema_has_the_declared_names_and_types_in_order() -> None:
    declared = [(each.name, each.type) for each in COLUMNS]

    assert [(field.name, field.type) for field in arrow_schema()] == declared


def test_kinds_have_the_promised_arrow_types() -> None:
    schema = arrow_schema()

    assert schema.field("effective_at").type == pa.timestamp("us", tz="UTC")
    assert schema.field("ip_latitude").type == pa.float64()
    assert schema.field("ip_asn").type == pa.string()
    assert schema.field("detail_certificates_id").type == pa.list_(pa.string())
    assert schema.field("detail_enabled").type == pa.bool_()
    assert schema.field("snapshot").type == pa.int64()


def test_fields_carry_their_doc_and_unit() -> None:
    field = arrow_schema().field("ip_latitude")

    assert field.metadata == {b"doc": b"Latitude given for the IP address.", b"unit": b"degrees"}


def test_the_schema_carries_the_version_of_the_columns() -> None:
    metadata = arrow_schema().metadata or {}

    assert metadata[b"auditframe.columns"].decode().isdigit()
