"""Notebooks run, and what they show is what they say now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from notebooks.execute import FOLDER, executed, read

if TYPE_CHECKING:
    from pathlib import Path

NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


def _outputs(notebook: Any) -> list[dict[str, str]]:
    """Return the outputs of every code cell, pictures only by their presence."""
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    return [_shown(output) for output in outputs]


def _shown(output: Any) -> dict[str, str]:
    data = output.get("data", {"text/plain": output.get("text", "")})
    return {kind: "" if kind.startswith("image/") else content for kind, content in data.items()}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_runs_and_shows_what_was_committed(path: Path) -> None:
    committed = read(path)

    assert _outputs(executed(path)) == _outputs(committed)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_is_committed_executed_small_and_without_traces(path: Path) -> None:
    notebook = read(path)
    counts = [cell.execution_count for cell in notebook.cells if cell.cell_type == "code"]
    metadata = [dict(cell.metadata) for cell in notebook.cells]

    assert counts == list(range(1, len(counts) + 1))
    assert not any(metadata)
    assert path.stat().st_size < 400_000
