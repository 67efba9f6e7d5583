"""Executes the notebooks beside this file in place, and leaves nothing in them that changes from run to run."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).parent
TIMEOUT_S = 300
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}

_QUIET = ["--IPKernelApp.log_level=ERROR"]  # it warns that the loopback interface is not encrypted


def main() -> None:
    """Execute every notebook and write it back."""
    for path in sorted(FOLDER.glob("*.ipynb")):
        nbformat.write(executed(path), path)  # type: ignore[no-untyped-call]
        sys.stdout.write(f"{path.name}: {path.stat().st_size / 1000:.0f} kB\n")


def read(path: Path) -> Any:
    """Read a notebook as it is on the disk."""
    return nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]


def executed(path: Path) -> Any:
    """Execute a notebook in an empty folder, and leave out of it what this run alone put there.

    Raises:
        CellExecutionError: A cell raised.
    """
    notebook = read(path)
    with tempfile.TemporaryDirectory() as folder:
        NotebookClient(
            notebook,
            timeout=TIMEOUT_S,
            kernel_name="python3",
            extra_arguments=_QUIET,
            resources={"metadata": {"path": folder}},
        ).execute()
    notebook["metadata"].clear()
    notebook["metadata"].update(METADATA)
    for cell in notebook.cells:
        cell["metadata"].clear()
    return notebook


if __name__ == "__main__":
    main()
