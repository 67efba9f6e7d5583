"""The benchmarks run; what they measure is for whoever runs them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = sorted((Path(__file__).parents[1] / "benchmarks").glob("*.py"))


@pytest.mark.parametrize("path", BENCHMARKS, ids=lambda path: path.name)
def test_a_quick_run_measures_every_peer(path: Path) -> None:
    done = subprocess.run([sys.executable, path, "--quick"], capture_output=True, text=True, check=True)  # noqa: S603

    assert "auditframe.flatten" in done.stdout
    assert "pandas.json_normalize" in done.stdout
