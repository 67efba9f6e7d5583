from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from auditframe.cli import COMMANDS, cli
from auditframe.flatten import flatten_events
from auditframe.lake import Lake
from auditframe.sample import sample

if TYPE_CHECKING:
    from pathlib import Path

HEAVY = ("duckdb", "httpx", "matplotlib", "numpy", "pandas", "pyarrow", "stamina", "tqdm")


def loaded_by(code: str) -> set[str]:
    """Return which of the heavy modules a fresh interpreter has loaded after some code."""
    script = f"{code}\nimport json, sys\nprint('\\n' + json.dumps([m for m in {HEAVY!r} if m in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)  # noqa: S603
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_importing_the_package_loads_nothing_heavy() -> None:
    assert loaded_by("import auditframe") == set()


@pytest.mark.parametrize("arguments", [["--help"], ["--version"]])
def test_the_overview_loads_nothing_heavy(arguments: list[str]) -> None:
    code = f"from auditframe.cli import cli\ncli.main({arguments!r}, prog_name='auditframe', standalone_mode=False)"

    assert loaded_by(code) == set()


def test_serving_a_sample_needs_neither_an_engine_nor_pandas() -> None:
    assert loaded_by("import auditframe.cli.pretend") & {"duckdb", "httpx", "matplotlib", "pandas"} == set()


def test_asking_a_lake_loads_neither_the_client_nor_matplotlib_nor_pandas() -> None:
    assert loaded_by("import auditframe.cli.ask") & {"httpx", "matplotlib", "pandas"} == set()


def test_answering_a_report_takes_no_pandas(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    lake.append(flatten_events(sample(events=200).events))
    asked = ["report", "events_per_actor", "--lake", str(lake.path)]
    code = f"from auditframe.cli import cli\ncli.main({asked!r}, prog_name='auditframe', standalone_mode=False)"

    assert loaded_by(code) & {"httpx", "matplotlib", "pandas"} == set()


@pytest.mark.parametrize("name", COMMANDS)
def test_the_overview_says_of_a_command_what_its_own_help_begins_with(name: str) -> None:
    command = cli.get_command(cli.make_context("auditframe", ["--version"], resilient_parsing=True), name)

    assert command is not None
    assert (command.help or "").splitlines()[0] == COMMANDS[name].help
