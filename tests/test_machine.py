"""A sample of what tests/machine.py can draw, and proof that it finds what is wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import Phase

from auditframe.lake import removal
from auditframe.lake import writer as lake_writer
from auditframe.lake.ledger import read_ledger
from auditframe.lake.merge import merge
from tests.machine import Machine, run, run_machine

if TYPE_CHECKING:
    import pyarrow as pa

    from auditframe.lake.layout import Layout
    from auditframe.lake.records import Entry


def test_the_lake_equals_the_model_whatever_happens() -> None:
    assert run(examples=5, seed=20261124) > 50


def drop_a_row(partition: pa.Table, new: pa.Table) -> pa.Table:
    merged = merge(partition, new)
    return merged.slice(0, len(merged) - 1) if len(merged) > 3 else merged


def forgotten(_: Any) -> removal.Removed:
    return removal.Removed([])


def unspoken_for(layout: Layout) -> tuple[Entry, ...]:
    """Leave what a killed run changed as it is."""
    return read_ledger(layout)


@pytest.mark.parametrize(
    ("name", "bug", "seed"),
    [("merge", drop_a_row, 1), ("removed_by", forgotten, 6), ("recover", unspoken_for, 2)],
    ids=["a row is dropped", "removals are forgotten", "nobody speaks for a killed run"],
)
def test_a_planted_bug_is_found(monkeypatch: pytest.MonkeyPatch, name: str, bug: Any, seed: int) -> None:
    monkeypatch.setattr(lake_writer, name, bug)

    with pytest.raises((AssertionError, BaseExceptionGroup)):
        run_machine(Machine, 40, seed, phases=[Phase.generate])
